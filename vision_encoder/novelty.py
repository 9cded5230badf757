"""Whether tissue is unlike what a head was trained on, as a conformal p-value.

Score: one less the mean cosine to the ten nearest reference tiles, in the features' own space (Sun et al.,
"Out-of-distribution detection with deep nearest neighbors", ICML 2022). The reference is kept in axes
through the origin; what of a tile lies outside them lowers its cosine, and that is most of the signal: in
centred principal components the same score sees noise and photographs as ordinary tissue. A bag's score is
the median of its tiles'. The p-value compares it with calibration groups, one score a group, each against
the reference tiles of all other groups (Bates et al., Annals of Statistics 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .calibration import conformal_p_value
from .encoder import Features
from .projection import Projection, principal_axes, unit

NEIGHBOURS = 10
NOVELTY_LEVEL = 0.05
"""Below this p-value tissue counts as unlike: of ordinary tissue, one bag in twenty."""
BAG_SIZES = (1, 4, 16, 48)
"""Calibration is made for bags of these sizes; a bag in between uses the next smaller one."""
CASES, TILES, ALL = "cases", "tiles", "all"
"""Strata: tissue nearest to whole-slide cases, nearest to single labelled tiles, and both together."""

T = TypeVar("T")
Strata = Mapping[int, Mapping[str, T]]
"""Something calibrated by bag size and stratum; `all` is always there."""


def novelty_components(features: Features, axes: Projection) -> NDArray[np.float32]:
    """Unit features (n, d) in the reference's axes (n, p); the length lost is what lies outside them."""
    return axes(unit(features))


@dataclass(frozen=True)
class Novelty:
    """Reference tiles (m, p) of one head, of which `of_cases` (m,) are from whole slides, and its scores."""

    reference: NDArray[np.float32]
    of_cases: NDArray[np.bool_]
    scores: Strata[Sequence[float]]

    def read(self, components: NDArray[np.float32]) -> tuple[float, str]:
        """Conformal p-value in (0, 1] of a bag of n ≥ 1 tiles (n, p), and the stratum it belongs to.

        The stratum is a fixed function of the tiles, in calibration as here, so each has its own level.
        """
        score, share = tile_novelty(components, self.reference, self.of_cases)
        stratum = CASES if share.mean() >= 0.5 else TILES
        known = calibrated(self.scores, len(components), stratum)
        return conformal_p_value(float(np.median(score)), np.asarray(known)), stratum


def tile_novelty(
    components: NDArray[np.float32], reference: NDArray[np.float32], of_cases: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score in [0, 2] (large = unlike) and share of whole-slide neighbours, each (n,)."""
    similarity = components @ reference.T
    nearest = min(NEIGHBOURS, similarity.shape[1])
    top = np.argpartition(similarity, similarity.shape[1] - nearest, axis=1)[:, -nearest:]
    scores = 1 - np.take_along_axis(similarity, top, axis=1).mean(axis=1, dtype=np.float64)
    return scores, of_cases[top].mean(axis=1)


def calibrated(table: Strata[T], n: int, stratum: str) -> T:
    """What was calibrated for the largest bag size not above n (else the smallest), in the stratum."""
    fitting = [size for size in table if size <= n]
    strata = table[max(fitting) if fitting else min(table)]
    return strata[stratum] if stratum in strata else strata[ALL]


def novelty_axes(features: Features, dimensions: int) -> NDArray[np.float16]:
    """Axes (d, p) through the origin of unit features (n, d), each of length 1, as they are shipped."""
    axes = principal_axes(unit(features), dimensions, centred=False).axes
    half: NDArray[np.float16] = (axes / np.linalg.norm(axes, axis=0)).astype(np.float16)
    return half


def novelty_without_own_group(
    components: NDArray[np.float32],
    groups: NDArray[np.object_],
    reference: NDArray[np.float32],
    reference_groups: NDArray[np.object_],
    of_cases: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score and whole-slide share, each (n,), of tiles against the reference tiles of all other groups."""
    scores, shares = np.empty(len(groups)), np.empty(len(groups))
    for group in sorted(set(groups)):
        own, others = groups == group, reference_groups != group
        scores[own], shares[own] = tile_novelty(components[own], reference[others], of_cases[others])
    return scores, shares
