"""What the simulated cohort says would follow, had an admission value been another: differences with intervals.

Only upstream values may be edited; eGFR is computed anew; what follows (oxygen, drugs, death) cannot be set. An edit
changes what the record says, not what a treatment would do, and no sentence here recommends one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from ..quantities import kept
from ..record import Patient
from .calibrate import error_unit
from .cohort import BLOOD, LIMITS, draw_stays, egfr
from .model import OUTCOMES, Timeline, counted
from .tokens import admission

UPSTREAM = ("age", "sex", "blood group", *list(LIMITS)[1:])
SUPPORT_LEVEL = 0.01
Z90 = 1.6448536
_REFERENCE = 3000
CAUTION = (
    "Simulated from a rule-made cohort of no real patient. An edit changes what the record says, not what a treatment "
    "would do; not for choosing treatment."
)


@dataclass(frozen=True)
class Record:
    """Admission values that the model reads; units years, mg/L and mg/dL."""

    age: float
    female: bool
    crp: float
    creatinine: float
    blood: int

    @property
    def egfr(self) -> float:
        """Derived filtration in mL/min/1.73 m²."""
        return egfr(self.creatinine, self.age, self.female)


@dataclass(frozen=True)
class Effect:
    """Simulated risks of one outcome with 90 % intervals of drawing, and their difference with a 90 % interval that
    also holds the model's error on edits of known effect."""

    outcome: str
    factual: float
    factual_interval: tuple[float, float]
    edited: float
    edited_interval: tuple[float, float]
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class WhatIf:
    """All of an answer; `support` is the conformal p-value of the factual and the edited record."""

    edits: dict[str, str]
    derived: dict[str, tuple[float, float]]
    days: int
    rollouts: int
    effects: tuple[Effect, ...]
    support: tuple[float, float]
    trajectories: dict[str, list[str]]
    replay: dict[str, object]
    notes: tuple[str, ...]
    simulated: bool = True
    caution: str = CAUTION


def record_of(patient: Patient) -> tuple[Record, tuple[str, ...]]:
    """The admission of a patient; raises `UsageError` where a value that the model reads is unknown or impossible."""
    values = {name: patient.number(name) for name in LIMITS}
    sex = patient.word("sex")
    lacking = [name for name, value in values.items() if value is None] + ([] if sex else ["sex"])
    if lacking:
        raise UsageError(f"a simulated timeline needs {', '.join(lacking)}: add it to the record's covariates")
    if sex not in ("female", "male"):
        raise UsageError("the simulated cohort knows sex as female or male: state one")
    group = (patient.word("blood group") or "").upper().replace("O", "0")
    notes = patient.notes if group in BLOOD else (*patient.notes, "blood group unknown: A assumed, it has no effect")
    blood = BLOOD.index(group) if group in BLOOD else 0
    age, crp, creatinine = (float(values[name] or 0.0) for name in LIMITS)
    return Record(age, sex == "female", crp, creatinine, blood), notes


def edited_record(record: Record, edits: list[str]) -> tuple[Record, dict[str, str]]:
    """The record after edits 'name=value' or 'name=value unit'.

    Raises `UsageError` for an edit that is no such pair, of something derived or that follows, or of a value that
    cannot be.
    """
    fields = {"age": record.age, "crp": record.crp, "creatinine": record.creatinine}
    female, blood = record.female, record.blood
    told: dict[str, str] = {}
    for edit in edits:
        name, mark, text = (part.strip().lower() for part in edit.partition("="))
        if not mark or not name or not text:
            raise UsageError(f"an edit is name=value, such as crp=250; not {edit[:30]!r}")
        if name == "egfr":
            raise UsageError("egfr is derived from creatinine, age and sex: edit one of these")
        if name in OUTCOMES:
            raise UsageError(f"{name} follows from the record and cannot be set: edit {', '.join(UPSTREAM)}")
        if name in fields:
            match = re.fullmatch(r"([-+]?\d+(?:\.\d+)?)\s*(\S.*)?", text)
            if match is None:
                raise UsageError(f"{name} takes a number and a unit, not {text[:20]!r}")
            units = {"age": "years", "crp": "mg/L", "creatinine": "mg/dL"}
            fields[name], unit = kept(name, float(match[1]), match[2] or units[name])
            told[name] = f"{fields[name]:g} {unit}"
        elif name == "sex" and text in ("female", "male"):
            female, told[name] = text == "female", text
        elif name == "blood group" and text.upper().replace("O", "0") in BLOOD:
            blood, told[name] = BLOOD.index(text.upper().replace("O", "0")), text.upper()
        else:
            raise UsageError(f"{name[:30]} cannot be edited to {text[:20]!r}: edit {', '.join(UPSTREAM)}")
    return Record(fields["age"], female, fields["crp"], fields["creatinine"], blood), told


