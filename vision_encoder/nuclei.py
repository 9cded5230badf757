"""Nuclei as objects, found in a dye's amount at 0.5 µm/px without trained weights.

Smoothing, a threshold that is part Otsu 1979 and part local mean, seeds at the summits of the distance
map and a watershed from them (Vincent & Soille 1991, IEEE TPAMI 13:583).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int32]

WORKING_MPP = 0.5
"""µm/px at which every length below was chosen."""
SMALLEST_PX, LARGEST_PX = 48, 1200
"""12 and 300 µm²: smaller is debris or a sliver of a nucleus, larger a clump."""
MOST_ELONGATED = 5.0
WINDOW_PX = 33
SEED_SPACING_PX = 4
OTSU_SHARE = 0.3
OTSU_FACTOR = 1.1
LOCAL_FACTOR = 1.1
FLOOR_FACTOR = 0.8
LEAST_AMOUNT = 0.2
"""Haematoxylin below which nothing is a nucleus."""


@dataclass(frozen=True, slots=True)
class Nuclei:
    """Objects of one field at the working scale.

    labels : int32 (h, w), 0 is no nucleus, then 1..n
    areas : pixels (n,)
    centres : row, column (n, 2)
    elongation : long over short axis of the ellipse with the same second moments (n,), at least 1
    inside : (n,) False where the object touches the edge, so that its area and shape are not whole
    counted : (n,) False where it touches the upper or left edge: the unbiased counting frame of
        Gundersen 1977, J Microsc 111:219
    """

    labels: Labels
    areas: NDArray[np.float64]
    centres: NDArray[np.float64]
    elongation: NDArray[np.float64]
    inside: Bools
    counted: Bools

    def __len__(self) -> int:
        return len(self.areas)


def smoothed(amount: Floats) -> Floats:
    """The amount of nuclear dye (h, w) with the grain taken out and the blackest specks capped."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(np.minimum(amount, np.percentile(amount[::2, ::2], 99.5)), 0.7))


def overall_threshold(amounts: Sequence[Floats], tissues: Sequence[Bools]) -> float:
    """One threshold for all fields of a view: Otsu over their tissue, never below `LEAST_AMOUNT`."""
    from skimage.filters import threshold_otsu

    pooled = np.concatenate(
        [amount[::2, ::2][tissue[::2, ::2]] for amount, tissue in zip(amounts, tissues, strict=True)]
    )
    if pooled.size < SMALLEST_PX or pooled.max() <= pooled.min():
        return float("inf")
    return max(OTSU_FACTOR * float(threshold_otsu(pooled)), LEAST_AMOUNT)


def find_nuclei(smooth: Floats, overall: float) -> Nuclei:
    """Nuclei in the smoothed amount of nuclear dye, float32 (h, w) at 0.5 µm/px."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    if min(smooth.shape) < 8 or float(smooth.max()) <= FLOOR_FACTOR * overall:
        return describe(np.zeros(smooth.shape, np.int32))
    local = LOCAL_FACTOR * ndimage.uniform_filter(smooth, WINDOW_PX)
    mixed = OTSU_SHARE * overall + (1 - OTSU_SHARE) * local
    dark = ndimage.binary_fill_holes(smooth > np.maximum(mixed, FLOOR_FACTOR * overall))
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(dark).astype(np.float32), 1.0)
    summits = (ndimage.maximum_filter(depth, 2 * SEED_SPACING_PX + 1) == depth) & dark
    seeds, _ = ndimage.label(summits)
    return describe(_sized(watershed(-depth, seeds, mask=dark)))


def describe(labels: Labels) -> Nuclei:
    """Areas, centres and shapes of labelled objects (h, w); labels run from 1 without gaps."""
    count = int(labels.max(initial=0))
    rows, columns = np.nonzero(labels)
    ids = labels[rows, columns] - 1
    areas = np.bincount(ids, minlength=count).astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(ids, values, minlength=count) / areas

    y, x = mean(rows.astype(np.float64)), mean(columns.astype(np.float64))
    dy, dx = rows - y[ids], columns - x[ids]
    # 1/12 is the variance of a pixel's own square
    vy, vx, cov = mean(dy * dy) + 1 / 12, mean(dx * dx) + 1 / 12, mean(dx * dy)
    middle, spread = (vy + vx) / 2, np.sqrt(((vy - vx) / 2) ** 2 + cov**2)
    elongation = np.sqrt((middle + spread) / np.maximum(middle - spread, 1 / 12))

    def free_of(*edges: Labels) -> Bools:
        free = np.ones(count + 1, dtype=np.bool_)
        for edge in edges:
            free[edge] = False
        return free[1:]

    top, left, bottom, right = labels[0], labels[:, 0], labels[-1], labels[:, -1]
    centres = np.stack([y, x], axis=-1)
    return Nuclei(labels, areas, centres, elongation, free_of(top, left, bottom, right), free_of(top, left))


def without(nuclei: Nuclei, rival: Floats, amount: Floats) -> Nuclei:
    """The nuclei less strands, and less objects with more of a rival dye than of the nuclear one, both (h, w)."""
    if not len(nuclei):
        return nuclei
    within = nuclei.labels > 0
    excess = np.bincount(nuclei.labels[within], (amount - rival)[within], minlength=len(nuclei) + 1)
    keep = np.concatenate([[False], (excess[1:] > 0) & (nuclei.elongation <= MOST_ELONGATED)])
    return nuclei if keep[1:].all() else describe(np.asarray((np.cumsum(keep) * keep)[nuclei.labels], dtype=np.int32))


def explained(smooth: Floats, nuclei: Nuclei) -> float:
    """How well the objects account for the field, 0 for not at all: their share of it times how far they
    stand out of the ring around them beyond their own unevenness. Largest where the scale fits them."""
    from scipy import ndimage

    if not len(nuclei):
        return 0.0
    within = nuclei.labels > 0
    grown = ndimage.maximum_filter(nuclei.labels, 5)
    ring = (grown > 0) & ~within
    mean, spread = _mean_and_spread(smooth[within], nuclei.labels[within], len(nuclei))
    around, _ = _mean_and_spread(smooth[ring], grown[ring], len(nuclei))
    standing_out = float(np.average(mean - around - spread, weights=nuclei.areas))
    return float(max(standing_out, 0.0) * nuclei.areas.sum() / smooth.size)


def _mean_and_spread(values: Floats, labels: Labels, count: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the values of each label 1..count, both (count,)."""
    number = np.maximum(np.bincount(labels, minlength=count + 1)[1:], 1)
    mean = np.bincount(labels, values, minlength=count + 1)[1:] / number
    square = np.bincount(labels, values**2, minlength=count + 1)[1:] / number
    return mean.astype(np.float32), np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)


def _sized(labels: NDArray[np.signedinteger]) -> Labels:
    """The labels without objects too small or too large for a nucleus, renumbered without gaps."""
    areas = np.bincount(labels.ravel())
    keep = (areas >= SMALLEST_PX) & (areas <= LARGEST_PX)
    keep[0] = False
    return np.asarray((np.cumsum(keep) * keep)[labels], dtype=np.int32)
