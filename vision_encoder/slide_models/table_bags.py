"""Bags of a laboratory's own: a table of labels and a folder of features that `pathcopilot embed` wrote."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slides.errors import UsageError

from ..encoder import Encoder
from ..features import Progress
from .bag import Bag, BagSet
from .multitask import UNKNOWN
from .recipe import TaskTable

SEX = {"": UNKNOWN, "f": 0, "female": 0, "m": 1, "male": 1}


def table_bags(
    folder: Path, settings: Mapping[str, Any], tasks: Sequence[TaskTable], encoder: Encoder, progress: Progress
) -> BagSet:
    """One bag a line of the table; `settings` names it (`labels`) and the folder of features (`features`), both
    below `folder`.

    The table is a CSV with `path` (the slide or its HDF5 file), `patient`, a column a task, and where known `sex`.
    An empty label is not known. The features of a slide lie in a file of its name that ends in .h5.

    Raises
    ------
    UsageError : the table or a file of features cannot be read or does not fit; one line says which and why
    """
    path = folder / str(settings.get("labels", "labels.csv"))
    rows = _rows(path, tasks)
    bags, labels = [], []
    for number, row in enumerate(rows, 1):
        file = _features_of(folder / str(settings.get("features", ".")), row["path"])
        bags.append(_bag(file, row, encoder, path.name, number + 1))
        labels.append([_number(table, row, path.name, number + 1) for table in tasks])
        progress("features", number, len(rows))
    table = np.array(labels, dtype=np.int64).reshape(len(bags), len(tasks))
    return BagSet(
        bags=tuple(bags),
        labels={task.task.name: table[:, column] for column, task in enumerate(tasks)},
        classes={task.task.name: task.task.classes for task in tasks},
        source=f"{len(bags)} slides of a table of labels",
    )


def _rows(path: Path, tasks: Sequence[TaskTable]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [{name: value or "" for name, value in row.items() if name} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"cannot read {path.name}: the table of labels is a CSV in UTF-8 beside --data") from None
    if not rows:
        raise UsageError(f"{path.name} has no line below its header")
    for name in ("path", "patient", *(task.column for task in tasks)):
        if name not in rows[0]:
            raise UsageError(f"{path.name} has no column '{name}': it needs path, patient and a column a task")
    return rows


def _number(table: TaskTable, row: Mapping[str, str], name: str, line: int) -> int:
    value = row[table.column].strip()
    number = table.number(value)
    if value and number == UNKNOWN and not table.values:
        raise UsageError(f"line {line} of {name}: '{value}' is no class of task '{table.task.name}'")
    return number


def _features_of(folder: Path, told: str) -> Path:
    """The HDF5 file of a slide: itself, or a file of its name below the folder."""
    path = Path(told)
    for candidate in (folder / path, folder / f"{path.name}.h5", folder / f"{path.stem}.h5"):
        if candidate.suffix == ".h5" and candidate.is_file():
            return candidate
    raise UsageError(f"no features of {path.name}: write them with pathcopilot embed {path.name} --out {folder.name}")


def _bag(path: Path, row: Mapping[str, str], encoder: Encoder, name: str, line: int) -> Bag:
    if not row["patient"].strip():
        raise UsageError(f"line {line} of {name} names no patient: folds must not split one")
    sex = row.get("sex", "").strip().lower()
    if sex not in SEX:
        raise UsageError(f"line {line} of {name}: sex is f, m or empty, not '{sex}'")
    try:
        with h5py.File(path, "r") as file:
            features = np.asarray(file["features"], dtype=np.float32)
            coords = np.asarray(file["coords"], dtype=np.int64)
            made_with = str(file.attrs.get("encoder_sha256", encoder.sha256))
    except (OSError, KeyError):
        raise UsageError(f"{path.name} holds no features and coords: write it with pathcopilot embed") from None
    features = features.reshape(-1, features.shape[-1])  # some tools keep a first axis of length 1
    coords = coords.reshape(-1, 2)
    if made_with != encoder.sha256 or features.shape[1] != encoder.dimension:
        raise UsageError(f"{path.name} was embedded with another encoder than '{encoder.name}': embed it again")
    if not len(features) or len(features) != len(coords) or not np.isfinite(features).all():
        raise UsageError(f"{path.name} is empty or damaged: embed it again")
    return Bag(path.stem, row["patient"].strip(), features, coords, SEX[sex])
