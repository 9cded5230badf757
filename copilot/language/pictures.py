"""How pictures stand in a question: a line for each, with its scale in words and a place for its visual tokens."""

from __future__ import annotations

from collections.abc import Sequence

from .tokens import PICTURE


def with_pictures(turn: str, scales: Sequence[float | None]) -> str:
    """The user's turn under a line for each picture; `scales` are their µm/px, None where unknown.

    A sign for a picture that the turn itself holds is taken out, so that no text can move a picture.
    """
    own = turn.replace(PICTURE, "")
    if not scales:
        return own
    lines = [f"Picture {number}, {_scale(mpp)}: {PICTURE}" for number, mpp in enumerate(scales, 1)]
    return "\n".join([*lines, "", own])


def _scale(mpp: float | None) -> str:
    return "µm/px unknown" if mpp is None else f"{mpp:.2f} µm/px"
