"""TIFF that OpenSlide does not open or sees only in part (big-endian, SubIFD pyramids, strips), through tiffslide."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from threading import Lock

import numpy as np
import tiffslide

from ..geometry import Region, Size
from ..slide import Pixels
from .directory import TiffDirectory
from .source import Source, on_white

warnings.filterwarnings("ignore", module="tiffslide")  # notes on metadata we do not use


class TiffReader:
    """One tiffslide handle. It raises where data are missing, also in files it opened without complaint."""

    def __init__(self, path: Path, directory: TiffDirectory) -> None:
        self._handle = tiffslide.TiffSlide(path)
        self._directory = directory
        self._lock = Lock()  # one file position is shared by all reads
        properties = self._handle.properties
        x, y = properties.get("tiffslide.mpp-x"), properties.get("tiffslide.mpp-y")
        objective = properties.get("tiffslide.objective-power")
        self.source = Source(
            kind=str(properties.get("tiffslide.vendor") or "TIFF"),
            level_sizes=tuple(Size(*map(int, size)) for size in self._handle.level_dimensions),
            stated_mpp=None if x is None or y is None else (float(x), float(y)),
            objective=float(objective) if objective else None,
        )

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """RGB pixels of a window in the level's own pixels."""
        downsample = self._handle.level_downsamples[level]
        corner = (_level0(x, downsample), _level0(y, downsample))
        with self._lock:
            pixels = self._handle.read_region(corner, level, (width, height), as_array=True, padding=False)
        if pixels.shape[:2] != (height, width) or pixels.dtype != np.uint8:
            raise ValueError("tiffslide gave another size or depth than asked")
        rgb = on_white(pixels)
        if level < len(self._directory.empty_tiles):
            _whiten(rgb, Region(x, y, width, height), self._directory.empty_tiles[level])
        return rgb

    def close(self) -> None:
        """Frees the handle."""
        self._handle.close()


def _level0(position: int, downsample: float) -> int:
    """The level-0 place that tiffslide, which truncates, maps back to this place of the level."""
    place = math.ceil(position * downsample)
    return place if int(place / downsample) >= position else place + 1


def _whiten(pixels: Pixels, window: Region, tiles: tuple[Region, ...]) -> None:
    for tile in tiles:
        if part := tile.intersect(window):
            pixels[part.y - window.y : part.bottom - window.y, part.x - window.x : part.right - window.x] = 255
