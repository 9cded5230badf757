"""A scan of the whole slide at low power, before any field is read: pieces of tissue, and what stands out.

Blocks of the overview are compared with the rest of the same slide by their colour, so that no training set
decides what is usual: robust Mahalanobis distance, mean and covariance from the nearer three quarters of the
blocks (a concentration step of Rousseeuw's minimum covariance determinant, repeated). What stands out is measured,
not named: redder is not yet blood, paler not yet necrosis.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides import Evidence, Finding, Region, RegionUnreadable, Slide
from slides.background import Background
from slides.tissue import TissueMask, background_of

from .observation import Look

PIXELS = 2**20
"""Most pixels of the overview: 14 µm each on 15 x 15 mm."""
FINEST_MPP = 8.0
"""A block is then 128 µm wide or more: architecture, not single cells."""
ASSUMED_MPP = 0.5
BLOCK = 16
"""Overview pixels along a block."""
LEAST_DENSE = 0.3
"""Share of a block that absorbs, below which it is mostly clear: fat, lumen or border."""
LEAST_BLOCKS = 60
"""Blocks below which nothing is usual enough for anything to stand out."""
FAR = 6.0
"""Distance, in units of the median distance of the slide's blocks, from which a block stands out."""
LEAST_AMOUNT, LEAST_SHIFT = 0.25, 0.03
"""What an eye would notice: change of the optical density, and of a channel's share of it. On a very even slide
the border alone is far from the rest."""
LEAST_AREA = 3
"""Neighbouring blocks that make an area."""
MOST_AREAS = 3
LEAST_PIECE = 0.005
"""Share of the tissue below which a piece is a crumb."""
STEPS = 5

Floats = NDArray[np.float64]


def scan(slide: Slide, view: Region, mask: TissueMask) -> tuple[tuple[Evidence, ...], Look]:
    """Findings of the scanned area at low power, and the look that it took.

    `tissue_pieces` counts pieces of at least 0.5 % of the tissue, largest first in `fields`. `low_power` counts the
    areas that stand out, at most 3, and abstains where there is too little tissue; each is an `odd_area` with its
    share of the tissue and a label: darker or paler, redder, bluer or browner than the rest.

    Empty where the overview cannot be decoded.
    """
    shrink = max(1.0, math.sqrt(view.area / PIXELS), FINEST_MPP / (slide.mpp or ASSUMED_MPP))
    try:
        overview = slide.thumbnail(max(1, round(max(view.width, view.height) / shrink)))
    except RegionUnreadable:
        return (), Look(slide.name, view, None, "overview of the whole slide: it cannot be decoded")
    step = view.width / overview.shape[1]
    mpp = None if slide.mpp is None else slide.mpp * step
    look = Look(slide.name, view, mpp, "overview of the whole slide at low power")

    def evidence(finding: Finding, region: Region = view, fields: tuple[Region, ...] = ()) -> Evidence:
        return Evidence(slide.name, region, mpp, finding, fields)

    pieces = _pieces(mask)
    found = [evidence(Finding("tissue_pieces", value=float(len(pieces)), source="measured"), fields=tuple(pieces[:16]))]
    x, y = _edges(view.x, overview.shape[1], step), _edges(view.y, overview.shape[0], step)
    looks, dense = _looks_of(overview, background_of(slide))
    whole = (mask.shares(x, y) >= 0.6) & (dense >= LEAST_DENSE)
    if int(whole.sum()) < LEAST_BLOCKS:
        why = "too little tissue to tell at low power what stands out"
        return (*found, evidence(Finding("low_power", abstained=True, reason=why, source="measured"))), look
    areas = _areas(looks, whole)
    found.append(evidence(Finding("low_power", value=float(len(areas)), source="measured")))
    for rows, columns in areas:
        box = Region(
            int(x[columns.min()]), int(y[rows.min()]),
            int(x[columns.max() + 1] - x[columns.min()]), int(y[rows.max() + 1] - y[rows.min()]),
        )  # fmt: skip
        label = _label(looks[rows, columns].mean(axis=0), np.median(looks[whole], axis=0))
        share = len(rows) / float(whole.sum())
        finding = Finding("odd_area", label=label, value=share, unit="share", source="measured")
        found.append(evidence(finding, box, (box,)))
    return tuple(found), look


def _edges(start: int, length: int, step: float) -> NDArray[np.int64]:
    return (start + np.arange(0, length - length % BLOCK + 1, BLOCK) * step).astype(np.int64)


