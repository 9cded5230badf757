"""Fits one head by grouped folds, and calibrates it on the folds' held-out groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bags import Positions, Unit, tile_weights, unit_weights
from .calibration import Array, bag_scale, conformal_quantile, fit_bag_scale, softmax
from .encoder import Features
from .novelty import tile_novelty

LEAST_STRATUM = 9
"""Groups that a 90 % quantile needs: ⌈(n + 1) · 0.9⌉ ≤ n."""
NEVER = 1.01
"""A level no probability reaches."""
Bags = Sequence[tuple[int, int, Positions]]
Strata = dict[str, dict[str, list[float]]]


def fit_linear(
    views: Sequence[Features],
    labels: NDArray[np.int64],
    weights: Array,
    penalty: float,
    dimensions: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (k, d) and bias (k,) of a ridge multinomial regression in whitened principal components.

    Parameters
    ----------
    views : features (n, d) of the same n tiles, seen in several ways
    labels : (n,) class numbers, each of 0 … k-1 at least once
    weights : (n,) weight of each tile
    penalty : inverse strength of the ridge
    dimensions : principal components kept
    """
    from sklearn.linear_model import LogisticRegression

    features = np.concatenate(views).astype(np.float64)
    weights = np.tile(weights, len(views)) / len(views)
    mean = np.average(features, axis=0, weights=weights)
    centred = (features - mean) * np.sqrt(weights)[:, None]
    values, vectors = np.linalg.eigh(centred.T @ centred / weights.sum())
    kept = np.argsort(-values, kind="stable")[: min(dimensions, len(labels) - 1)]
    whitening = vectors[:, kept] / np.sqrt(values[kept] * len(kept))
    model = LogisticRegression(C=penalty, tol=1e-3, max_iter=500)
    model.fit((features - mean) @ whitening, np.tile(labels, len(views)), sample_weight=weights)
    slope, intercept = model.coef_, model.intercept_
    if len(slope) == 1:
        slope, intercept = np.vstack([-slope, slope]) / 2, np.concatenate([-intercept, intercept]) / 2
    weight = slope @ whitening.T
    return weight.astype(np.float32), (intercept - weight @ mean).astype(np.float32)


def choose_penalty(
    views: Sequence[Features],
    labels: NDArray[np.int64],
    groups: NDArray[np.object_],
    units: Sequence[Unit],
    settings: Mapping[str, Any],
) -> tuple[float, Array]:
    """The penalty with the least log loss on held-out groups, and its held-out logits (n, k)."""
    tried = {penalty: held_out_logits(views, labels, groups, penalty, settings) for penalty in settings["penalties"]}
    losses = {penalty: _group_loss(logits, units) for penalty, logits in tried.items()}
    best = min(losses, key=lambda penalty: losses[penalty])
    return best, tried[best]


def held_out_logits(
    views: Sequence[Features],
    labels: NDArray[np.int64],
    groups: NDArray[np.object_],
    penalty: float,
    settings: Mapping[str, Any],
) -> Array:
    """Logits (n, k) of each tile, read whole, from a fit on the folds without its group."""
    from sklearn.model_selection import StratifiedGroupKFold

    from .bags import units_of

    classes = int(labels.max()) + 1
    logits = np.zeros((len(labels), classes))
    folds = StratifiedGroupKFold(settings["folds"], shuffle=True, random_state=settings["seed"])
    for fitted, held_out in folds.split(labels, labels, groups):
        present, renumbered = np.unique(labels[fitted], return_inverse=True)
        units = units_of(groups[fitted], groups[fitted], renumbered)
        weights = tile_weights(units, len(present), len(fitted))
        weight, bias = fit_linear(
            [view[fitted] for view in views], renumbered, weights, penalty, settings["dimensions"]
        )
        found = views[0][held_out] @ weight.T + bias
        # A class that only the held-out groups have cannot be found there: as improbable as the least.
        logits[held_out] = found.min(axis=1, keepdims=True)
        logits[np.ix_(held_out, present)] = found
    return logits


def fit_scale(logits: Array, bags: Bags, units: Sequence[Unit], classes: int) -> tuple[float, float]:
    """Temperature and growth from bags of held-out groups; each class, and in it each group, counts alike."""
    means = np.stack([logits[positions].mean(axis=0) for _, _, positions in bags])
    numbers = np.array([number for _, number, _ in bags])
    sizes = np.array([size for size, _, _ in bags])
    labels = np.array([unit.label for unit in units])[numbers]
    weights = unit_weights(tuple(units), classes)[numbers] / np.bincount(numbers)[numbers]
    return fit_bag_scale(means, labels, sizes, weights)


