"""A sample of every level of a slide: what cannot be decoded, and whether the overview shows anything."""

from __future__ import annotations

import numpy as np

from .errors import RegionTooLarge, RegionUnreadable, SlideDamaged
from .geometry import Region
from .pyramid import PyramidSlide

_GRID = 5
"""Places along each side of level 0: corners, centre and last tile among them."""

_SIDE = 32


def survey(slide: PyramidSlide) -> list[str]:
    """Conditions of a slide that opens.

    Raises `SlideDamaged` when most sampled places of level 0, or any other whole level, cannot be decoded.
    """
    conditions = _unreadable(slide)
    if said := _empty(slide):
        conditions.append(said)
    return conditions


def _unreadable(slide: PyramidSlide) -> list[str]:
    places = _places(slide.bounds)
    lost = [place for place in places if not _reads(slide, place, 1.0)]
    if len(lost) > len(places) // 2:
        raise SlideDamaged("most of the slide cannot be decoded: the file is damaged; export or copy it again")
    for number, level in enumerate(slide.levels[1:], 1):
        side = int(_SIDE * level.downsample)
        places_here = [_centred(slide.bounds, fx, fy, side) for fx, fy in ((0.5, 0.5), (0, 0), (1, 1))]
        if not any(_reads(slide, place, level.downsample) for place in places_here):
            raise SlideDamaged(f"level {number} of the slide cannot be decoded: export or copy the file again")
    if not lost:
        return []
    first = lost[len(lost) // 2]
    return [
        f"Parts of the slide are damaged and cannot be read: {len(lost)} of {len(places)} places tried, "
        f"one at x {first.x} y {first.y}. Nothing is said about them."
    ]


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


def _empty(slide: PyramidSlide) -> str | None:
    try:
        overview = slide.thumbnail(256)
    except (RegionUnreadable, RegionTooLarge):
        return None
    if np.percentile(overview.max(axis=2), 99.5) < 24:
        return "No tissue found: the image is black (perhaps fluorescence, or a failed export)."
    if np.percentile(overview.min(axis=2), 0.5) > 200 and float(overview.std(axis=(0, 1)).max()) < 3:
        return "No tissue found: the image is blank; there is nothing to answer or to triage."
    return None
