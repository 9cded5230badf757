"""A sample of every level of a slide: what cannot be decoded, and whether the overview shows anything."""

from __future__ import annotations

import numpy as np

from .errors import RegionTooLarge, RegionUnreadable, SlideDamaged
from .geometry import Region, Size
from .pyramid import PyramidSlide
from .slide import Pixels

_GRID = 5
"""Places along each side of level 0: corners, centre and last tile among them."""

_SIDE = 32
_OVERVIEW = 256

_DAMAGED = "Parts of the slide are damaged and cannot be read, nothing is said about them"


def survey(slide: PyramidSlide) -> list[str]:
    """Conditions of a slide that opens.

    Raises `SlideDamaged` when most sampled places of level 0, or any other whole level, cannot be decoded.
    """
    lost, tried = _unreadable(slide)
    overview = _overview(slide)
    damage = None
    if lost:
        first = lost[len(lost) // 2]
        damage = f"{_DAMAGED}: {len(lost)} of {tried} places tried, one at x {first.x} y {first.y}."
    elif overview is None:
        damage = f"{_DAMAGED}."
    return [said for said in (damage, None if overview is None else _empty(overview)) if said]


def _unreadable(slide: PyramidSlide) -> tuple[list[Region], int]:
    places = _places(slide.bounds)
    lost = [place for place in places if not _reads(slide, place, 1.0)]
    if len(lost) > len(places) // 2:
        raise SlideDamaged("most of the slide cannot be decoded: the file is damaged; export or copy it again")
    for number, level in enumerate(slide.levels[1:], 1):
        side = int(_SIDE * level.downsample)
        here = [_centred(slide.bounds, fx, fy, side) for fx, fy in ((0.5, 0.5), (0, 0), (1, 1))]
        if not any(_reads(slide, place, level.downsample) for place in here):
            raise SlideDamaged(f"level {number} of the slide cannot be decoded: export or copy the file again")
    return lost, len(places)


def _overview(slide: PyramidSlide) -> Pixels | None:
    """The overview, None where a part of it cannot be decoded."""
    shrink = max(1.0, max(slide.bounds.width, slide.bounds.height) / _OVERVIEW)
    size = Size(max(1, int(slide.bounds.width / shrink)), max(1, int(slide.bounds.height / shrink)))
    try:
        return slide.read_size(slide.bounds, size)
    except RegionTooLarge:
        return slide.thumbnail(_OVERVIEW)
    except RegionUnreadable:
        return None


def _places(bounds: Region) -> list[Region]:
    steps = [index / (_GRID - 1) for index in range(_GRID)]
    return list(dict.fromkeys(_centred(bounds, fx, fy, _SIDE) for fy in steps for fx in steps))


def _centred(bounds: Region, fx: float, fy: float, side: int) -> Region:
    width, height = min(side, bounds.width), min(side, bounds.height)
    return Region(
        bounds.x + round((bounds.width - width) * fx), bounds.y + round((bounds.height - height) * fy), width, height
    )


def _reads(slide: PyramidSlide, place: Region, downsample: float) -> bool:
    try:
        slide.read(place, downsample=downsample)
    except RegionUnreadable:
        return False
    return True


def _empty(overview: Pixels) -> str | None:
    if np.percentile(overview.max(axis=2), 99.5) < 24:
        return "No tissue found: the image is black (perhaps fluorescence, or a failed export)."
    if np.percentile(overview.min(axis=2), 0.5) > 200 and float(overview.std(axis=(0, 1)).max()) < 3:
        return "No tissue found: the image is blank; there is nothing to answer or to triage."
    return None
