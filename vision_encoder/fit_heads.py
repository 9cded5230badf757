"""Fits one head by grouped folds on reduced features: its penalty, its slope, its held-out logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bags import Positions, Unit, tile_weights, unit_weights, units_of
from .calibration import Array, fit_bag_scale, softmax

Labels = NDArray[np.int64]
Groups = NDArray[np.object_]


@dataclass(frozen=True)
class View:
    """One training view: components (m, p) of the tiles at `positions` (m,), ascending."""

    positions: Positions
    components: NDArray[np.float32]

    def among(self, chosen: Positions) -> View:
        """The same view of the chosen tiles (ascending) only, numbered within them."""
        kept = np.isin(self.positions, chosen)
        return View(np.searchsorted(chosen, self.positions[kept]), self.components[kept])


def fit_linear(
    views: Sequence[View], labels: Labels, groups: Groups, penalty: float, balance: float
) -> tuple[Array, Array]:
    """Slope (k, p) and intercept (k,) of a ridge multinomial regression.

    Parameters
    ----------
    views : each has the same total weight, shared by groups and classes as `tile_weights` says
    labels, groups : (n,) of the tiles that the views' positions name; labels 0 … k-1, each at least once
    penalty : inverse strength of the ridge
    balance : as in `unit_weights`
    """
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate([view.components for view in views]).astype(np.float64)
    positions = np.concatenate([view.positions for view in views])
    # Each view weighs as many tiles as there are, over the number of views: the ridge means the same.
    weights = np.concatenate(
        [
            _weights(labels[view.positions], groups[view.positions], balance)
            * (len(labels) / len(view.positions) / len(views))
            for view in views
        ]
    )
    model = LogisticRegression(C=penalty, tol=1e-3, max_iter=500)
    model.fit(rows, labels[positions], sample_weight=weights)
    slope: Array = model.coef_
    intercept: Array = model.intercept_
    if len(slope) == 1:
        return np.vstack([-slope, slope]) / 2, np.concatenate([-intercept, intercept]) / 2
    return slope, intercept


def _weights(labels: Labels, groups: Groups, balance: float) -> Array:
    return tile_weights(units_of(groups, groups, labels), balance, len(labels))


def choose_penalty(
    views: Sequence[View],
    labels: Labels,
    groups: Groups,
    units: Sequence[Unit],
    settings: Mapping[str, Any],
) -> tuple[float, Array]:
    """The penalty with the least log loss on held-out groups, and its held-out logits (n, k)."""
    tried = {penalty: held_out_logits(views, labels, groups, penalty, settings) for penalty in settings["penalties"]}
    losses = {penalty: _group_loss(logits, units, settings["balance"]) for penalty, logits in tried.items()}
    best = min(losses, key=lambda penalty: losses[penalty])
    return best, tried[best]


def grouped_folds(labels: Labels, groups: Groups, settings: Mapping[str, Any]) -> Iterator[tuple[Positions, Positions]]:
    """Positions learned from and positions held out, for each fold; no group is on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(settings["folds"], shuffle=True, random_state=settings["seed"])
    yield from folds.split(labels, labels, groups)


def held_out_logits(
    views: Sequence[View],
    labels: Labels,
    groups: Groups,
    penalty: float,
    settings: Mapping[str, Any],
) -> Array:
    """Logits (n, k) of each tile read whole (the first view), from a fit on the folds without its group."""
    logits = np.zeros((len(labels), int(labels.max()) + 1))
    for fitted, held_out in grouped_folds(labels, groups, settings):
        present, renumbered = np.unique(labels[fitted], return_inverse=True)
        slope, intercept = fit_linear(
            [view.among(fitted) for view in views],
            renumbered,
            groups[fitted],
            penalty,
            settings["balance"],
        )
        found = views[0].components[held_out] @ slope.T + intercept
        # A class that only the held-out groups have cannot be found there: as improbable as the least.
        logits[held_out] = found.min(axis=1, keepdims=True)
        logits[np.ix_(held_out, present)] = found
    return logits


def _group_loss(logits: Array, units: Sequence[Unit], balance: float) -> float:
    """Weighted log loss of mean tile logits, one a unit, at their best temperature."""
    means = np.stack([logits[unit.tiles].mean(axis=0) for unit in units])
    labels = np.array([unit.label for unit in units])
    weights = unit_weights(units, balance)
    temperature, _ = fit_bag_scale(means, labels, np.ones(len(units), dtype=np.int64), weights)
    likelihood = softmax(means / temperature)[np.arange(len(labels)), labels]
    return float(-(weights * np.log(np.maximum(likelihood, 1e-12))).sum() / weights.sum())
