"""OMOP-style event tables as patients: a folder of person, measurement, drug, condition and note tables in CSV.

Concept numbers are named by the folder's own concept table, by the table of quantities, or by the source value that
the row states. Person numbers order the patients and are then forgotten; dates become days from the first.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections import defaultdict
from pathlib import Path
from typing import Any

from slides.errors import UsageError

from .privacy import clean_text
from .quantities import canonical, quantity
from .record import Event, Patient, make_patient, make_value

_TABLES = {
    "measurement": "measurement",
    "observation": "observation",
    "drug_exposure": "drug",
    "condition_occurrence": "condition",
    "procedure_occurrence": "procedure",
}
_DATES = ("date", "datetime", "start_date", "start_datetime")
_UNITS = {"8840": "mg/dL", "8751": "mg/L", "8749": "umol/L", "8713": "g/dL", "8541": "/min", "8876": "mmHg",
          "9448": "years", "8588": "mm", "8582": "cm", "586323": "Cel", "9289": "[degF]"}  # fmt: skip
_SEXES = {"8507": "male", "8532": "female", "M": "male", "F": "female"}

Row = dict[str, str]


def read_tables(folder: Path) -> tuple[Patient, ...]:
    """The patients of a folder, ordered by person number.

    Raises `UsageError` for a folder without person.csv, a row of a person it lacks, or what cannot be.
    """
    people = {row["person_id"]: row for row in _rows(folder, "person")}
    if not people:
        raise UsageError(f"no person.csv with a column person_id in {folder.name}: export the OMOP tables as CSV")
    names = {row["concept_id"]: row["concept_name"] for row in _rows(folder, "concept")}
    dated: dict[str, list[tuple[datetime.date, str, Any, str | None]]] = defaultdict(list)
    notes: dict[str, list[str]] = defaultdict(list)
    for table, stem in _TABLES.items():
        for row in _rows(folder, table):
            date = _date(row, stem)
            if row.get("person_id") not in people:
                raise UsageError(f"{table}.csv has a row of a person that person.csv lacks: export both together")
            if date is None:
                notes[row["person_id"]].append(f"rows of {table} without a date left out")
                continue
            name, value, unit = _content(row, stem, names)
            dated[row["person_id"]].append((date, name, value, unit))
    for row in _rows(folder, "death"):
        if (date := _date(row, "death")) is not None and row["person_id"] in people:
            dated[row["person_id"]].append((date, "death", None, None))
    texts: dict[str, list[str]] = defaultdict(list)
    for row in _rows(folder, "note"):
        texts[row["person_id"]].append(clean_text(row.get("note_text", "")))
    return tuple(
        _patient(people[number], dated[number], "\n".join(texts[number]), notes[number])
        for number in sorted(people, key=lambda number: (len(number), number))
    )


def _patient(
    person: Row, dated: list[tuple[datetime.date, str, Any, str | None]], text: str, notes: list[str]
) -> Patient:
    dated.sort(key=lambda row: (row[0], row[1]))
    covariates: dict[str, tuple[Any, str | None]] = {}
    sex = _SEXES.get(person.get("gender_concept_id", "")) or _SEXES.get(person.get("gender_source_value", ""))
    if sex is not None:
        covariates["sex"] = (sex, None)
    events: list[Event] = []
    if dated:
        first = dated[0][0]
        if (year := person.get("year_of_birth", "")).isdigit():
            covariates["age"] = (float(first.year - int(year)), "years")
        for date, name, raw, unit in dated:
            value = make_value(name, raw, unit)
            events.append(Event(float((date - first).days), name, value))
            if value is not None:
                covariates[name] = (value.value, value.unit)  # the latest stands for now
    return make_patient(covariates, text=text, events=events, notes=[*notes, "person number and dates left out"])


def _content(row: Row, stem: str, names: dict[str, str]) -> tuple[str, Any, str | None]:
    number = row.get(f"{stem}_concept_id", "")
    known = quantity(number) if number else None
    source = row.get(f"{stem}_source_value", "")
    name = known.name if known else canonical(clean_text(names.get(number) or source or f"concept {number}"))
    raw: Any = row.get("value_as_number") or None
    if raw is not None:
        try:
            raw = float(raw)
        except ValueError:
            raise UsageError(f"{name} has {raw[:20]!r} in value_as_number: give a number or nothing") from None
    else:
        raw = row.get("value_as_string") or names.get(row.get("value_as_concept_id", "")) or None
    unit = row.get("unit_source_value") or _UNITS.get(row.get("unit_concept_id", "")) or None
    return name, raw, unit


def _date(row: Row, stem: str) -> datetime.date | None:
    for suffix in _DATES:
        text = row.get(f"{stem}_{suffix}") or (row.get(f"{stem}_exposure_{suffix}") if stem == "drug" else None)
        try:
            if text:
                return datetime.date.fromisoformat(text[:10])
        except ValueError:
            continue
    return None


def _rows(folder: Path, table: str) -> list[Row]:
    from .read import read_text

    path = next((path for path in sorted(folder.glob("*.csv")) if path.stem.lower() == table), None)
    if path is None:
        return []
    rows = csv.DictReader(io.StringIO(read_text(path)), restval="")
    found = [{(key or "").lower(): value for key, value in row.items() if isinstance(value, str)} for row in rows]
    needed = "concept_id" if table == "concept" else "person_id"
    if found and needed not in found[0]:
        raise UsageError(f"{path.name} has no column {needed}: export the OMOP tables as CSV")
    return found
