"""Tables of slides: `path,patient,label` for calibration and audit, `path,patient` for grouping."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slides import UsageError

_LABELS = {"0": False, "1": True}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One slide of a table; `path` is made absolute against the table, `positive` None where it has no labels."""

    path: Path
    patient: str
    positive: bool | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read, with the SHA-256 of the file."""

    name: str
    sha256: str
    rows: tuple[Labelled, ...]

    @property
    def patients(self) -> dict[str, list[Labelled]]:
        """Slides by patient, in the order in which they stand."""
        grouped: dict[str, list[Labelled]] = {}
        for row in self.rows:
            grouped.setdefault(row.patient, []).append(row)
        return grouped


def read_table(path: Path, *, labels: bool) -> Table:
    """A CSV in UTF-8 with a head line; `patient` is required, and `label` (1 = positive, 0) where `labels`.

    A patient with one positive slide is positive. Raises `UsageError` with the line at fault.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read {path.name or path}: {why}: name a CSV in UTF-8") from None
    wanted = ("path", "patient", "label") if labels else ("path", "patient")
    try:
        rows = tuple(_rows(path, csv.DictReader(io.StringIO(text, newline="")), wanted))
    except csv.Error as error:
        raise UsageError(f"{path.name} is no CSV: {error}") from None
    if not rows:
        raise UsageError(f"{path.name} names no slide: one line each below {','.join(wanted)}")
    seen: set[Path] = set()
    for row in rows:
        if row.path in seen:
            raise UsageError(f"{path.name} names the slide {row.path.name} twice: once is enough")
        seen.add(row.path)
    return Table(path.name, hashlib.sha256(content).hexdigest(), rows)


def _rows(path: Path, reader: csv.DictReader[str], wanted: Sequence[str]) -> list[Labelled]:
    names = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UsageError(f"{path.name} lacks the column {missing[0]}: its head line is {','.join(wanted)}")
    reader.fieldnames = names
    rows = []
    for row in reader:
        told = {name: (row.get(name) or "").strip() for name in wanted}
        at = f"{path.name} line {reader.line_num}"
        for name in ("path", "patient"):
            if not told[name]:
                raise UsageError(f"{at} has no {name}")
        if "label" in wanted and told["label"] not in _LABELS:
            raise UsageError(f"{at}: label is 1 (positive) or 0, not '{told['label'][:20]}'")
        place = (path.parent / told["path"]).resolve()
        rows.append(Labelled(place, told["patient"], _LABELS.get(told.get("label", ""))))
    return rows
