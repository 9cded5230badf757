"""How far a timeline model may be believed: replay of held-out stays, and edits whose true effects are known.

Both are made on stays that training never drew. The interval is conformal: over edits, the 90 % quantile of the error
of the simulated difference in units of `error_unit`; other edits, of another seed, say how often it holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cohort import LIMITS, Stays, draw_stays, true_risks
from .model import OUTCOMES, Timeline
from .tokens import admission

EDITS = 300
_REPLAYED = 2000
Array = NDArray[np.float64]


def calibrate(timeline: Timeline) -> dict[str, Any]:
    """What goes into the card: `replay` in tenths of risk with its slope, `quantiles` by outcome, `coverage`."""
    days = timeline.recipe.days
    stays = draw_stays(_REPLAYED, days, timeline.recipe.seed + 1000)
    simulated = timeline.exact_risks(_tokens(timeline, stays), days)[:, 0]
    happened = (stays.death > 0).astype(np.float64)
    order = np.argsort(simulated)
    tenths = [
        [round(float(simulated[part].mean()), 4), round(float(happened[part].mean()), 4)]
        for part in np.array_split(order, 10)
    ]
    told, seen = np.array(tenths, dtype=np.float64).T
    slope = float(np.polyfit(told, seen, 1)[0])
    scores = _scores(timeline, EDITS, timeline.recipe.seed + 2000)
    level = min(1.0, np.ceil(0.9 * (EDITS + 1)) / EDITS)
    quantiles = np.quantile(scores, level, axis=0)
    tested = _scores(timeline, EDITS, timeline.recipe.seed + 3000)
    return {
        "replay": {"stays": _REPLAYED, "slope": round(slope, 3), "simulated_and_observed": tenths},
        "quantiles": dict(zip(OUTCOMES, quantiles.round(4).tolist(), strict=True)),
        "coverage": dict(zip(OUTCOMES, (tested <= quantiles).mean(axis=0).round(3).tolist(), strict=True)),
        "edits": EDITS,
    }


def error_unit(factual: Array | float, edited: Array | float) -> Array:
    """The scale of a difference's error: rare outcomes are told more finely than common ones."""
    larger = np.maximum(np.sqrt(np.asarray(factual) * (1 - np.asarray(factual))),
                        np.sqrt(np.asarray(edited) * (1 - np.asarray(edited))))  # fmt: skip
    return np.asarray(0.02 + larger)


def drawn_edits(count: int, seed: int, days: int) -> tuple[Stays, Stays, Sequence[str]]:
    """Stays, the same with one of age, CRP and creatinine moved to another stay's value, and which one."""
    draw = np.random.default_rng(seed)
    before, other = draw_stays(count, days, seed), draw_stays(count, days, seed + 1)
    names = [str(draw.choice(list(LIMITS))) for _ in range(count)]
    values = {name: getattr(before, name).copy() for name in LIMITS}
    for i, name in enumerate(names):
        values[name][i] = getattr(other, name)[i]
    after = Stays(
        values["age"], before.female, values["crp"], values["creatinine"], before.blood, before.oxygen,
        before.remdesivir, before.dexamethasone, before.death, before.discharge,
    )  # fmt: skip
    return before, after, names


def _scores(timeline: Timeline, count: int, seed: int) -> Array:
    days = timeline.recipe.days
    before, after, _ = drawn_edits(count, seed, days)
    factual = timeline.exact_risks(_tokens(timeline, before), days)
    edited = timeline.exact_risks(_tokens(timeline, after), days)
    true = _true(after, days) - _true(before, days)
    return np.asarray(np.abs(edited - factual - true) / error_unit(factual, edited))


def _true(stays: Stays, days: int) -> Array:
    rows = zip(stays.age, stays.crp, stays.creatinine, strict=True)
    return np.array([[true_risks(*row, days)[name] for name in OUTCOMES] for row in rows])


def _tokens(timeline: Timeline, stays: Stays) -> NDArray[np.int64]:
    return admission(timeline.vocabulary, stays.age, stays.female, stays.crp, stays.creatinine, stays.blood)
