"""Cases to learn from: a folder of slides with a labels file, or the sample slide."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slides import Region, UsageError

LABELS = "labels.csv"
"""Beside the slides: `path,diagnosis`, and where known `x,y,width,height` (level-0 pixels), `category`, `note`."""
NEGATIVE = ("negative", "normal", "benign", "no tumour", "no tumor", "no abnormality", "normal or reactive")
"""Diagnoses and categories of cases without a lesion."""
_SAMPLE = "CMU-1-Small-Region.svs"


@dataclass(frozen=True, slots=True)
class Case:
    """One unknown case.

    Attributes
    ----------
    id : "case N" by the order of the labels file; a file's name may give the diagnosis away
    path : the slide
    diagnosis : the truth, in the words of the labels file
    places : boxes in level-0 pixels of which each shows it; empty where none was drawn
    category : kind of process, or empty
    note : what a teacher adds, shown with the truth
    task : what the trainee is asked
    """

    id: str
    path: Path
    diagnosis: str
    places: tuple[Region, ...] = ()
    category: str = ""
    note: str = ""
    task: str = "What is it, and where is it seen best?"

    @property
    def negative(self) -> bool:
        """Whether there is no lesion to find."""
        return any(text.strip().lower() in NEGATIVE for text in (self.diagnosis, self.category))


def read_cases(place: Path) -> list[Case]:
    """The cases of a folder with `labels.csv`, of a labels file, or of the sample slide.

    Rows of one path are one case with several boxes. Raises `UsageError` for anything that cannot be taught from.
    """
    if place.is_dir():
        if (place / LABELS).is_file():
            return read_labels(place / LABELS)
        if (place / _SAMPLE).is_file():
            return [sample_case(place / _SAMPLE)]
        raise UsageError(f"{place.name or place} holds no {LABELS}: write one with the columns path,diagnosis")
    if place.name == _SAMPLE and place.is_file():
        return [sample_case(place)]
    if place.suffix.lower() == ".csv":
        return read_labels(place)
    raise UsageError(f"{place.name}: name a folder with {LABELS}, or such a file, to teach from")


def read_labels(file: Path) -> list[Case]:
    """The cases of a labels file; paths are relative to it."""
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read {file.name}: write it as CSV in UTF-8") from error
    if not rows or not {"path", "diagnosis"} <= set(rows[0]):
        raise UsageError(f"{file.name} needs a header with path,diagnosis and at least one row")
    by_path: dict[str, list[dict[str, str]]] = {}
    for number, row in enumerate(rows, 2):
        told = {str(name): str(value or "").strip() for name, value in row.items() if name is not None}
        if not told["path"] or not told["diagnosis"]:
            raise UsageError(f"line {number} of {file.name} has no path or no diagnosis")
        by_path.setdefault(told["path"], []).append({**told, "line": str(number)})
    return [_case(number, file, same) for number, same in enumerate(by_path.values(), 1)]


def sample_case(path: Path) -> Case:
    """The sample slide as a case: what to find on it was marked by us, by eye."""
    return Case(
        "case 1",
        path,
        "keratin",
        (Region(1290, 1000, 420, 650),),
        "normal or reactive",
        "Lamellae without nuclei, on the surface of the squamous epithelium.",
        "Draw a box on what lies in the cleft, and name it.",
    )


def _case(number: int, file: Path, rows: Sequence[dict[str, str]]) -> Case:
    first = rows[0]
    diagnoses = {row["diagnosis"].lower() for row in rows}
    if len(diagnoses) > 1:
        raise UsageError(f"line {rows[-1]['line']} of {file.name} gives {first['path']} a second diagnosis")
    path = file.parent / first["path"]
    if not path.exists():
        raise UsageError(f"line {first['line']} of {file.name}: there is no {first['path']}")
    places = tuple(place for row in rows if (place := _place(row, file)) is not None)
    return Case(f"case {number}", path, first["diagnosis"], places, first.get("category", ""), first.get("note", ""))


def _place(row: dict[str, str], file: Path) -> Region | None:
    numbers = [row.get(name, "") for name in ("x", "y", "width", "height")]
    if not any(numbers):
        return None
    try:
        return Region(*(int(float(number)) for number in numbers))
    except ValueError:
        raise UsageError(f"line {row['line']} of {file.name}: x, y, width, height must be four numbers") from None
