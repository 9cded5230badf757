"""A grid of square tiles over the tissue of a region."""

from __future__ import annotations

import numpy as np

from .errors import UsageError
from .geometry import Region
from .tissue import TissueMask


def tile_grid(mask: TissueMask, region: Region, side: int, *, min_tissue: float = 0.5) -> tuple[Region, ...]:
    """Tiles of `side` level-0 px, laid from the region's top left corner, row by row.

    A tile belongs to the grid when it lies inside the region and at least `min_tissue` of it is tissue. A
    region smaller than one tile gives the tile centred on it. Raises `UsageError` when `side` is not positive.
    """
    if side < 1:
        raise UsageError("a tile needs a positive side")
    columns, rows = region.width // side, region.height // side
    if not columns or not rows:
        return _narrow(mask, region, side, min_tissue)
    x, y = region.x + side * np.arange(columns + 1), region.y + side * np.arange(rows + 1)
    kept = np.argwhere(mask.shares(x, y) >= min_tissue)
    return tuple(Region(int(x[column]), int(y[row]), side, side) for row, column in kept)


def _narrow(mask: TissueMask, region: Region, side: int, min_tissue: float) -> tuple[Region, ...]:
    """Tiles along the longer side of a region that is narrower than a tile, centred across it."""
    columns, rows = max(1, region.width // side), max(1, region.height // side)
    left = region.x + (region.width - columns * side) // 2
    top = region.y + (region.height - rows * side) // 2
    tiles = [
        Region(left + column * side, top + row * side, side, side) for row in range(rows) for column in range(columns)
    ]
    kept = []
    for tile in tiles:
        inside = tile.intersect(region)
        if inside is not None and mask.share(inside) >= min_tissue:
            kept.append(tile)
    return tuple(kept)