def support(record: Record, what: str) -> float:
    """Conformal p-value of a record among simulated stays, by the mean distance to its five nearest.

    Raises `UsageError` outside the cohort's range or below p 0.01.
    """
    for name, (low, high) in LIMITS.items():
        value = getattr(record, name)
        if not low <= value <= high:
            raise UsageError(f"{what}: {name} of {value:g} lies outside of the simulated cohort ({low:g} to {high:g})")
    reference, scores = _supported()
    score = _distance(_place(*(np.array([getattr(record, name)]) for name in LIMITS))[0], reference)
    p = float((1 + (scores >= score).sum()) / (1 + len(scores)))
    if p < SUPPORT_LEVEL:
        raise UsageError(
            f"{what}: this combination of values is unlike the simulated cohort (p {p:.3f}): not simulated"
        )
    return p


def what_if(timeline: Timeline, patient: Patient, edits: list[str], days: int, rollouts: int, seed: int = 0) -> WhatIf:
    """Simulated risks of the record as it is and as edited, from `rollouts` stays an arm that share random numbers."""
    if not 1 <= days <= timeline.recipe.days:
        raise UsageError(f"--days is 1 to {timeline.recipe.days}: the simulated stays are no longer")
    if not 100 <= rollouts <= 100_000:
        raise UsageError("--rollouts is 100 to 100000")
    record, notes = record_of(patient)
    after, told = edited_record(record, edits)
    supports = (support(record, "the record"), support(after, "the edit"))
    arms = [timeline.roll_out(_tokens(timeline, one), rollouts, seed) for one in (record, after)]
    counts = [counted(arm, days).astype(np.float64) for arm in arms]
    effects = tuple(
        _effect(
            name, counts[0][:, k], counts[1][:, k], timeline.card["calibration"]["quantiles"][name], after != record
        )
        for k, name in enumerate(OUTCOMES)
    )
    return WhatIf(
        told, {"egfr": (round(record.egfr, 1), round(after.egfr, 1))}, days, rollouts, effects, supports,
        {"factual": [" ".join(stay) for stay in arms[0][:3]], "edited": [" ".join(stay) for stay in arms[1][:3]]},
        timeline.card["calibration"]["replay"], notes,
    )  # fmt: skip


def sentences(answer: WhatIf) -> list[str]:
    """The answer in words; each says that it is simulated, the replay of known stays first."""
    replay = answer.replay
    told = [f"Simulated replay of {replay['stays']} held-out simulated stays: observed against simulated risk of death "
            f"has slope {replay['slope']} (1 is right)."]  # fmt: skip
    change = ", ".join(f"{name} {value}" for name, value in answer.edits.items()) or "no edit"
    for effect in answer.effects:
        what = f"death within {answer.days} days" if effect.outcome == "death" else f"{effect.outcome} on day 0"
        low, high = (100 * end for end in effect.interval)
        told.append(
            f"Simulated {what}: {100 * effect.factual:.1f} % as recorded, {100 * effect.edited:.1f} % with {change}; "
            f"simulated difference {100 * effect.difference:+.1f} points (90 % interval {low:+.1f} to {high:+.1f})."
        )
    first, second = answer.derived["egfr"]
    told.append(f"Simulated from derived eGFR {first:g}, then {second:g} mL/min/1.73m2; {answer.rollouts} simulated "
                f"stays an arm; support p {answer.support[0]:.2f} and {answer.support[1]:.2f}.")  # fmt: skip
    return [*told, answer.caution]


def _effect(
    name: str, factual: NDArray[np.float64], edited: NDArray[np.float64], quantile: float, changed: bool
) -> Effect:
    n = len(factual)
    before, after = float(factual.mean()), float(edited.mean())
    paired = edited - factual
    drawing = Z90 * float(paired.std(ddof=1)) / np.sqrt(n)
    # Of a record that is the same nothing is uncertain; one changed within a bin still differs in truth.
    model = quantile * float(error_unit(before, after)) if changed else 0.0
    half = float(np.hypot(drawing, model))
    change = after - before
    return Effect(name, before, _wilson(before, n), after, _wilson(after, n), change, (change - half, change + half))


def _wilson(share: float, n: int) -> tuple[float, float]:
    z2 = Z90**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z90 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return float(middle - half), float(middle + half)


def _tokens(timeline: Timeline, record: Record) -> NDArray[np.int64]:
    one = (np.array([value]) for value in (record.age, record.female, record.crp, record.creatinine, record.blood))
    tokens: NDArray[np.int64] = admission(timeline.vocabulary, *one)[0]
    return tokens


@cache
def _supported() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Simulated stays (n, 3) that records are compared with, and the distances of others (n,) to them."""
    stays = draw_stays(_REFERENCE, 1, 99)
    known = _place(stays.age, stays.crp, stays.creatinine)
    reference, calibration = known[: _REFERENCE // 2], known[_REFERENCE // 2 :]
    return reference, np.array([_distance(row, reference) for row in calibration])


def _place(age: NDArray[np.float64], crp: NDArray[np.float64], creatinine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([(age - 64) / 17, np.log(crp / 60), np.log(creatinine / 1.1) / 0.5], axis=1)


def _distance(row: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    gaps = np.sort(np.linalg.norm(reference - row, axis=1))
    return float(gaps[:5].mean())
