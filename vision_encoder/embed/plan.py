"""Which tiles of a slide are embedded, how they are read, and in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slides import NotASlide, ScaleUnknown, Slide, SlideRefused, UsageError
from slides.grid import tile_grid
from slides.jpeg_tiles import SHRINKS
from slides.tissue import TissueMask, tissue_mask

from ..sampling import TILE_PX

BLOCK = 64
"""Tiles decoded, encoded and kept at a time: 12 MB of pixels, about half a second of one core."""

WITHIN = 0.05
"""µm/px this near to a whole shrink of level 0 are read there: 0.2525 at 2 is 0.505, less than stain and scanner vary,
and costs no resampling."""

_TOGETHER = 8
"""Tiles along a side of the squares in which a slide is walked, so that a tile of the file is decoded once."""

LEAST_TISSUE = (0.25, 0.05)
"""Tissue's share of a tile that is embedded; the second where thin tissue fills no tile by the first."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingPlan:
    """Tiles of one slide.

    coords : int64 (n, 2) level-0 x, y of the top left corners, neighbours together
    side : level-0 px along a tile
    tile_px : pixels along a tile as read
    mpp : µm/px as read, None where the slide's scale is unknown
    downsample : level-0 px per pixel as read
    """

    coords: NDArray[np.int64]
    side: int
    tile_px: int
    mpp: float | None
    downsample: float

    @property
    def blocks(self) -> int:
        """How many blocks of at most `BLOCK` tiles there are."""
        return -(-len(self.coords) // BLOCK)

    def block(self, number: int) -> NDArray[np.int64]:
        """The coords of one block."""
        return self.coords[number * BLOCK : (number + 1) * BLOCK]


def plan_embedding(slide: Slide, mpp: float, downsample: float | None = None) -> EmbeddingPlan:
    """The tiles of a slide's tissue, 256 px each at `mpp`, or at a `downsample` of level 0 whatever its scale.

    The grid lies on the corner of the scanned area, and so on the tiles of most files. A scale within 5 % of level 0
    shrunk by 1, 2, 4 or 8 is taken there: `mpp` of the plan is the true one.

    Raises
    ------
    ScaleUnknown : the slide states no µm/px and no `downsample` is given
    SlideRefused : the slide is coarser than asked
    NotASlide : no tissue was found
    """
    factor = _factor(slide, mpp, downsample)
    side = round(TILE_PX * factor)
    coords = _tissue_tiles(slide, side)
    return EmbeddingPlan(
        coords=coords,
        side=side,
        tile_px=TILE_PX,
        mpp=None if slide.mpp is None else slide.mpp * side / TILE_PX,
        downsample=side / TILE_PX,
    )


def _factor(slide: Slide, mpp: float, downsample: float | None) -> float:
    if downsample is not None:
        if not (math.isfinite(downsample) and 1 <= downsample <= 256):
            raise UsageError("--downsample is a number from 1 to 256, for instance --downsample 2")
        return downsample
    if slide.mpp is None:
        raise ScaleUnknown(
            f"{slide.name}: the file does not state µm/px: read its own pixels with --downsample, as --downsample 1"
        )
    factor = mpp / slide.mpp
    nearest = min(SHRINKS, key=lambda shrink: abs(factor / shrink - 1))
    if abs(factor / nearest - 1) <= WITHIN:
        return float(nearest)
    if factor < 1:
        raise SlideRefused(
            f"{slide.name}: it has {slide.mpp:.4g} µm/px, coarser than asked: ask for --mpp {slide.mpp:.3g} or more"
        )
    return factor


def _tissue_tiles(slide: Slide, side: int) -> NDArray[np.int64]:
    mask = tissue_mask(slide)
    for least in LEAST_TISSUE:
        tiles = tile_grid(mask, slide.bounds, side, min_tissue=least)
        if tiles:
            corners = np.array([(tile.x, tile.y) for tile in tiles], np.int64)
            square = (corners - corners.min(axis=0)) // (side * _TOGETHER)
            order = np.lexsort((corners[:, 0], corners[:, 1], square[:, 0], square[:, 1]))
            return corners[order]
    raise NotASlide(f"{slide.name}: {_nothing(mask)}")


def _nothing(mask: TissueMask) -> str:
    return "no tissue was found on it" + (f" ({' '.join(mask.removed)})" if mask.removed else "")
