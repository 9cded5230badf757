"""Encoders, heads, novelty, retrieval, morphometry, and looking. Knows tissue, nothing of words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog import load_encoder
    from .encoder import Encoder

__all__ = ["Encoder", "load_encoder"]


def __getattr__(name: str) -> Any:
    # Lazy, so that importing the package (`pathcopilot --help`) costs neither numpy nor torch.
    if name == "load_encoder":
        from .catalog import load_encoder

        return load_encoder
    if name == "Encoder":
        from .encoder import Encoder

        return Encoder
    raise AttributeError(f"module 'vision_encoder' has no attribute {name!r}")
