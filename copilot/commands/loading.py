"""Loading the copilot for a verb that needs no language model of its own choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .progress import show_progress

if TYPE_CHECKING:
    from copilot.engine import Copilot


def load_copilot() -> Copilot:
    """The copilot with the shipped models."""
    show_progress("loading models")
    from copilot.engine import Copilot

    return Copilot.load()
