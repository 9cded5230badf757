"""Boxes that a browser sends, as regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slides import Region

MOST_REGIONS = 4


def regions_of(boxes: Any, whole: Region) -> tuple[Region, ...]:
    """Boxes from a browser as regions inside the slide; what is none is left out."""
    regions: list[Region] = []
    for box in boxes if isinstance(boxes, Sequence) else ():
        try:
            x, y, width, height = (int(number) for number in box)
            region = Region(x, y, width, height).intersect(whole)
        except (TypeError, ValueError, OverflowError):
            continue
        if region is not None:
            regions.append(region)
    return tuple(regions[:MOST_REGIONS])
