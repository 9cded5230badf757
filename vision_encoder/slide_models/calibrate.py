"""Probabilities and sets from held-out logits, one bag a patient counting once; silence where they do not settle it.

Sources: Platt, "Probabilistic outputs for support vector machines", 1999 (two classes: scale and offset); Guo et al.,
ICML 2017 (more classes: temperature); for the sets, those of `vision_encoder.calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration import conformal_quantile, softmax
from .bag import Matrix
from .multitask import UNKNOWN

COVERAGE = 0.9
LEAST_GROUPS = 19
"""Patients below which no probability is called calibrated: a 95 % quantile needs as many."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities are softmax(scale · logits + offset); a class is in the set from `threshold` on.

    `groups` patients were calibrated on; with fewer than 19 nothing is said.
    """

    scale: float
    offset: tuple[float, ...]
    threshold: float
    groups: int

    @property
    def usable(self) -> bool:
        """Whether probabilities may be called calibrated."""
        return self.groups >= LEAST_GROUPS

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities (…, k) of logits (…, k)."""
        return softmax(self.scale * logits + np.array(self.offset))

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "scale": self.scale,
            "offset": list(self.offset),
            "threshold": self.threshold,
            "groups": self.groups,
        }


def calibration_from(told: dict[str, Any]) -> Calibration:
    """What `as_json` gave."""
    return Calibration(told["scale"], tuple(told["offset"]), told["threshold"], told["groups"])


def fit_calibration(logits: Matrix, numbers: NDArray[np.int64], groups: NDArray[np.object_]) -> Calibration:
    """Scale, offset and the threshold of 90 % sets, from held-out logits.

    Parameters
    ----------
    logits : (s, k), each from a model that never saw the bag's group
    numbers : (s,) class numbers; bags not known are left out
    groups : (s,) patients: one of many slides counts as one
    """
    known = np.flatnonzero(numbers != UNKNOWN)
    names, of_row = np.unique(groups[known].astype(str), return_inverse=True)
    weights = (1 / np.bincount(of_row))[of_row]
    rows, truth = logits[known], numbers[known]
    scale, offset = _fit(rows, truth, weights)
    stated = softmax(scale * rows + offset)
    # one score a patient: the first of its slides
    first = np.unique(of_row, return_index=True)[1]
    scores = 1 - stated[first, truth[first]]
    quantile = conformal_quantile(scores, COVERAGE)
    threshold = 0.0 if np.isinf(quantile) else round(float(1 - quantile), 6)
    told = tuple(round(float(value), 6) for value in offset)
    return Calibration(round(float(scale), 6), told, threshold, len(names))


def _fit(rows: Matrix, truth: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The scale, and of two classes the offset, of the least weighted log loss; the offset pulled gently to 0."""
    from scipy.optimize import minimize

    classes = rows.shape[1]

    def parts(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        offset = np.array([-values[1] / 2, values[1] / 2]) if classes == 2 else np.zeros(classes)
        return float(np.exp(values[0])), offset

    def loss(values: NDArray[np.float64]) -> float:
        scale, offset = parts(values)
        scaled = scale * rows + offset
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        likelihood = shifted[np.arange(len(truth)), truth] - np.log(np.exp(shifted).sum(axis=1))
        return float(-(weights * likelihood).sum() / weights.sum() + 1e-3 * values[1] ** 2)

    limits = [(np.log(1e-3), np.log(1e3)), (-10.0, 10.0)]
    best = minimize(loss, np.zeros(2), bounds=limits, method="L-BFGS-B")
    return parts(best.x)
