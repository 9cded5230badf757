"""Tiles that a user hands over as Parquet files in the layout of the labelled sets, and the tasks they make."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slides.errors import SetupError, UsageError

from ..reference_tiles import ReferenceTiles, as_group
from .labelled_sets import Positions, Task, columns_of, folded_task, split_task

NEEDED = ("id", "dataset", "group", "label", "split", "jpeg")
OPTIONAL = ("organ", "disease", "category", "stain", "terms")
GIVEN = "given"
"""The `kind` of tiles read here, beside `tiles` and `cases`."""


def read_given(paths: Sequence[Path]) -> ReferenceTiles:
    """Every tile of the files, each picture decoded once to know that it can be.

    Raises
    ------
    UsageError : a file cannot be read, lacks a column, holds no row, or holds a tile that is no picture
    SetupError : pyarrow is not installed
    """
    rows = [row for path in paths for row in _rows(path)]
    columns: dict[str, NDArray[Any]] = {}
    for column in fields(ReferenceTiles):
        values = np.empty(len(rows), dtype=object)
        values[:] = [row[column.name] for row in rows]
        columns[column.name] = values
    kinds = {"downsample": np.int64, "permissive": np.bool_, "certain": np.bool_}
    return ReferenceTiles(**{name: values.astype(kinds.get(name, object)) for name, values in columns.items()})


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SetupError('reading the tiles needs: pip install -c constraints.txt "pathcopilot[train]"') from error
    if not path.is_file():
        raise UsageError(f"no file {path.name}: --tiles takes Parquet files of labelled tiles")
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{path.name} is no Parquet file that can be read: give labelled tiles") from error
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise UsageError(f"{path.name} lacks the column(s) {', '.join(missing)}: it needs {', '.join(NEEDED)}")
    if not table.num_rows:
        raise UsageError(f"{path.name} holds no tile")
    return [_row(path, row) for row in table.to_pylist()]


def _row(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    words = {name: str(row.get(name) or "") for name in (*NEEDED[:5], *OPTIONAL)}
    if not words["dataset"] or not words["group"]:
        raise UsageError(f"{path.name}: tile '{words['id']}' has no dataset or no group; every tile needs both")
    _decode(path, words["id"], row["jpeg"])
    return {
        "id": f"{words['dataset']}/{words['id']}",
        "kind": GIVEN,
        "source": words["dataset"],
        "group": as_group(words["dataset"], words["group"]),
        "split": words["split"],
        "stain": words["stain"],
        "organ": words["organ"],
        "category": words["category"],
        "tissue": words["label"],
        "disease": words["disease"],
        "title": words["disease"] or words["label"],
        "downsample": 1,
        "permissive": words["terms"] == "permissive",
        "certain": True,
        "jpeg": row["jpeg"],
    }


def _decode(path: Path, tile_id: str, content: Any) -> None:
    try:
        Image.open(io.BytesIO(content)).convert("RGB")
    except Exception as error:  # Pillow raises a kind of its own for each damage
        raise UsageError(f"{path.name}: tile '{tile_id}' is no picture that can be decoded; leave it out") from error


def joined(first: ReferenceTiles, second: ReferenceTiles) -> ReferenceTiles:
    """The tiles of both, in this order."""
    names = [column.name for column in fields(ReferenceTiles)]
    return ReferenceTiles(**{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})


def given_tasks(tiles: ReferenceTiles) -> tuple[list[Task], list[str]]:
    """Tasks of the given tiles among `tiles`, and one note a set on what was left out and why.

    A set with rows of split `train` learns from them. One without, but known under the data, learns from the
    known training rows; given rows of a group that these hold are left out. Any other set is measured over
    grouped folds.
    """
    tasks: list[Task] = []
    notes: list[str] = []
    for source in sorted(set(tiles.source[tiles.kind == GIVEN])):
        found, told = _tasks_of_one(tiles, source)
        tasks += found
        notes += told
        if not found:
            notes.append(f"{source}: not measured; it needs two classes to learn and to test, and 8 tiles to test")
    return tasks, notes


def _tasks_of_one(tiles: ReferenceTiles, source: str) -> tuple[list[Task], list[str]]:
    given = np.flatnonzero((tiles.source == source) & (tiles.kind == GIVEN))
    known = np.flatnonzero((tiles.source == source) & (tiles.kind == "tiles") & (tiles.split == "train"))
    own = tiles.split[given] == "train"
    notes: list[str] = []
    if own.any() and not own.all():
        leaking = set(tiles.group[given[own]]) & set(tiles.group[given[~own]])
        if leaking:
            raise UsageError(f"{source}: group '{min(leaking)}' lies in split train and outside it; split by group")
        return _split_tasks(tiles, given, source, own, "its own split"), notes
    if not own.any() and len(known):
        seen = np.isin(tiles.group[given], list(set(tiles.group[known])))
        if seen.any():
            notes.append(f"{source}: {seen.sum()} given tiles are of groups among the training rows, left out")
        rows = np.concatenate([known, given[~seen]])
        trains = np.arange(len(rows)) < len(known)
        if found := _split_tasks(tiles, rows, source, trains, "training rows under the data folder"):
            return found, notes
    return [
        task
        for name, labels in columns_of(tiles, given, source)
        if (task := folded_task(tiles, given, labels, name)) is not None
    ], notes


def _split_tasks(
    tiles: ReferenceTiles, rows: Positions, source: str, trains: NDArray[np.bool_], how: str
) -> list[Task]:
    found = (split_task(tiles, rows, labels, name, trains, how) for name, labels in columns_of(tiles, rows, source))
    return [task for task in found if task is not None]
