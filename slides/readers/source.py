"""What a reader says of its file, and the one thing it does: pixels of a stored level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..geometry import Region, Size
from ..slide import Pixels

COARSEST_RESOLUTION_TAG = 20.0
"""µm/px above which a stated scale is a print resolution (1200 dpi is 21 µm/px), not a microscope's."""

COARSEST_PIXEL_SPACING = 100.0
"""µm/px above which even DICOM's PixelSpacing, a required physical attribute, is not believed."""


@dataclass(frozen=True, slots=True)
class Source:
    """The allow-listed facts of a file.

    `level_sizes` are in each level's own pixels, finest first. `stated_mpp` is (x, y) as the file has it,
    believable or not. `bounds` is in level-0 file pixels.
    """

    kind: str
    level_sizes: tuple[Size, ...]
    stated_mpp: tuple[float, float] | None = None
    coarsest_mpp: float = COARSEST_RESOLUTION_TAG
    objective: float | None = None
    bounds: Region | None = None
    in_memory: bool = False
    """True where the file is decoded whole once, so that large windows cost no further decoding."""
    conditions: tuple[str, ...] = field(default=())


class Reader(Protocol):
    """An open file. `read` takes a window inside the level, in that level's pixels; any error means unreadable."""

    source: Source

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """RGB (height, width, 3) uint8, transparency laid on white; never white for data that is missing."""
        ...

    def close(self) -> None:
        """Frees the file."""
        ...


def on_white(pixels: np.ndarray) -> Pixels:
    """RGB (h, w, 3) uint8 of grey (h, w), grey or RGB (h, w, 1|3), or straight-alpha RGBA (h, w, 4) uint8."""
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    channels = pixels.shape[2]
    if channels == 1:
        return np.repeat(pixels, 3, axis=2).astype(np.uint8, copy=False)
    if channels == 3:
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    if channels != 4:
        raise ValueError(f"{channels} channels are no colour image")
    alpha = pixels[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[..., :3])
    weight = alpha.astype(np.uint16)
    mixed = (pixels[..., :3].astype(np.uint16) * weight + 255 * (255 - weight) + 127) // 255
    return mixed.astype(np.uint8)
