"""Whether tissue is unlike what a head was trained on, as a conformal p-value.

Score: one less the mean cosine to the ten nearest reference tiles, in principal components of unit length
(Sun et al., "Out-of-distribution detection with deep nearest neighbors", ICML 2022). A bag's score is the
median of its tiles. The p-value compares it with calibration groups, one score a group, each against the
reference tiles of all other groups (Bates et al., "Testing for outliers with conformal p-values", 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import conformal_p_value

NEIGHBOURS = 10
BAG_SIZES = (1, 4, 16, 48)
"""Calibration is made for bags of these sizes; a bag in between uses the next smaller one."""


@dataclass(frozen=True)
class Novelty:
    """Reference tiles of one head, and its calibration scores.

    `scores[size][stratum]` are sorted scores of calibration groups at a bag size. Strata (whole-slide
    cases, single tiles) differ; the p-value is the largest over them, so that no kind of ordinary tissue is
    called new more often than its level.
    """

    reference: NDArray[np.float32]
    scores: Mapping[int, Mapping[str, Sequence[float]]]

    def p_value(self, components: NDArray[np.float32]) -> float:
        """Conformal p-value in (0, 1] of a bag of n ≥ 1 projected tiles (n, p)."""
        score = float(np.median(tile_novelty(components, self.reference)))
        strata = self.scores[calibrated_size(len(components), self.scores)]
        return max(conformal_p_value(score, np.asarray(known)) for known in strata.values())


def tile_novelty(components: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score in [0, 2] of each projected tile (n, p) against reference tiles (m, p); large = unlike them."""
    similarity = components @ reference.T
    nearest = min(NEIGHBOURS, similarity.shape[1])
    top = np.partition(similarity, similarity.shape[1] - nearest, axis=1)[:, -nearest:]
    scores: NDArray[np.float64] = 1 - top.mean(axis=1, dtype=np.float64)
    return scores


def calibrated_size(n: int, sizes: Mapping[int, object]) -> int:
    """The largest calibrated bag size that is not above n; the smallest there is when all are."""
    fitting = [size for size in sizes if size <= n]
    return max(fitting) if fitting else min(sizes)
