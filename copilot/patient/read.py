"""Reading patients: our JSON, a CSV of one row each, a FHIR R4 bundle, or a folder of OMOP-style event tables."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slides.errors import UsageError

from .privacy import clean_text, identifying_words, is_identifying
from .record import Event, Patient, make_patient, make_value

LARGEST = 64 * 1024 * 1024
"""Bytes of a file of records at most; an export of a whole hospital is read in parts."""
_FIELDS = ("covariates", "text", "expression", "slide", "events", "endpoint")
_UNIT = re.compile(r"^(.*?)\s*[\[(]([^\])]+)[\])]\s*$")


def read_patient(path: Path) -> Patient:
    """The one patient of a file or folder.

    Raises `UsageError` for a file that is missing, too large or in no format known here, that holds another number
    of patients than one, or that states what cannot be.
    """
    patients = read_patients(path)
    if len(patients) != 1:
        raise UsageError(f"{path.name} holds {len(patients)} patients: name a file with one")
    return patients[0]


def read_patients(path: Path) -> tuple[Patient, ...]:
    """Every patient of a file or folder, in its order; raises as `read_patient`."""
    if path.is_dir():
        from .omop import read_tables

        return read_tables(path)
    text = read_text(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _from_csv(text, path.name)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{path.name} is not JSON, and its name does not end in .csv: see docs/patient.md") from None
    if isinstance(content, Mapping) and "resourceType" in content:
        from .fhir import read_bundle

        return (read_bundle(content, path.name),)
    if isinstance(content, list):
        return tuple(patient_from_json(item, path.name) for item in content)
    return (patient_from_json(content, path.name),)


def read_text(path: Path) -> str:
    """A text file's content in UTF-8; raises `UsageError` where it is missing, too large or something else."""
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path.name} is larger than {LARGEST >> 20} MB: export fewer patients")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is not text in UTF-8: save it so") from None
    except OSError:
        raise UsageError(f"no readable file {path.name}: check the path") from None


def patient_from_json(content: Any, name: str = "the record") -> Patient:
    """A patient from our own JSON shape (docs/patient.md); fields that identify are left out and noted."""
    if not isinstance(content, Mapping):
        raise UsageError(f"{name} holds no record: one object with covariates, text, expression, slide, events")
    notes: list[str] = []
    words = identifying_words(content)
    for key in content:
        if key in _FIELDS:
            continue
        if not is_identifying(key):
            raise UsageError(f"{name} has a field {str(key)[:30]!r} that is not known: put it under covariates")
        notes.append("identifying fields left out")
    given = _mapping(content, "covariates", name)
    words += identifying_words(given)
    covariates: dict[str, tuple[Any, str | None]] = {}
    for key, raw in given.items():
        if is_identifying(key):
            notes.append("identifying fields left out")
        elif isinstance(raw, Mapping):
            covariates[key] = (raw.get("value"), _optional_text(raw, "unit"))
        else:
            covariates[key] = (clean_text(raw, words) if isinstance(raw, str) else raw, None)
    text = str(content.get("text") or "")
    cleaned = clean_text(text, words)
    if cleaned != text:
        notes.append("names, dates or numbers left out of the text")
    slide = content.get("slide")
    embedding, encoder = (None, None) if slide is None else _slide(slide, name)
    return make_patient(
        covariates,
        text=cleaned,
        expression=_levels(_mapping(content, "expression", name), name) if content.get("expression") else None,
        slide=embedding,
        slide_encoder=encoder,
        events=_events(content.get("events") or (), name),
        notes=notes,
    )


def _events(rows: Any, name: str) -> list[Event]:
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise UsageError(f"events of {name} is no list: give objects with day, name, value, unit")
    found: list[Event] = []
    for row in rows:
        if not isinstance(row, Mapping) or "name" not in row or not isinstance(row.get("day"), int | float):
            raise UsageError(f"an event of {name} lacks a day (a number) or a name: give both")
        what = clean_text(str(row["name"]))
        found.append(Event(float(row["day"]), what.lower(), make_value(what, row.get("value"), row.get("unit"))))
    return found


def _slide(slide: Any, name: str) -> tuple[list[float], str | None]:
    numbers = slide.get("embedding") if isinstance(slide, Mapping) else slide
    if not isinstance(numbers, list) or not all(_finite(number) for number in numbers):
        raise UsageError(f"slide of {name} is no list of numbers: give its embedding")
    return numbers, _optional_text(slide, "encoder") if isinstance(slide, Mapping) else None


def _levels(levels: Mapping[str, Any], name: str) -> dict[str, float]:
    if not all(_finite(level) for level in levels.values()):
        raise UsageError(f"expression of {name} holds something that is not a number: leave out what is unknown")
    return {gene: float(level) for gene, level in levels.items()}


def _finite(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < float("inf")


def _mapping(content: Mapping[str, Any], field: str, name: str) -> Mapping[str, Any]:
    value = content.get(field) or {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{field} of {name} is no object: give names with values")
    return value


def _optional_text(content: Mapping[str, Any], field: str) -> str | None:
    value = content.get(field)
    return None if value is None else str(value)


def _from_csv(text: str, name: str) -> tuple[Patient, ...]:
    dialect = csv.excel_tab if name.lower().endswith(".tsv") else csv.excel
    rows = csv.DictReader(io.StringIO(text), dialect=dialect)
    if not rows.fieldnames:
        raise UsageError(f"{name} is empty: give a header and one row a patient")
    found: list[Patient] = []
    for row in rows:
        if None in row or None in row.values():
            raise UsageError(f"line {rows.line_num} of {name} has another number of cells than the header: mend it")
        covariates: dict[str, Any] = {}
        content: dict[str, Any] = {"covariates": covariates}
        for column, cell in row.items():
            if column == "text":
                content["text"] = cell
            elif (match := _UNIT.match(column)) is not None:
                covariates[match[1]] = {"value": _number_or_text(cell), "unit": match[2]}
            else:
                covariates[column] = _number_or_text(cell)
        found.append(patient_from_json(content, f"line {rows.line_num} of {name}"))
    return tuple(found)


def _number_or_text(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
