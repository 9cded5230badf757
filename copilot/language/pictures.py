"""Pictures in a conversation: a line for each, with its scale in words and a place for its visual tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .tokens import PICTURE

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 256
"""Pictures whose visual tokens a network remembers."""


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """What a vision encoder sees in a picture: its mean feature (d,), and its µm/px, None where unknown."""

    feature: NDArray[np.float32]
    mpp: float | None


@dataclass(frozen=True, eq=False, slots=True)
class Pixels:
    """A picture itself, RGB (h, w, 3), and its µm/px, None where unknown; for models that look for themselves."""

    rgb: NDArray[np.uint8]
    mpp: float | None


def with_pictures(turn: str, scales: Sequence[float | None]) -> str:
    """The user's turn under a line for each picture; `scales` are their µm/px, None where unknown.

    A sign for a picture that the turn itself holds is taken out, so that no text can move a picture.
    """
    own = turn.replace(PICTURE, "")
    if not scales:
        return own
    lines = [f"Picture {number}, {scale_in_words(mpp)}: {PICTURE}" for number, mpp in enumerate(scales, 1)]
    return "\n".join([*lines, "", own])


def scale_in_words(mpp: float | None) -> str:
    """The scale of a picture as a prompt tells it."""
    return "µm/px unknown" if mpp is None else f"{mpp:.2f} µm/px"


class VisualTokens:
    """Visual tokens by number. Numbers are negative, which no word's is, and are never given out twice."""

    def __init__(self) -> None:
        self._given: OrderedDict[bytes, list[int]] = OrderedDict()
        self._vectors: dict[int, Tensor] = {}
        self._next = -1

    def numbers(self, vectors: Tensor) -> list[int]:
        """The numbers of the visual tokens (k, w) of a picture, the same each time for the same ones."""
        key = vectors.detach().cpu().contiguous().numpy().tobytes()
        if key not in self._given:
            numbers = list(range(self._next, self._next - len(vectors), -1))
            self._next -= len(vectors)
            self._given[key] = numbers
            self._vectors |= dict(zip(numbers, vectors.detach(), strict=True))
            if len(self._given) > KEPT:
                for number in self._given.popitem(last=False)[1]:
                    del self._vectors[number]
        self._given.move_to_end(key)
        return self._given[key]

    def fill(self, ids: Sequence[int], embedded: Tensor) -> Tensor:
        """The embeddings (n, w) of the tokens, with those of the visual ones put in."""
        for place, number in enumerate(ids):
            if number < 0:
                embedded[place] = self._vectors[number].to(embedded)
        return embedded
