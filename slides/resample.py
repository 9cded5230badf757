"""Antialiased resampling of windows so that neighbouring reads meet without a seam."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .geometry import Size
from .slide import Pixels

ReadWindow = Callable[[int, int, int, int], Pixels]
"""(x, y, width, height) inside a level, in its own pixels → RGB."""

_BAND_PIXELS = 4 * 2**20
"""Source pixels held at a time: a read of any size needs this much beside its result."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a read: output pixel i covers [start + i·step, start + (i + 1)·step) of the level."""

    start: float
    step: float
    count: int
    limit: int
    """Length of the level along this axis."""

    def inside(self) -> tuple[int, int]:
        """First and past-last output pixel whose centre lies on the level."""
        first = math.ceil(-self.start / self.step - 0.5)
        last = math.ceil((self.limit - self.start) / self.step - 0.5)
        return min(max(first, 0), self.count), min(max(last, 0), self.count)

    def window(self, first: int, last: int) -> tuple[int, int]:
        """First and past-last level pixel that output pixels [first, last) depend on, not clipped."""
        if self.exact:
            start = round(self.start) + first
            return start, start + last - first
        margin = 1 + (self.step if self.step >= 1 else 2)
        low = math.floor(self.start + first * self.step - margin)
        return low, math.ceil(self.start + last * self.step + margin)

    @property
    def exact(self) -> bool:
        """True when output pixels are level pixels."""
        return abs(self.step - 1) < 1e-9 and abs(self.start - round(self.start)) < 1e-6

    def part(self, first: int, last: int) -> Axis:
        """The axis of output pixels [first, last)."""
        return Axis(self.start + first * self.step, self.step, last - first, self.limit)


def source_pixels(x: Axis, y: Axis) -> int:
    """Level pixels a read depends on."""
    total = 1
    for axis in (x, y):
        low, high = axis.window(*axis.inside())
        total *= max(0, min(high, axis.limit) - max(low, 0))
    return total


def resample(read: ReadWindow, x: Axis, y: Axis) -> Pixels:
    """RGB (y.count, x.count, 3) uint8; white where no level pixel lies.

    Hamming window (support of one output pixel) when shrinking, bicubic when enlarging. The filter sees
    beyond the window, so a tile's pixels do not depend on how a region is cut into tiles.
    """
    result = np.full((y.count, x.count, 3), 255, np.uint8)
    x0, x1 = x.inside()
    y0, y1 = y.inside()
    if x0 >= x1 or y0 >= y1:
        return result
    across = x.part(x0, x1)
    low, high = across.window(0, across.count)
    rows = max(1, int(_BAND_PIXELS / max(1, high - low) / max(y.step, 1e-6)))
    for top in range(y0, y1, rows):
        down = y.part(top, min(top + rows, y1))
        result[top : top + down.count, x0:x1] = _band(read, across, down)
    return result


def _band(read: ReadWindow, x: Axis, y: Axis) -> Pixels:
    left, right = x.window(0, x.count)
    top, bottom = y.window(0, y.count)
    cut = (max(left, 0), max(top, 0), min(right, x.limit), min(bottom, y.limit))
    pixels = read(cut[0], cut[1], cut[2] - cut[0], cut[3] - cut[1])
    if x.exact and y.exact:
        return pixels
    # the filter must not mix the slide's edge with white: repeat the edge instead
    need_left, need_top = min(math.floor(x.start), 0), min(math.floor(y.start), 0)
    need_right = max(math.ceil(x.start + x.count * x.step) - x.limit, 0)
    need_bottom = max(math.ceil(y.start + y.count * y.step) - y.limit, 0)
    if need_left or need_top or need_right or need_bottom:
        pad = ((-need_top, need_bottom), (-need_left, need_right), (0, 0))
        pixels = np.pad(pixels, pad, mode="edge")
    shrinking = max(x.step, y.step) >= 1
    origin_x, origin_y = cut[0] + need_left, cut[1] + need_top
    box = (
        x.start - origin_x,
        y.start - origin_y,
        min(x.start + x.count * x.step - origin_x, pixels.shape[1]),
        min(y.start + y.count * y.step - origin_y, pixels.shape[0]),
    )
    image = Image.fromarray(pixels).resize(
        Size(x.count, y.count), Image.Resampling.HAMMING if shrinking else Image.Resampling.BICUBIC, box=box
    )
    return np.asarray(image)
