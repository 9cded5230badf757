"""Views of which nothing can be said: glass, dark field, no colour, too small, too coarse."""

from __future__ import annotations

from collections.abc import Sequence

from slides import Evidence, Region, Slide

COARSEST_MPP = 4.0
SMALLEST_PX = 32
LEAST_TISSUE = 0.002
NOT_SEEN = {
    "blank": "there is no tissue in this view, only glass",
    "dark field": "this is dark-field or fluorescence; only bright-field histology can be read",
    "greyscale": "this picture has no colour; only stained bright-field histology can be read",
}


def nothing_to_read(slide: Slide, view: Region, quality: Sequence[Evidence]) -> str | None:
    """Why there is nothing to speak about, in one sentence, or None."""
    found = {item.finding.name: item.finding for item in quality}
    colour = found["stain_colour"].label if "stain_colour" in found else None
    if colour in NOT_SEEN:
        return NOT_SEEN[colour]
    if min(view.width, view.height) < SMALLEST_PX:
        return f"only {view.width} x {view.height} px: too small to show cells"
    if slide.mpp is not None and slide.mpp > COARSEST_MPP:
        return f"too coarse for cells: {slide.mpp:.3g} µm/px, {COARSEST_MPP:g} or finer is needed"
    share = found["tissue_share"].value if "tissue_share" in found else None
    return NOT_SEEN["blank"] if share is not None and share < LEAST_TISSUE else None
