"""Survival models beside ridge Cox and a random survival forest, in the same five folds of patients.

C is Harrell's, IBS the inverse-censoring-weighted Brier score over the middle of the times (Graf et al. 1999), D the p
of D-calibration over all left-out patients (Haider et al., JMLR 2020). A difference is the mean over folds with a
t interval, widened for the folds sharing their training rows (Nadeau and Bengio, Machine Learning 2003).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import SetupError

from .features import fit_features, fit_table
from .hazards import fit_hazards
from .recipe import Recipe, Settings, SurvivalSet, chosen_sets
from .tables import Rows, load_rows
from .train import fit, folds

Array = NDArray[np.float64]
Curves = Callable[[Rows, Array], Array]
"""Survival (n, t) of rows at days (t,)."""
_FOLDS = 5
_TREES = 150
_MEMBERS = 8
"""Refits while evaluating; the shipped models have more, for a steadier band."""


def evaluate_survival(
    recipe: Recipe, names: list[str], progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Figures of every model on the named sets, all of the recipe without names.

    Raises `SetupError` without scikit-survival.
    """
    try:
        import sksurv.ensemble  # noqa: F401
    except ImportError:
        raise SetupError("baselines need scikit-survival: pip install 'pathcopilot[survival]'") from None
    results: dict[str, Any] = {"folds": _FOLDS, "seed": recipe.settings.seed, "sets": {}}
    for made in chosen_sets(recipe, names):
        rows = load_rows(made, recipe.folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results["sets"][made.name] = _one_set(made, rows, replace(recipe.settings, members=_MEMBERS), progress)
    return results


def _one_set(made: SurvivalSet, rows: Rows, settings: Settings, progress: Callable[[str], None]) -> dict[str, Any]:
    fold = folds(rows.seen, _FOLDS, settings.seed)
    times = np.quantile(rows.days[rows.seen], np.linspace(0.1, 0.9, 30))
    figures: dict[str, list[tuple[float, float]]] = {}
    own: dict[str, Array] = {}
    for k in range(_FOLDS):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        train = rows.take(inside).told(made, held_out=False, seed=settings.seed)
        test = rows.take(outside).told(made, held_out=True, seed=settings.seed)
        for name, curves, shown in _models(made, train, test, settings):
            progress(f"{made.name}: fold {k + 1} of {_FOLDS}, {name}")
            figures.setdefault(name, []).append(_figures(curves, shown, train, times))
            at_own = curves(shown, np.unique(shown.days))
            places = np.searchsorted(np.unique(shown.days), shown.days)
            own.setdefault(name, np.zeros(len(rows)))[outside] = at_own[np.arange(len(shown)), places]
    best = max((name for name in figures if name.startswith(("Cox", "forest"))), key=lambda n: _mean(figures[n], 0))
    return {
        "patients": len(rows), "events": int(rows.seen.sum()), "endpoint": made.endpoint, "citation": made.citation,
        "best_baseline": best,
        "models": {name: _row(figures, own, name, best, rows.seen) for name in figures},
    }  # fmt: skip


def _row(
    figures: dict[str, list[tuple[float, float]]], own: dict[str, Array], name: str, best: str,
    seen: NDArray[np.bool_],
) -> dict[str, Any]:  # fmt: skip
    values, against = np.array(figures[name]), np.array(figures[best])
    row: dict[str, Any] = {
        "c": float(values[:, 0].mean()), "c_sd": float(values[:, 0].std(ddof=1)), "ibs": float(values[:, 1].mean()),
        "d_calibration_p": d_calibration(own[name], seen),
    }  # fmt: skip
    if name != best:
        row |= {"c_difference": _interval(values[:, 0] - against[:, 0]),
                "ibs_difference": _interval(values[:, 1] - against[:, 1])}  # fmt: skip
    return row


def d_calibration(survival: Array, seen: NDArray[np.bool_], bins: int = 10) -> float:
    """p of D-calibration: survival (n,) at each patient's own time must be uniform, censored mass spread below it."""
    from scipy.stats import chi2

    survival = np.clip(survival, 1e-9, 1 - 1e-9)
    edges = np.linspace(0, 1, bins + 1)
    counts = np.histogram(survival[seen], edges)[0].astype(np.float64)
    for s in survival[~seen]:
        counts += np.clip(s - edges[:-1], 0, 1 / bins) / s
    expected = len(survival) / bins
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), bins - 1))


