"""Rows to learn from: patients with the days until their event, or until they were last seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import SetupError, UsageError

from ..record import Patient, make_patient
from .grammar import written
from .recipe import Covariate, SurvivalSet


@dataclass(frozen=True)
class Rows:
    """Patients (n), `days` float64 (n,) above 0, and whether the event was seen (n,)."""

    patients: tuple[Patient, ...]
    days: NDArray[np.float64]
    seen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.patients)

    def take(self, index: NDArray[np.int64]) -> Rows:
        """The rows of these indices, in this order."""
        return Rows(tuple(self.patients[i] for i in index), self.days[index], self.seen[index])

    def without(self, modality: str) -> Rows:
        """The same rows without one modality: table, text, expression or slide."""
        fields: dict[str, dict[str, Any]] = {
            "table": {"covariates": {}},
            "text": {"text": ""},
            "expression": {"expression": None},
            "slide": {"slide": None},
        }
        empty = fields[modality]
        return replace(self, patients=tuple(replace(patient, **empty) for patient in self.patients))

    def told(self, made: SurvivalSet, *, held_out: bool, seed: int) -> Rows:
        """The same rows with report texts written from their covariates, in training's or in held-out wordings."""
        if not made.texts:
            return self
        texts = [written(patient, held_out=held_out, seed=seed + i) for i, patient in enumerate(self.patients)]
        pairs = zip(self.patients, texts, strict=True)
        return replace(self, patients=tuple(replace(patient, text=text) for patient, text in pairs))


def load_rows(made: SurvivalSet, folder: Path) -> Rows:
    """The rows of a set.

    Raises `SetupError` without the package that holds it; `UsageError` for a CSV that is missing, lacks a column,
    or holds a time or value that cannot be.
    """
    frame, days, seen = _raw(made, folder)
    rows: list[Patient] = []
    genes = [column for column in frame if made.expression and re.match(made.expression, column)]
    for i in range(len(days)):
        covariates: dict[str, tuple[Any, str | None]] = {
            covariate.name: value for covariate in made.covariates if (value := _cell(covariate, frame, i)) is not None
        }
        expression = {gene.removeprefix("X"): float(frame[gene][i]) for gene in genes} or None
        rows.append(make_patient(covariates, expression=expression))
    bad = ~np.isfinite(days) | (days < 0)
    if bad.any():
        raise UsageError(f"{int(bad.sum())} rows of {made.name} have no time that can be: mend column {made.time}")
    return Rows(tuple(rows), np.maximum(days, 0.5), seen)


def _cell(covariate: Covariate, frame: Mapping[str, Any], i: int) -> tuple[Any, str | None] | None:
    if covariate.column not in frame:
        raise UsageError(f"the table lacks the column {covariate.column}: mend the recipe")
    raw = frame[covariate.column][i]
    if covariate.levels:
        level = covariate.levels.get(str(raw))
        return None if level is None else (level if not level.isdigit() else float(level), None)
    number = float(raw) if str(raw).strip() else float("nan")
    return (number, covariate.unit) if np.isfinite(number) else None


def _raw(made: SurvivalSet, folder: Path) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.bool_]]:
    package, _, name = made.source.partition(":")
    if package == "sksurv":
        try:
            from sksurv import datasets
        except ImportError:
            raise SetupError("the public sets need scikit-survival: pip install 'pathcopilot[survival]'") from None
        covariates, outcome = getattr(datasets, name)()
        frame = {str(column): list(covariates[column]) for column in covariates.columns}
        days = np.asarray(outcome[made.time], dtype=np.float64) * made.days_per_unit
        return frame, days, np.asarray(outcome[made.event], dtype=bool)
    import csv
    import io

    from ..read import read_text

    table = list(csv.DictReader(io.StringIO(read_text(folder / made.source))))
    if not table or made.time not in table[0] or made.event not in table[0]:
        raise UsageError(f"{made.source} has no rows, or no columns {made.time} and {made.event}: mend the recipe")
    frame = {column: [row[column] for row in table] for column in table[0]}
    try:
        days = np.array([float(cell) for cell in frame[made.time]]) * made.days_per_unit
        return frame, days, np.array([float(cell) > 0 for cell in frame[made.event]])
    except ValueError:
        raise UsageError(f"{made.source} has a time or event that is no number: mend it") from None
