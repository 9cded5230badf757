"""Which places of a view are looked at: tiles of one physical size, spread over the tissue, the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from slides import Pixels, Region, Slide
from slides.grid import tile_grid
from slides.tissue import TissueMask

TILE_UM = 128.0
TILE_PX = 256
"""A tile is 128 µm wide and read at 0.5 µm/px, as most tiles were on which the heads learned."""
MOST_IN_BOX, MOST_IN_SLIDE = 16, 64
QUARTERED_PX = 448
"""A picture of unknown scale at least this wide is seen whole and in quarters."""
WHOLE_PX = 1024
"""A picture of unknown scale up to this size is seen at the scale of its own frame."""


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Tiles to read, each resampled to its own `pixels`, of `available` that hold tissue.

    `mpp` is the µm/px of what is read, never finer than the slide, and `tile_um` a tile's side, None when
    unknown; `framed` when the tiles show the whole of a small view; `notes` are sentences for the user.
    """

    tiles: tuple[Region, ...]
    sizes: tuple[int, ...]
    available: int
    mpp: float | None
    tile_um: float | None
    framed: bool = False
    notes: tuple[str, ...] = ()


def plan_tiles(slide: Slide, view: Region, mask: TissueMask, *, whole: bool) -> TilePlan:
    """At most 16 tiles of a box, 64 of a whole slide, every stretch of the tissue represented."""
    most = MOST_IN_SLIDE if whole else MOST_IN_BOX
    side = TILE_PX if slide.mpp is None else round(TILE_UM / slide.mpp)
    if slide.mpp is not None and min(view.width, view.height) < side * 1.25:
        return _frame(view, slide.mpp, most)
    if slide.mpp is None and max(view.width, view.height) <= WHOLE_PX:
        return _frame(view, None, most)
    side = _fitted(view, side)
    tiles = _grid(mask, view, side)
    chosen = spread(tiles, most, seed=view.area % 2**32)
    notes = _left_out(len(chosen), len(tiles))
    sizes = (TILE_PX,) * len(chosen)
    if slide.mpp is None:
        return TilePlan(chosen, sizes, len(tiles), None, None, notes=notes)
    return TilePlan(chosen, sizes, len(tiles), max(TILE_UM / TILE_PX, slide.mpp), side * slide.mpp, notes=notes)


def spread(tiles: Sequence[Region], most: int, *, seed: int) -> tuple[Region, ...]:
    """At most `most` tiles, one drawn from each of as many equal stretches of a serpentine walk over them."""
    rows = sorted({tile.y for tile in tiles})
    turn = {y: 1 if index % 2 == 0 else -1 for index, y in enumerate(rows)}
    walk = sorted(tiles, key=lambda tile: (tile.y, turn[tile.y] * tile.x))
    if len(walk) <= most:
        return tuple(walk)
    edges = np.linspace(0, len(walk), most + 1).astype(int)
    draw = np.random.default_rng(seed)
    return tuple(walk[draw.integers(low, high)] for low, high in pairwise(edges))


def seen_share(mask: TissueMask, tiles: Sequence[Region]) -> float:
    """The share of the mask's tissue in [0, 1] that lies in the tiles, each place counted once."""
    if not tiles or not mask.area:
        return 0.0
    x = np.unique([edge for tile in tiles for edge in (tile.x, tile.right)])
    y = np.unique([edge for tile in tiles for edge in (tile.y, tile.bottom)])
    covered = np.zeros((len(y) - 1, len(x) - 1), np.bool_)
    for tile in tiles:
        columns, rows = np.searchsorted(x, (tile.x, tile.right)), np.searchsorted(y, (tile.y, tile.bottom))
        covered[rows[0] : rows[1], columns[0] : columns[1]] = True
    tissue = mask.shares(x, y) * np.outer(np.diff(y), np.diff(x))
    return float(min(tissue[covered].sum() / mask.area, 1.0))


def darkness(picture: Pixels) -> float:
    """How dark a picture is in the red channel, 0–255: haematoxylin absorbs red and eosin hardly does."""
    return 255.0 - float(picture[::4, ::4, 0].mean())


def typical(darkness_of: Sequence[float], most: int) -> list[int]:
    """Indices of at most `most` pictures, evenly from the palest to the darkest: from few nuclei to many."""
    ranked = np.argsort(np.asarray(darkness_of), kind="stable")
    if len(ranked) <= most:
        return [int(index) for index in ranked]
    return [int(ranked[(2 * step + 1) * len(ranked) // (2 * most)]) for step in range(most)]


def _fitted(view: Region, side: int) -> int:
    """The side, made up to 15 % smaller where a view then holds one more row or column of whole tiles."""
    snug = min(length / max(round(length / side), 1) for length in (view.width, view.height))
    return int(snug) if 0.85 * side <= snug < side else side


def _grid(mask: TissueMask, view: Region, side: int) -> tuple[Region, ...]:
    """Tiles with tissue; thin tissue that fills no tile by half is taken with less."""
    for least in (0.5, 0.2, 0.05):
        tiles = tile_grid(mask, view, side, min_tissue=least)
        if tiles:
            return tiles
    return ()


def _frame(view: Region, mpp: float | None, most: int) -> TilePlan:
    """Squares over the whole of a small view, and its quarters where it has pixels enough."""
    side = min(view.width, view.height)
    squares = _squares(view, side)
    quarters = _squares(view, side // 2) if mpp is None and side >= QUARTERED_PX else []
    tiles = (*spread(squares, most, seed=0), *quarters)
    available = len(squares) + len(quarters)
    notes = _left_out(len(tiles), available)
    if mpp is not None:
        read_at = max(TILE_UM / TILE_PX, mpp)
        return TilePlan(tiles, (TILE_PX,) * len(tiles), available, read_at, side * mpp, True, notes)
    sizes = tuple(min(tile.width, 2 * TILE_PX) for tile in tiles)
    return TilePlan(tiles, sizes, available, None, None, True, notes)


def _left_out(seen: int, available: int) -> tuple[str, ...]:
    if seen >= available:
        return ()
    return (
        f"{seen} of {available} tissue fields were looked at, spread over the tissue; "
        "what lies between them was not seen.",
    )


def _squares(view: Region, side: int) -> list[Region]:
    """Squares that cover a view edge to edge, overlapping as little as they can."""

    def starts(begin: int, length: int) -> list[int]:
        # a quarter of a square left over at the ends is no reason for one more
        count = max(int(np.ceil((length - side * 0.25) / side)), 1)
        return [begin + (length - side) * index // max(count - 1, 1) for index in range(count)]

    rows = starts(view.y, view.height)
    if len(rows) == 1:
        rows = [view.y + (view.height - side) // 2]
    columns = starts(view.x, view.width)
    if len(columns) == 1:
        columns = [view.x + (view.width - side) // 2]
    return [Region(x, y, side, side) for y in rows for x in columns]
