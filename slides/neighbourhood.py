"""What lies near a True pixel of a mask: morphology with disks and squares of a few pixels, by shifting and joining.

For such radii shifting a bool mask once for each offset takes a tenth of the time of a distance transform, and gives
the same pixels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

WIDEST = 12.0
"""Radius in pixels up to which shifting is the faster way: 450 offsets."""


def within(mask: Mask, radius: float) -> Mask:
    """Where a True pixel lies at most `radius` pixels away (h, w); outside of the mask nothing is True."""
    if radius > WIDEST:
        from scipy import ndimage

        if not mask.any():
            return np.zeros_like(mask)
        far: Mask = ndimage.distance_transform_edt(~mask) <= radius
        return far
    height, width = mask.shape
    reach = math.floor(radius)
    grown = np.zeros((height + 2 * reach, width + 2 * reach), bool)
    for down in range(-reach, reach + 1):
        along = max(across for across in range(reach + 1) if across == 0 or math.sqrt(across**2 + down**2) <= radius)
        rows = grown[reach + down : reach + down + height]
        for across in range(-along, along + 1):
            rows[:, reach + across : reach + across + width] |= mask
    return grown[reach : reach + height, reach : reach + width]


def opened(mask: Mask, side: int) -> Mask:
    """The mask without what holds no square of `side` pixels (odd); outside of the mask nothing is True."""
    return _dilated(_eroded(mask, side), side)


def _eroded(mask: Mask, side: int) -> Mask:
    half = side // 2
    padded = np.pad(mask, half)
    height, width = mask.shape
    across = padded[:, :width].copy()
    for shift in range(1, side):
        across &= padded[:, shift : shift + width]
    eroded = across[:height].copy()
    for shift in range(1, side):
        eroded &= across[shift : shift + height]
    return eroded


def _dilated(mask: Mask, side: int) -> Mask:
    half = side // 2
    padded = np.pad(mask, half)
    height, width = mask.shape
    across = padded[:, :width].copy()
    for shift in range(1, side):
        across |= padded[:, shift : shift + width]
    dilated = across[:height].copy()
    for shift in range(1, side):
        dilated |= across[shift : shift + height]
    return dilated