def _models(made: SurvivalSet, train: Rows, test: Rows, settings: Settings) -> list[tuple[str, Curves, Rows]]:
    """Every model fitted on the training rows, with the rows that it is shown."""
    model = fit(made, train, settings)
    present = list(model.hazards.weights)

    def ours(rows: Rows, days: Array) -> Array:
        return model.hazards.curve(model.features(rows.patients), np.minimum(days, model.hazards.edges[-1]))[0]

    found: list[tuple[str, Curves, Rows]] = [("fused, all there", ours, test)]
    for name in present:
        alone = test
        for other in present:
            alone = alone if other == name else alone.without(other)
        found.append((f"fused, {name} alone", ours, alone))
        only = train
        for other in present:
            only = only if other == name else only.without(other)
        if len(present) > 1:
            found.append((f"fitted on {name} alone", _refit(made, only, settings), alone))
    plain = [replace(c, shape="linear") for c in made.covariates]
    for label, covariates in (("raw covariates", tuple(plain)), ("our covariates", made.covariates)):
        table = fit_table(covariates, train.patients)
        found.append((f"Cox, {label}", _cox(table, train), test))
    found.append(("forest, raw covariates", _forest(fit_table(tuple(plain), train.patients), train, settings), test))
    return found


def _refit(made: SurvivalSet, rows: Rows, settings: Settings) -> Curves:
    """A model of the only modality that these rows have, fitted without the others."""
    covariates = made.covariates if any(patient.covariates for patient in rows.patients) else ()
    features = fit_features(covariates, rows.patients, settings)
    vectors = {name: pair for name, pair in features(rows.patients).items() if pair[1].any()}
    hazards = fit_hazards(vectors, rows.days, rows.seen, features.table.groups(), settings)

    def curves(shown: Rows, days: Array) -> Array:
        return hazards.curve(features(shown.patients), np.minimum(days, hazards.edges[-1]))[0]

    return curves


def _outcome(rows: Rows) -> Any:
    from sksurv.util import Surv

    return Surv.from_arrays(rows.seen, rows.days)


def _cox(table: Any, train: Rows) -> Curves:
    from sksurv.linear_model import CoxPHSurvivalAnalysis

    fitted = CoxPHSurvivalAnalysis(alpha=1.0).fit(table(train.patients), _outcome(train))
    return _stepped(fitted, table)


def _forest(table: Any, train: Rows, settings: Settings) -> Curves:
    from sksurv.ensemble import RandomSurvivalForest

    forest = RandomSurvivalForest(_TREES, min_samples_leaf=10, random_state=settings.seed, n_jobs=1)
    return _stepped(forest.fit(table(train.patients), _outcome(train)), table)


def _stepped(fitted: Any, table: Any) -> Curves:
    def curves(rows: Rows, days: Array) -> Array:
        functions = fitted.predict_survival_function(table(rows.patients))
        low, high = functions[0].domain
        return np.array([f(np.clip(days, low, high)) for f in functions])

    return curves


def _figures(curves: Curves, test: Rows, train: Rows, times: Array) -> tuple[float, float]:
    from sksurv.metrics import concordance_index_censored, integrated_brier_score

    last = min(float(test.days.max()), float(train.days.max())) * 0.999
    grid = times[(times < last * 0.99) & (times > float(test.days.min()))]
    survival = curves(test, grid)
    risk = -np.log(np.maximum(survival, 1e-9)).mean(axis=1)
    c = float(concordance_index_censored(test.seen, test.days, risk)[0])
    # Who was followed longer than any training row has no weight in the censoring estimate.
    weighed = test.days < train.days.max()
    told = test.take(np.flatnonzero(weighed))
    return c, float(integrated_brier_score(_outcome(train), _outcome(told), survival[weighed], grid))


def _mean(figures: list[tuple[float, float]], place: int) -> float:
    return float(np.mean([figure[place] for figure in figures]))


def _interval(differences: Array) -> list[float]:
    from scipy.stats import t

    mean, n = float(differences.mean()), len(differences)
    half = float(t.ppf(0.975, n - 1)) * float(differences.std(ddof=1)) * np.sqrt(1 / n + 1 / (n - 1))
    return [mean, mean - half, mean + half]
