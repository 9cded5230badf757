"""Figures with intervals: shares, ratios and calibration, by bootstrap over groups of rows that belong together.

A group is a patient, or what stands for one; rows of one group are drawn together. The percentile intervals and
the resamples are those of `vision_encoder.benchmark.intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision_encoder.benchmark.intervals import Samples, estimate, resample_groups, rounded

BINS = 10
"""Equal-width bins of the calibration error (Guo et al. 2017)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, the ends of its 95 % interval (NaN without rows), and the number of rows behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "–"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    def as_json(self) -> dict[str, Any]:
        """Plain types; what has no value is None."""
        told: dict[str, Any] = rounded({"value": self.value, "low": self.low, "high": self.high}) | {"n": self.n}
        return told


NOTHING = Figure(float("nan"), float("nan"), float("nan"), 0)


def share(hits: Sequence[float], groups: Sequence[str]) -> Figure:
    """Mean of `hits` (n,), each in [0, 1] or any finite number; `groups` (n,) names the group of each row."""
    return ratio(hits, [1.0] * len(hits), groups)


def ratio(above: Sequence[float], below: Sequence[float], groups: Sequence[str]) -> Figure:
    """Sum of `above` over the sum of `below`, both (n,)."""
    return figure_of(ratio_samples(above, below, groups), len(above))


def difference(first: Sequence[float], second: Sequence[float], groups: Sequence[str]) -> Figure:
    """Mean of `first` less mean of `second`, paired: the same rows in the same groups."""
    ones = [1.0] * len(first)
    return figure_of(ratio_samples(first, ones, groups) - ratio_samples(second, ones, groups), len(first))


def ratio_samples(above: Sequence[float], below: Sequence[float], groups: Sequence[str]) -> Samples:
    """The ratio of sums on all groups, then on each resample: float64 (1 + resamples,), NaN where nothing is below."""
    if not len(above):
        return np.full(2, np.nan)
    drawn = resample_groups(np.asarray(groups, dtype=object))
    sums = np.zeros((drawn.counts.shape[1], 2))
    np.add.at(sums, drawn.of_row, np.stack([np.asarray(above, float), np.asarray(below, float)], axis=1))
    totals = drawn.counts @ sums
    samples: Samples = np.divide(
        totals[:, 0], totals[:, 1], out=np.full(len(totals), np.nan), where=np.abs(totals[:, 1]) > 0
    )
    return samples


def figure_of(samples: Samples, n: int) -> Figure:
    """The figure of a sample vector with its percentile interval."""
    if not n:
        return NOTHING
    found = estimate(samples)
    return Figure(found.value, found.low, found.high, n)


def calibration_error(said: Sequence[float], right: Sequence[bool], groups: Sequence[str]) -> Figure:
    """Expected calibration error: mean distance of the probability said from the share right, over ten bins.

    Naeini et al. 2015, equal-width bins. `said` (n,) in [0, 1]. The figure grows a little with few rows.
    """
    if not len(said):
        return NOTHING
    drawn = resample_groups(np.asarray(groups, dtype=object))
    place = np.minimum((np.asarray(said) * BINS).astype(int), BINS - 1)
    gaps = np.zeros((drawn.counts.shape[1], BINS))
    np.add.at(gaps, (drawn.of_row, place), np.asarray(said, float) - np.asarray(right, float))
    rows = np.bincount(drawn.of_row, minlength=drawn.counts.shape[1])
    whole = drawn.counts @ rows
    errors: Samples = np.abs(drawn.counts @ gaps).sum(axis=1) / np.maximum(whole, 1e-9)
    return figure_of(errors, len(said))


def risk_coverage(said: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """(coverage, share wrong among those covered), surest first; answers as sure as each other enter together.

    El-Yaniv & Wiener 2010. Empty without rows.
    """
    order = np.argsort(-np.asarray(said, float), kind="stable")
    sure, wrong = np.asarray(said, float)[order], ~np.asarray(right, bool)[order]
    ends = [end for end in range(1, len(order) + 1) if end == len(order) or sure[end] < sure[end - 1]]
    return [(end / len(order), float(wrong[:end].mean())) for end in ends]


def area_under_risk(curve: Sequence[tuple[float, float]]) -> float:
    """Mean risk over coverages, each step of the curve weighted by its width; NaN for an empty curve."""
    if not curve:
        return float("nan")
    widths: NDArray[np.float64] = np.diff([0.0, *(coverage for coverage, _ in curve)])
    return float(np.dot(widths, [risk for _, risk in curve]) / curve[-1][0])


def coverage_at(curve: Sequence[tuple[float, float]], risk: float) -> float:
    """Largest coverage with at most this share wrong; 0 where no part of the curve is that good."""
    return max((coverage for coverage, wrong in curve if wrong <= risk), default=0.0)