def _pieces(mask: TissueMask) -> list[Region]:
    """Boxes of the pieces of tissue, largest first."""
    from scipy import ndimage

    labels, count = ndimage.label(mask.mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(labels)
    across, down = mask.region.width / mask.mask.shape[1], mask.region.height / mask.mask.shape[0]
    kept = [index for index in np.argsort(-areas, kind="stable") if areas[index] >= LEAST_PIECE * areas.sum()]
    return [
        Region(
            mask.region.x + int(boxes[index][1].start * across),
            mask.region.y + int(boxes[index][0].start * down),
            max(1, int((boxes[index][1].stop - boxes[index][1].start) * across)),
            max(1, int((boxes[index][0].stop - boxes[index][0].start) * down)),
        )
        for index in kept
    ]


def _looks_of(overview: NDArray[np.uint8], background: Background) -> tuple[Floats, Floats]:
    """Of each block (m, n, 3) the mean optical density of red, green and blue where it absorbs, and (m, n) the share
    of it that absorbs: glass at a border is no look of the tissue."""
    table = np.log10((np.asarray(background.glass)[None, :] + 1) / (np.arange(256)[:, None] + 1)).clip(0)
    rows, columns = overview.shape[0] // BLOCK, overview.shape[1] // BLOCK
    cut = overview[: rows * BLOCK, : columns * BLOCK]
    density = np.stack([table[:, channel].astype(np.float32)[cut[..., channel]] for channel in range(3)], axis=-1)
    absorbs = density.max(axis=-1) > background.threshold

    def summed(values: NDArray[Any]) -> Floats:
        sums: Floats = values.reshape(rows, BLOCK, columns, BLOCK).sum(axis=(1, 3), dtype=np.float64)
        return sums

    count = np.maximum(summed(absorbs), 1.0)
    means = [summed(density[..., channel] * absorbs) / count for channel in range(3)]
    return np.stack(means, axis=-1), count / BLOCK**2


def _areas(looks: Floats, whole: NDArray[np.bool_]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows and columns of the blocks of each area that stands out, largest first."""
    from scipy import ndimage

    far = np.zeros(whole.shape, bool)
    far[whole] = (_distances(looks[whole]) > FAR) & _noticeable(looks[whole])
    labels, count = ndimage.label(far, structure=np.ones((3, 3)))
    areas = [np.nonzero(labels == number) for number in range(1, count + 1)]
    kept = [(rows, columns) for rows, columns in areas if len(rows) >= LEAST_AREA]
    return sorted(kept, key=lambda area: -len(area[0]))[:MOST_AREAS]


def _distances(values: Floats) -> Floats:
    """Robust distance of each of n blocks (n, k) from the rest, in units of the median distance."""
    scale = np.median(np.abs(values - np.median(values, axis=0)), axis=0) + 1e-6
    scaled = (values - np.median(values, axis=0)) / scale
    distance = np.sqrt(np.square(scaled).sum(axis=1))
    for _ in range(STEPS):
        near = scaled[distance <= np.quantile(distance, 0.75)]
        spread = np.cov(near, rowvar=False) + 1e-3 * np.eye(near.shape[1])
        off = scaled - near.mean(axis=0)
        distance = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", off, np.linalg.inv(spread), off), 0.0))
    return np.asarray(distance / max(float(np.median(distance)), 1e-9))


def _differences(values: Floats, usual: Floats) -> tuple[Floats, Floats]:
    """Of blocks (n, 3) against the slide's usual (3,): change of the amount of stain (n,), and of its colour (n, 3)."""
    amount, before = values.sum(axis=-1), float(usual.sum())
    shift = values / np.maximum(amount, 1e-6)[..., None] - usual / max(before, 1e-6)
    return amount / max(before, 1e-6) - 1, shift


def _noticeable(values: Floats) -> NDArray[np.bool_]:
    amount, shift = _differences(values, np.median(values, axis=0))
    return np.asarray((np.abs(amount) >= LEAST_AMOUNT) | (np.abs(shift).max(axis=-1) >= LEAST_SHIFT))


def _label(there: Floats, usual: Floats) -> str:
    """How an area differs: in the amount of stain, in its colour, or in both."""
    amount, shift = _differences(there[None], usual)
    said = []
    if abs(amount[0]) >= LEAST_AMOUNT:
        said.append("darker" if amount[0] > 0 else "paler")
    red, green, blue = shift[0]
    if np.abs(shift[0]).max() >= LEAST_SHIFT or not said:
        # brown takes blue in place of green; what takes less red looks redder, what takes more of it bluer
        said.append("browner" if blue > 0 and green < min(red, 0) else "redder" if red < 0 else "bluer")
    return " and ".join(said)
