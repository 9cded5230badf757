"""A fitted survival model: what it reads, whom it may speak of, and the curve it gives.

It refuses rather than guess: another endpoint or diagnosis, a covariate it needs, a value beyond those it learned
from, or a combination of values unlike every training patient (conformal p-value of the mean distance to the five
nearest, Bates et al., Annals of Statistics 2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from ..record import Patient, Value
from .features import Features
from .hazards import Hazards
from .recipe import SurvivalSet

YEAR = 365.25
NOVELTY_LEVEL = 0.01
"""Of ordinary patients one in a hundred is refused."""
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Horizon:
    """Calibrated risk of the endpoint within `years`, with its 90 % band."""

    years: float
    risk: float
    low: float
    high: float


@dataclass(frozen=True)
class Driver:
    """How the risk within `years` differs from that with `name` as usual (its training median), in points of 1."""

    name: str
    told: str
    usual: str
    years: float
    points: float


@dataclass(frozen=True)
class Similar:
    """One of the nearest training patients: its covariates, and the years until its event or its last visit."""

    covariates: Mapping[str, str]
    years: float
    event: bool


@dataclass(frozen=True)
class Prediction:
    """A survival curve at `days`, with what it rests on. `by_modality` is the risk at the last horizon from each
    modality alone; `median_years` None where the curve stays above one half as far as it is known."""

    model: str
    endpoint: str
    free_of: str
    days: tuple[float, ...]
    survival: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    horizons: tuple[Horizon, ...]
    median_years: float | None
    drivers: tuple[Driver, ...]
    by_modality: Mapping[str, float]
    similar: tuple[Similar, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    novelty: float


@dataclass(frozen=True)
class SurvivalModel:
    """`reference` (n, d) are the training patients' standardised covariates, `calibration` (n,) their distances to
    each other, `lowest` and `highest` the range of each number, `outcomes` (n, 2) days and event, `told` (n) words."""

    made: SurvivalSet
    features: Features
    hazards: Hazards
    reference: NDArray[np.float64]
    calibration: NDArray[np.float64]
    ranges: Mapping[str, tuple[float, float]]
    outcomes: NDArray[np.float64]
    told: tuple[Mapping[str, str], ...]
    sha256: str = ""

    def predict(self, patient: Patient, endpoint: str | None = None) -> Prediction:
        """The curve of one patient; raises `UsageError` for whom it may not speak of (see the module)."""
        self._check_scope(patient, endpoint)
        novelty = self._novelty(patient)
        last = float(self.hazards.edges[-1])
        horizons = [year for year in self.made.horizons_years if year * YEAR <= last]
        days = np.unique(np.concatenate([np.linspace(0, last, 41), [year * YEAR for year in horizons]]))
        vectors = self.features([patient])
        middle, low, high = (part[0] for part in self.hazards.curve(vectors, days))
        stated = [
            Horizon(year, *(float(1 - part[np.searchsorted(days, year * YEAR)]) for part in (middle, high, low)))
            for year in horizons
        ]
        below = np.flatnonzero(middle <= 0.5)
        median = None
        if len(below):
            i = int(below[0])
            part = (middle[i - 1] - 0.5) / max(middle[i - 1] - middle[i], 1e-9)
            median = float((days[i - 1] + part * (days[i] - days[i - 1])) / YEAR)
        alone: dict[str, float] = {}
        for name, (_, there) in vectors.items():
            if there[0] and sum(bool(present[0]) for _, present in vectors.values()) > 1:
                single = {other: (v, p if other == name else p & False) for other, (v, p) in vectors.items()}
                alone[name] = float(1 - self.hazards.curve(single, np.array([horizons[-1] * YEAR]))[0][0, 0])
        notes = list(patient.notes)
        if patient.text and "text" in vectors and not vectors["text"][1][0]:
            notes.append("the report's words are unlike those learned from: text not used")
        if patient.slide and self.features.slide is None:
            notes.append("no model of this endpoint has learned from slides: the slide's embedding not used")
        return Prediction(
            self.made.name, self.made.endpoint, self.made.free_of,
            tuple(days.tolist()), tuple(middle.tolist()), tuple(low.tolist()), tuple(high.tolist()),
            tuple(stated), median, self._drivers(patient, horizons[-1]), alone, self._similar(patient),
            self._missing(patient, {name: bool(there[0]) for name, (_, there) in vectors.items()}),
            tuple(notes), novelty,
        )  # fmt: skip

    def _check_scope(self, patient: Patient, endpoint: str | None) -> None:
        asked = endpoint or patient.word("endpoint")
        if asked and asked.lower() not in (self.made.endpoint.lower(), self.made.name):
            raise UsageError(f"model {self.made.name} knows {self.made.endpoint}, not {asked[:40]}: choose another")
        diagnosis = patient.word("diagnosis")
        if diagnosis is None or not re.search(rf"\b{self.made.diagnosis}", diagnosis):
            told = f"this is {diagnosis[:40]}" if diagnosis else "the record states no diagnosis"
            raise UsageError(f"model {self.made.name} speaks of patients with {self.made.diagnosis}; {told}")
        if self.made.sex and patient.word("sex") not in (self.made.sex, None):
            raise UsageError(f"model {self.made.name} has learned from {self.made.sex} patients only")
        lacking = [name for name in self.made.needed if patient.word(name) is None]
        if lacking:
            raise UsageError(f"model {self.made.name} needs {', '.join(lacking)}: add it to the record's covariates")
        for covariate in self.made.covariates:
            if covariate.levels:
                word, levels = patient.word(covariate.name), list(covariate.levels.values())
                if word is not None and word not in levels:
                    raise UsageError(f"{covariate.name} is {word[:30]!r}: the model knows {', '.join(levels)}")
            elif (number := patient.number(covariate.name)) is not None:
                low, high = self.ranges[covariate.name]
                if not low <= number <= high:
                    raise UsageError(
                        f"{covariate.name} of {number:g} lies outside what model {self.made.name} has learned from "
                        f"({low:g} to {high:g}): no prediction"
                    )

    def _novelty(self, patient: Patient) -> float:
        score = distances(self.features.table([patient]), self.reference)[0]
        p = float((1 + (self.calibration >= score).sum()) / (1 + len(self.calibration)))
        if p < NOVELTY_LEVEL:
            raise UsageError(
                f"this combination of covariates is unlike all {len(self.reference)} patients that model "
                f"{self.made.name} has learned from (p {p:.3f}): no prediction"
            )
        return p

    def _drivers(self, patient: Patient, years: float) -> tuple[Driver, ...]:
        held = [c for c in self.made.covariates if patient.word(c.name) is not None]
        if not held:
            return ()
        usual = self.features.table.usual
        # What a text says of a covariate stays when the table's value changes, so the table is asked alone.
        variants = [replace(patient, text="", expression=None, slide=None)]
        variants += [variants[0].with_covariate(c.name, _usual(usual[c.name], c.unit)) for c in held]
        risk = 1 - self.hazards.curve(self.features(variants), np.array([years * YEAR]))[0][:, 0]
        found = [
            Driver(c.name, patient.covariates[c.name].told, _usual(usual[c.name], c.unit).told, years,
                   float(risk[0] - risk[i + 1]))
            for i, c in enumerate(held)
        ]  # fmt: skip
        ordered = sorted(found, key=lambda driver: -abs(driver.points))
        return tuple(driver for driver in ordered[:5] if abs(driver.points) >= 0.01)

    def _similar(self, patient: Patient) -> tuple[Similar, ...]:
        gaps = np.linalg.norm(self.reference - self.features.table([patient]), axis=1)
        return tuple(
            Similar(self.told[i], round(float(self.outcomes[i, 0]) / YEAR, 2), bool(self.outcomes[i, 1]))
            for i in np.argsort(gaps, kind="stable")[:_NEIGHBOURS]
        )

    def _missing(self, patient: Patient, there: Mapping[str, bool]) -> tuple[str, ...]:
        lacking = [c.name for c in self.made.covariates if patient.word(c.name) is None]
        return tuple(lacking + [name for name, present in there.items() if not present])


def distances(rows: NDArray[np.float64], reference: NDArray[np.float64], *, among: bool = False) -> NDArray[np.float64]:
    """Mean distance (n,) of rows (n, d) to their five nearest of the reference (m, d); `among` leaves out oneself."""
    gaps = np.linalg.norm(rows[:, None] - reference[None], axis=-1)
    if among:
        np.fill_diagonal(gaps, np.inf)
    nearest = np.sort(gaps, axis=1)[:, :_NEIGHBOURS]
    return np.asarray(nearest.mean(axis=1))


def _usual(value: float | str, unit: str | None) -> Value:
    return Value(value) if isinstance(value, str) else Value(value, unit)