class HeldOut:
    """Bags of held-out groups with their calibrated probabilities."""

    def __init__(
        self,
        logits: Array,
        bags: Bags,
        units: Sequence[Unit],
        scale: tuple[float, float],
        composition: bool,
    ) -> None:
        self.bags, self.units = bags, units
        tile_probabilities = softmax(logits / scale[0])
        self.probabilities = [
            tile_probabilities[positions].mean(axis=0)
            if composition
            else softmax(logits[positions].mean(axis=0) * bag_scale(size, *scale))
            for size, _, positions in bags
        ]

    def by_stratum(self, score: Callable[[int], float]) -> dict[int, dict[str, Array]]:
        """Scores by bag size and stratum, (groups, draws); `score` takes the number of a bag.

        A stratum with fewer groups than a 90 % quantile needs is joined to the others; where even
        together they are too few, the size is left out.
        """
        table: dict[int, dict[int, list[float]]] = {}
        for number, (size, unit, _) in enumerate(self.bags):
            table.setdefault(size, {}).setdefault(unit, []).append(score(number))
        strata: dict[int, dict[str, Array]] = {}
        for size, rows in table.items():
            kinds = {unit: self.units[unit].kind for unit in rows}
            counts = {kind: list(kinds.values()).count(kind) for kind in set(kinds.values())}
            if min(counts.values()) < LEAST_STRATUM:
                kinds = dict.fromkeys(rows, "all")
            if len(rows) < LEAST_STRATUM and size > 1:
                continue
            strata[size] = {
                kind: np.array([rows[unit] for unit in rows if kinds[unit] == kind])
                for kind in sorted(set(kinds.values()))
            }
        return strata

    def thresholds(self, coverage: float) -> dict[str, float]:
        """By bag size: the least probability of a class in the set; the lowest over the strata.

        Taking the lowest keeps the coverage in every stratum, at the price of larger sets in the easier.
        """

        def missed(number: int) -> float:
            unit = self.units[self.bags[number][1]]
            return float(1 - self.probabilities[number][unit.label])

        return {
            str(size): max(0.0, 1 - max(_median_quantile(table, coverage) for table in strata.values()))
            for size, strata in self.by_stratum(missed).items()
        }

    def accepted(self, least_accuracy: float) -> float:
        """The lowest top probability from which held-out groups were right at `least_accuracy`.

        In the worst stratum, over the largest bags of each group; `NEVER` where no level suffices.
        """
        largest: dict[int, int] = {}
        for size, unit, _ in self.bags:
            largest[unit] = max(size, largest.get(unit, 0))
        kinds = sorted({unit.kind for unit in self.units})
        rows = [
            (self.units[unit].kind, unit, float(p.max()), int(p.argmax()) == self.units[unit].label)
            for (size, unit, _), p in zip(self.bags, self.probabilities, strict=True)
            if size == largest[unit]
        ]
        levels = [_accepted(kind, rows, least_accuracy) for kind in kinds]
        return max(levels)

    def novelty_scores(self, novelty: Array) -> Strata:
        """By bag size and stratum: sorted median tile novelty of one bag a group."""
        table = self.by_stratum(lambda number: float(np.median(novelty[self.bags[number][2]])))
        return {
            str(size): {
                kind: sorted(round(float(value), 4) for value in scores[:, 0]) for kind, scores in strata.items()
            }
            for size, strata in table.items()
        }


def novelty_without_own_group(
    components: NDArray[np.float32],
    groups: NDArray[np.object_],
    reference: NDArray[np.float32],
    reference_groups: NDArray[np.object_],
) -> Array:
    """Novelty (n,) of each tile against the reference tiles of all other groups."""
    scores = np.empty(len(groups))
    for group in sorted(set(groups)):
        own = groups == group
        scores[own] = tile_novelty(components[own], reference[reference_groups != group])
    return scores


def _group_loss(logits: Array, units: Sequence[Unit]) -> float:
    """Log loss of mean tile logits at their best temperature, each class counting alike."""
    means = np.stack([logits[unit.tiles].mean(axis=0) for unit in units])
    labels = np.array([unit.label for unit in units])
    weights = unit_weights(tuple(units), logits.shape[1])
    temperature, _ = fit_bag_scale(means, labels, np.ones(len(units), dtype=np.int64), weights)
    likelihood = softmax(means / temperature)[np.arange(len(labels)), labels]
    return float(-(weights * np.log(np.maximum(likelihood, 1e-12))).sum() / weights.sum())


def _median_quantile(scores: Array, coverage: float) -> float:
    """Median over draws of the conformal quantile over groups; scores (groups, draws)."""
    quantiles = [conformal_quantile(scores[:, draw], coverage) for draw in range(scores.shape[1])]
    return min(float(np.median(quantiles)), 1.0)


def _accepted(kind: str, rows: Sequence[tuple[str, int, float, bool]], least_accuracy: float) -> float:
    confidence = np.array([row[2] for row in rows if row[0] == kind])
    correct = np.array([row[3] for row in rows if row[0] == kind])
    for level in np.linspace(0.3, 0.95, 14):
        spoken = confidence >= level
        groups = {row[1] for row in rows if row[0] == kind and row[2] >= level}
        if len(groups) >= LEAST_STRATUM and correct[spoken].mean() >= least_accuracy:
            return float(round(level, 2))
    return NEVER
