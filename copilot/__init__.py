"""The engine: ask, look, say, check, show; report, ancillary tests, triage, command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import Copilot

__all__ = ["Copilot"]


def __getattr__(name: str) -> Any:
    if name == "Copilot":  # imported on use: the engine brings in torch
        from .engine import Copilot

        return Copilot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
