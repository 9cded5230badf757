"""Pixels of planned tiles: from the file's own JPEG tiles where it has them, else through the slide's reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slides import Pixels, Region, RegionUnreadable, Slide
from slides.jpeg_tiles import SHRINKS, JpegTiles, jpeg_tiles

from .plan import EmbeddingPlan

LEVEL_TOLERANCE = 0.01
"""Scanners cut the last row or column of a level: 4.003 is 4."""


@dataclass(frozen=True, slots=True)
class _Direct:
    """Where tiles are decoded from: a level, its whole downsample, and the shrink of the JPEG transform."""

    tiles: JpegTiles
    level: int
    downsample: int
    shrink: int


class TileReader:
    """Reads the tiles of one plan of an open slide; threads may read at once.

    `decoding` names the way, for the record: `jpeg`, `jpeg shrunk by 2`, or `resampled`. Shrinking by the JPEG
    transform and resampling differ by about two grey levels.
    """

    def __init__(self, path: Path, slide: Slide, plan: EmbeddingPlan, *, direct: bool = True) -> None:
        self._slide, self._plan = slide, plan
        self._tiles = jpeg_tiles(path) if direct else None
        self._way = None if self._tiles is None else _way(self._tiles, slide, plan)
        shrink = 1 if self._way is None else self._way.shrink
        self.decoding = "resampled" if self._way is None else "jpeg" + (f" shrunk by {shrink}" if shrink > 1 else "")

    def close(self) -> None:
        """Frees the file; the slide stays open."""
        if self._tiles is not None:
            self._tiles.close()

    def read(self, coords: NDArray[np.int64]) -> list[Pixels | None]:
        """RGB (tile_px, tile_px, 3) uint8 of each tile, None for one that cannot be decoded."""
        kept: dict[tuple[int, int], Pixels] = {}
        return [self._one(int(x), int(y), kept) for x, y in coords]

    def _one(self, x: int, y: int, kept: dict[tuple[int, int], Pixels]) -> Pixels | None:
        way, plan = self._way, self._plan
        if way is not None:
            try:
                corner = (x // way.downsample, y // way.downsample)
                return way.tiles.window(way.level, *corner, plan.side // way.downsample, way.shrink, kept)
            except ValueError:  # not stored, or damaged: the reader knows what either means for this kind of file
                pass
        try:
            return self._slide.read_size(Region(x, y, plan.side, plan.side), (plan.tile_px, plan.tile_px))
        except RegionUnreadable:
            return None


def _way(tiles: JpegTiles, slide: Slide, plan: EmbeddingPlan) -> _Direct | None:
    """The coarsest level from which a whole shrink gives the plan's pixels, None where there is none."""
    if slide.bounds != slide.whole or len(tiles.levels) != len(slide.levels):
        return None
    for number in reversed(range(len(tiles.levels))):
        stored, level = tiles.levels[number], slide.levels[number]
        whole = round(level.downsample)
        if stored is None or stored.size != level.size or abs(level.downsample / whole - 1) > LEVEL_TOLERANCE:
            continue
        shrink = plan.downsample / whole
        if shrink not in SHRINKS or any(length % int(shrink) for length in stored.tile):
            continue
        if not (plan.coords % (whole * int(shrink))).any():
            return _Direct(tiles, number, whole, int(shrink))
    return None
