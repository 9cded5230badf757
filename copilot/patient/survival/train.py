"""Fitting one set's model: features, hazards, one calibration of all horizons, and what it may speak of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from .features import fit_features
from .hazards import Hazards, fit_hazards
from .model import SurvivalModel, distances
from .recipe import Recipe, Settings, SurvivalSet, chosen_sets
from .tables import Rows, load_rows

LEAST_EVENTS = 30
"""Below this many events no model is fitted."""
_FOLDS = 4
_FEW = 4


def fit(made: SurvivalSet, rows: Rows, settings: Settings) -> SurvivalModel:
    """The model of a set's rows.

    Raises `UsageError` for rows with fewer events than can carry a model.
    """
    if int(rows.seen.sum()) < LEAST_EVENTS:
        raise UsageError(f"{made.name} has {int(rows.seen.sum())} events: a model needs {LEAST_EVENTS}")
    features = fit_features(made.covariates, rows.patients, settings)
    groups = features.table.groups()
    vectors = features(rows.patients)
    hazards = fit_hazards(vectors, rows.days, rows.seen, groups, settings)
    hazards = replace(hazards, scaling=_scaling(made, rows, settings))
    reference = vectors["table"][0]
    ranges: dict[str, tuple[float, float]] = {}
    for covariate in made.covariates:
        if not covariate.levels:
            known = [number for p in rows.patients if (number := p.number(covariate.name)) is not None]
            ranges[covariate.name] = (min(known), max(known))
    return SurvivalModel(
        made,
        features,
        hazards,
        reference,
        distances(reference, reference, among=True),
        ranges,
        np.stack([rows.days, rows.seen.astype(np.float64)], axis=1),
        tuple({name: value.told for name, value in patient.covariates.items()} for patient in rows.patients),
    )


def folds(seen: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.int64]:
    """Fold (n,) of each patient, 0 to count - 1, as many events in each as can be."""
    draw = np.random.default_rng(seed)
    found = np.empty(len(seen), dtype=np.int64)
    for kind in (True, False):
        index = np.flatnonzero(seen == kind)
        found[draw.permutation(index)] = np.arange(len(index)) % count
    return found


def train_survival(
    recipe: Recipe, names: list[str], out: Path, progress: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Fits the named sets, those marked `ship` without names, and writes a folder each; gives their cards."""
    from .store import save_model

    cards: list[dict[str, Any]] = []
    for made in chosen_sets(recipe, names):
        if not names and not made.ship:
            continue
        progress(f"survival: {made.name}")
        rows = load_rows(made, recipe.folder).told(made, held_out=False, seed=recipe.settings.seed)
        model = fit(made, rows, recipe.settings)
        cards.append(save_model(model, recipe.settings, out / made.name))
    return cards


def _scaling(made: SurvivalSet, rows: Rows, settings: Settings) -> tuple[float, float]:
    """Shift and slope of the log cumulative hazard by the likelihood of left-out patients (van Houwelingen 2000)."""
    from scipy.optimize import minimize

    fold = folds(rows.seen, _FOLDS, settings.seed)
    log = np.empty(len(rows))
    for k in range(_FOLDS):
        inside, outside = rows.take(np.flatnonzero(fold != k)), rows.take(np.flatnonzero(fold == k))
        features = fit_features(made.covariates, inside.patients, settings)
        hazards = fit_hazards(
            features(inside.patients), inside.days, inside.seen, features.table.groups(), settings, members=_FEW
        )
        log[fold == k] = _at_own_time(hazards, features(outside.patients), outside.days)
    seen = rows.seen

    def loss(parameters: NDArray[np.float64]) -> float:
        shift, slope = parameters[0], np.exp(parameters[1])
        total = np.exp(np.clip(shift + slope * log, -40, 20))
        return float(total.sum() - (seen * (shift + parameters[1] + slope * log)).sum())

    found = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return float(found[0]), float(np.exp(found[1]))


def _at_own_time(hazards: Hazards, vectors: Any, days: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.minimum(days, hazards.edges[-1])
    order = np.unique(clipped)
    log = hazards.log_cumulative(vectors, order).mean(axis=0)
    return np.asarray(log[np.arange(len(days)), np.searchsorted(order, clipped)])
