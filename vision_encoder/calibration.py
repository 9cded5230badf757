"""Calibrated probabilities and sets with a stated coverage, from the scores of held-out groups.

Assumption: the next group (patient, case) is exchangeable with the calibration groups. Tiles of one group
are not exchangeable with tiles of another, so every group gives one score, never one a tile.

Sources: Guo et al., "On calibration of modern neural networks", ICML 2017 (temperature); Vovk, Gammerman &
Shafer, *Algorithmic learning in a random world*, 2005, and Sadinle, Lei & Wasserman, JASA 2019 (sets by
least ambiguous classification). Numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    """Probabilities (…, k) of logits (…, k)."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def bag_scale(n: int, temperature: float, growth: float) -> float:
    """What the mean logits of a bag of n tiles are multiplied by: nᵍʳᵒʷᵗʰ / temperature.

    Independent tiles would add up (growth 1); tiles of one case say much the same (growth near 0).
    The scale is positive, so it never changes which class is the most probable.
    """
    return float(n**growth) / temperature


def fit_bag_scale(
    logits: Array, labels: NDArray[np.int64], sizes: NDArray[np.int64], weights: Array
) -> tuple[float, float]:
    """Temperature and growth that minimise the weighted log loss of held-out bags.

    Parameters
    ----------
    logits : (m, k) mean tile logits of m bags, each from a model that never saw the bag's group
    labels : (m,) true class of each bag
    sizes : (m,) tiles in each bag
    weights : (m,) weight of each bag

    Returns
    -------
    temperature in [0.002, 50] and growth in [0, 0.5]
    """
    from scipy.optimize import minimize

    rows = np.arange(len(labels))
    log_sizes = np.log(sizes.astype(np.float64))

    def loss(parameters: Array) -> float:
        scale = np.exp(parameters[1] * log_sizes - parameters[0])
        scaled = logits * scale[:, None]
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        log_likelihood = shifted[rows, labels] - np.log(np.exp(shifted).sum(axis=1))
        return float(-(weights * log_likelihood).sum() / weights.sum())

    limits = [(np.log(0.002), np.log(50.0)), (0.0, 0.5)]
    best = minimize(loss, np.array([0.0, 0.1]), bounds=limits, method="L-BFGS-B")
    return float(np.exp(best.x[0])), float(best.x[1])


def conformal_quantile(scores: Array, coverage: float) -> float:
    """The ⌈(n+1)·coverage⌉-th smallest of n scores; infinite where n is too small for the coverage.

    A new exchangeable score is at most this with probability ≥ `coverage`.
    """
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    return float("inf") if rank > len(scores) else float(np.sort(scores)[rank - 1])


def prediction_set(probabilities: Array, threshold: float) -> tuple[int, ...]:
    """Classes whose probability is at least `threshold`, most probable first; never empty.

    The most probable class is always in: adding a class can only raise the coverage.
    """
    order = np.argsort(-probabilities, kind="stable")
    kept = [int(index) for index in order if probabilities[index] >= threshold]
    return tuple(kept) if kept else (int(order[0]),)


def conformal_p_value(score: float, calibration: Array) -> float:
    """Share of calibration scores, the new one counted, that are as large or larger: small = unlike them."""
    return float((1 + np.count_nonzero(calibration >= score)) / (len(calibration) + 1))


def expected_calibration_error(confidence: Array, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean gap between stated and observed rate over `bins` bins of equal mass, in [0, 1]."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    gaps = [len(part) * abs(confidence[part].mean() - correct[part].mean()) for part in parts]
    return float(sum(gaps) / len(order))
