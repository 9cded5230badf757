"""Things on a slide that are no tissue: pen strokes and black frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .background import Background, extremes
from .slide import Pixels

Mask = NDArray[np.bool_]

_STROKE_UM = 150.0
"""Least width of a solid stroke; felt pens draw 400 µm and more. Stained fibres and nuclei are finer."""

_MOST_OF_TISSUE = {"green": 0.6, "blue": 0.25, "black": 0.25}
"""A colour that covers more of what absorbs is taken for the stain (trichrome, Giemsa, silver), not for pen."""

_MOST_STRAY = 0.5
"""Ink is solid and of a colour of its own: where a like colour lies elsewhere too, it is the stain's."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Pen and frame (h, w) of an overview, and a sentence for each."""

    pen: Mask
    frame: Mask
    said: tuple[str, ...]


def find_marks(overview: Pixels, density: NDArray[np.float32], um_per_pixel: float, background: Background) -> Marks:
    """Pen strokes (green, blue, black) and black frames of an overview (h, w, 3).

    Red pen is left alone: blood and eosin look the same.
    """
    total = max(1, int((density > background.threshold).sum()))
    radius = max(1.5, _STROKE_UM / 2 / um_per_pixel)
    said: list[str] = []
    frame = _frame(overview)
    if frame.any():
        said.append(f"A black frame, strip or ink at the border, {frame.mean():.1%} of the area.")
    pen = np.zeros(frame.shape, bool)
    for name, (coloured, alike) in _inks(overview).items():
        strokes = _strokes(coloured & ~pen & ~frame, radius * (1.3 if name == "black" else 1))
        if not strokes.any():
            continue
        stray = int((alike & ~strokes & ~frame).sum())
        if strokes.sum() > _MOST_OF_TISSUE[name] * total or stray > _MOST_STRAY * strokes.sum():
            continue
        pen |= strokes
        said.append(f"{name.capitalize()} pen, {strokes.mean():.1%} of the area.")
    return Marks(pen, frame, tuple(said))


def _strokes(coloured: Mask, radius: float) -> Mask:
    """Solid parts at least twice the radius wide, grown back by a margin over the stroke's soft edge."""
    from scipy import ndimage

    if not coloured.any():
        return coloured
    solid: Mask = ndimage.distance_transform_edt(np.pad(coloured, 1))[1:-1, 1:-1] > radius
    if not solid.any():
        return solid
    grown: Mask = ndimage.distance_transform_edt(~solid) <= radius * 1.5 + 1
    return grown


def _frame(overview: Pixels) -> Mask:
    """Near-black areas that touch the border and are wide: unscanned strips, stage, cover-slip edge."""
    from scipy import ndimage

    dark = extremes(overview)[1] < 28
    if not dark.any():
        return dark
    opened: Mask = ndimage.binary_opening(dark, np.ones((3, 3)))
    labels, count = ndimage.label(opened)
    if not count:
        return opened
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    areas = np.bincount(labels.ravel())
    chosen = np.zeros(count + 1, bool)
    chosen[edge] = True
    chosen &= areas >= 0.002 * dark.size
    chosen[0] = False
    frame: Mask = ndimage.binary_dilation(chosen[labels], iterations=2) if chosen.any() else chosen[labels]
    return frame


def _inks(overview: Pixels) -> dict[str, tuple[Mask, Mask]]:
    """Pixels (h, w) of felt pens (hue 75-165 and 185-245 degrees, and black), and those of a like colour."""
    low, high = extremes(overview)
    red, green, blue = (overview[..., channel].astype(np.int16) for channel in range(3))
    span = (high - low).astype(np.int16)
    lit = high >= 40
    greenish = (green == high) & lit & (4 * np.abs(blue - red) <= 3 * span)
    bluish = (blue == high) & lit & (12 * (green - red) <= 11 * span)
    blue_only = bluish & (12 * (red - green) <= span)
    return {
        "green": (greenish & (span >= 0.25 * high), greenish & (span >= 0.12 * high)),
        "blue": (blue_only & (span >= 0.45 * high), bluish & (span >= 0.3 * high) & (6 * (red - green) <= span)),
        "black": ((high < 70) & (span < 0.3 * high), (high < 80) & (span < 0.3 * high)),
    }
