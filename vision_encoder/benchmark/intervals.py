"""Intervals by bootstrap over groups, paired: every encoder is measured on the same resamples.

A *sample vector* is float64 (1 + resamples,): its first entry is the figure on all groups as they are, the
others on resampled groups. Differences, means and ratios of figures are then plain arithmetic on vectors of
the same resamples, and the interval of any of them is read off at the end (percentile bootstrap; Efron &
Tibshirani 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 11

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Resamples:
    """How often each group is drawn: `counts` float32 (1 + resamples, g), its first row all ones.

    `of_row` (n,) is the number of the group of each row.
    """

    counts: NDArray[np.float32]
    of_row: NDArray[np.int64]


def resample_groups(groups: NDArray[np.object_], resamples: int = RESAMPLES, seed: int = SEED) -> Resamples:
    """Resamples of the groups of n rows; they depend on which groups there are, not on the order of the rows."""
    names, of_row = np.unique(groups.astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    counts = np.concatenate([np.ones((1, len(names))), drawn]).astype(np.float32)
    return Resamples(counts, of_row.astype(np.int64))


def balanced_accuracy(right: NDArray[np.float64], labels: NDArray[np.int64], resamples: Resamples) -> Samples:
    """Mean over classes of the share of right rows, a sample vector.

    Parameters
    ----------
    right : (n,) in [0, 1], how often each row was named rightly over seeds or draws
    labels : (n,) class numbers; a class that a resample lacks keeps there the share it has on all groups,
        else the mean would drift towards the classes with many groups
    """
    present, number = np.unique(labels, return_inverse=True)
    shape = (resamples.counts.shape[1], len(present))
    hits, rows = np.zeros(shape), np.zeros(shape)
    np.add.at(hits, (resamples.of_row, number), right)
    np.add.at(rows, (resamples.of_row, number), 1.0)
    drawn = resamples.counts @ rows
    observed = np.broadcast_to(hits.sum(axis=0) / rows.sum(axis=0), drawn.shape).copy()
    means: Samples = np.divide(resamples.counts @ hits, drawn, out=observed, where=drawn > 0).mean(axis=1)
    return means


def area_under_curve(scores: NDArray[np.float64], truth: NDArray[np.bool_], resamples: Resamples) -> Samples:
    """Area under the ROC curve of n rows, a sample vector; NaN where a resample has one class only.

    `scores` (repeats, n): the area is the mean over repeats, each ranked on its own.
    """
    above = np.zeros((int(truth.sum()), int((~truth).sum())))
    for row in scores:
        apart = row[truth][:, None] - row[~truth]
        above += (apart > 0) + 0.5 * (apart == 0)
    above /= len(scores)
    weights = resamples.counts[:, resamples.of_row].astype(np.float64)
    positive, negative = weights[:, truth], weights[:, ~truth]
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = ((positive @ above) * negative).sum(axis=1)
    areas: Samples = np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return areas


def estimate(samples: Samples) -> Estimate:
    """The figure with its percentile interval; resamples without a value are left out."""
    drawn = samples[1:][np.isfinite(samples[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Estimate(float(samples[0]), float(low), float(high))


def mean_of(samples: Sequence[Samples]) -> Samples:
    """Mean of figures, each counted alike."""
    means: Samples = np.mean(np.stack(samples), axis=0)
    return means


def error_removed(ours: Sequence[Samples], theirs: Sequence[Samples]) -> Samples:
    """Share of the mean error (1 - figure) of `theirs` that `ours` removes; below 0 where ours errs more."""
    left, before = 1 - mean_of(ours), 1 - mean_of(theirs)
    share: Samples = 1 - np.divide(left, before, out=np.full(len(left), np.nan), where=before > 0)
    # Where neither errs there is nothing to remove.
    share[(before <= 0) & (left <= 0)] = 0.0
    return share


def rounded(value: Any) -> Any:
    """The same tree of dictionaries and lists with floats of four decimals, NaN as None: fit for JSON."""
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
