"""A laboratory's own labelled tiles, read from a table or from folders of pictures, and what makes them unfit.

Three layouts. A CSV file (or a folder with `labels.csv`) of the columns `path`, label and group, and where
they are known `split` and `mpp`; paths are relative to the CSV. A Parquet file (or a folder of them) with the
pictures in the column `jpeg`. A folder of one subfolder a class, where a regular expression with one capture
finds the group in the name of each file. A group is a patient, or the closest thing that is known: what may not
lie on both sides of a split.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slides.errors import SetupError, UsageError

from .duplicates import near_identical, thumbnail
from .features import Progress, silent
from .preprocess import to_rgb
from .reference_tiles import ReferenceTiles, as_group

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
TRAIN = ("train", "training", "")
"""Words of the split column that admit a tile to training; every other word holds it out."""
SMALLEST_PX = 32
NAMED, BROKEN_NAMED = 3, 20
"""Offenders named in a refusal."""
LONGEST_LABEL = 60
WHY_GROUPS = "a tile of the same patient would lie on both sides of a split, and every figure would flatter"


@dataclass(frozen=True)
class LabTiles:
    """n tiles (label in the column `tissue`), µm/px (n,) or nan, shorter side in px (n,), and how many had no label."""

    tiles: ReferenceTiles
    mpp: NDArray[np.float64]
    sides: NDArray[np.int64]
    unlabelled: int


@dataclass(frozen=True)
class Columns:
    """How the columns of a table are called, and the pattern of the group in file names of class folders."""

    label: str = "label"
    group: str = "group"
    group_pattern: str | None = None


def read_lab_tiles(source: Path, columns: Columns, stain: str, progress: Progress = silent) -> LabTiles:
    """The labelled tiles under `source`, every picture opened once.

    Raises
    ------
    UsageError : nothing there, labels that are no words, a tile without a group, pictures that cannot be read
        (up to 20 are named), a group in two splits, or one picture in two groups
    SetupError : a Parquet file, and pyarrow is not installed
    """
    rows = list(_rows(source, columns))
    if not rows:
        raise UsageError(f"{source.name}: no tile there: name a CSV, a Parquet file, or a folder of class folders")
    labelled = [row for row in rows if row["label"]]
    if len({row["label"] for row in labelled}) < 2:
        raise UsageError(f"{source.name}: fewer than two labels in '{columns.label}': a head tells classes apart")
    for label in sorted({row["label"] for row in labelled}):
        if len(label) > LONGEST_LABEL or not any(sign.isalpha() for sign in label):
            raise UsageError(
                f"the label '{label[:LONGEST_LABEL]}' is no word: answers say it, so write 'normal', not 0"
            )
    if missing := [row["id"] for row in labelled if not row["group"]]:
        raise UsageError(f"{_listed(missing)}: no group is given: without it {WHY_GROUPS}")
    _refuse_split_groups(labelled)
    tiles = _as_reference_tiles(labelled, stain)
    thumbnails, sides = _opened(tiles, progress)
    _refuse_same_pictures(tiles, thumbnails)
    mpp = np.array([row["mpp"] or np.nan for row in labelled], dtype=np.float64)
    return LabTiles(tiles, mpp, sides, len(rows) - len(labelled))


def _rows(source: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    """One row a tile: id, label, group, split, mpp, and its picture as bytes or a path."""
    if source.is_dir():
        tables = sorted(source.glob("*.parquet"))
        if (source / "labels.csv").is_file():
            yield from _csv_rows(source / "labels.csv", columns)
        elif tables:
            for table in tables:
                yield from _parquet_rows(table, columns)
        else:
            yield from _folder_rows(source, columns)
    elif source.suffix == ".parquet" and source.is_file():
        yield from _parquet_rows(source, columns)
    elif source.is_file():
        yield from _csv_rows(source, columns)
    else:
        raise UsageError(f"{source.name}: there is no such file or folder: check the name")


def _csv_rows(path: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path.name} cannot be read: name a CSV file in UTF-8") from None
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ",")
    _require(path, columns, {name or "" for name in reader.fieldnames or ()}, "path")
    for row in reader:
        name = (row["path"] or "").strip()
        if not name:
            raise UsageError(f"{path.name} line {reader.line_num}: the path is empty")
        yield _row(name, row, columns, path.parent / name)


def _parquet_rows(path: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    present, rows = read_parquet(path)
    _require(path, columns, present, "jpeg")
    for number, row in enumerate(rows):
        found = _row(str(row.get("id") or f"{path.stem} row {number}"), row, columns, row["jpeg"] or b"")
        if row.get("dataset") and found["group"]:
            found["group"] = as_group(str(row["dataset"]), found["group"])
        yield found


def read_parquet(path: Path) -> tuple[set[str], list[dict[str, Any]]]:
    """Names of the columns, and the rows.

    Raises
    ------
    UsageError : there is no such file, or it is no Parquet file
    SetupError : pyarrow is not installed
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SetupError('reading Parquet needs: pip install -c constraints.txt "pathcopilot[train]"') from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException):
        raise UsageError(f"{path.name} cannot be read: it is no Parquet file") from None
    return set(table.column_names), table.to_pylist()


def _folder_rows(source: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    found = [
        (folder.name, path)
        for folder in sorted(path for path in source.iterdir() if path.is_dir())
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURES
    ]
    if found and columns.group_pattern is None:
        raise UsageError(
            f"the groups are not known: say how a file's name tells its patient or slide, such as "
            f"--group-pattern '^([^_]+)_', or write a labels.csv with path, label, group; without it {WHY_GROUPS}"
        )
    pattern = _pattern(columns.group_pattern or "")
    for label, path in found:
        match = pattern.search(path.name)
        group = match[1] if match else ""
        name = str(path.relative_to(source))
        yield _row(name, {columns.label: label, columns.group: group}, columns, path)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--group-pattern is no regular expression: {error}") from None
    if text and pattern.groups != 1:
        raise UsageError("--group-pattern needs one pair of brackets around the group, such as '^([^_]+)_'")
    return pattern


def _require(path: Path, columns: Columns, present: set[str], picture: str) -> None:
    if picture not in present:
        raise UsageError(f"{path.name} has no column '{picture}', which holds the tiles' pictures")
    if columns.label not in present:
        raise UsageError(f"{path.name} has no column '{columns.label}': name the one with --label-column")
    if columns.group not in present:
        raise UsageError(
            f"{path.name} has no column '{columns.group}' that names the patient or slide of each tile: "
            f"add it, or name yours with --group-column; without it {WHY_GROUPS}"
        )


def _row(name: str, row: Mapping[str, Any], columns: Columns, picture: Path | bytes) -> dict[str, Any]:
    def word(column: str) -> str:
        value = row.get(column)
        return "" if value is None else " ".join(str(value).split())

    try:
        mpp = float(word("mpp") or "nan")
    except ValueError:
        raise UsageError(f"{name}: the µm/px '{word('mpp')}' is no number") from None
    return {
        "id": name,
        "label": word(columns.label),
        "group": word(columns.group),
        "split": word("split").lower(),
        "mpp": mpp if mpp > 0 else None,
        "picture": picture,
    }


def _refuse_split_groups(rows: Sequence[Mapping[str, Any]]) -> None:
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["group"], set()).add(_split(row["split"]))
    if leaking := [group for group, names in sorted(splits.items()) if len(names) > 1]:
        raise UsageError(f"the split leaks: {_listed(leaking)} in more than one split: keep each group in one")


def _split(word: str) -> str:
    return "train" if word in TRAIN else word


def _as_reference_tiles(rows: Sequence[Mapping[str, Any]], stain: str) -> ReferenceTiles:
    count = len(rows)
    values: dict[str, list[Any]] = {
        "id": [row["id"] for row in rows],
        "kind": ["tiles"] * count,
        "source": ["own"] * count,
        "group": [row["group"] for row in rows],
        "split": [_split(row["split"]) for row in rows],
        "stain": [stain] * count,
        "tissue": [row["label"] for row in rows],
        "jpeg": [row["picture"] for row in rows],
    }
    columns: dict[str, NDArray[Any]] = {
        "downsample": np.ones(count, dtype=np.int64),
        "permissive": np.ones(count, dtype=np.bool_),
        "certain": np.ones(count, dtype=np.bool_),
    }
    for column in fields(ReferenceTiles):
        if column.name not in columns:
            columns[column.name] = np.empty(count, dtype=object)
            columns[column.name][:] = values.get(column.name, [""] * count)
    return ReferenceTiles(**columns)


def _opened(tiles: ReferenceTiles, progress: Progress) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Thumbnails (n, 32, 32) and shorter sides (n,); raises `UsageError` that names every unreadable picture."""
    thumbnails, sides, broken = [], [], []
    for position in range(len(tiles)):
        try:
            picture = opened_tile(tiles.content(position), tiles.id[position])
        except (OSError, UsageError):
            broken.append(tiles.id[position])
            continue
        thumbnails.append(thumbnail(picture))
        sides.append(min(picture.size))
        if position % 64 == 63 or position + 1 == len(tiles):
            progress("opening tiles", position + 1, len(tiles))
    if broken:
        many = "tile" if len(broken) == 1 else "tiles"
        raise UsageError(
            f"{len(broken)} {many} cannot be read or are under {SMALLEST_PX} px: {_listed(broken, BROKEN_NAMED)}: "
            "mend them or leave them out"
        )
    return np.stack(thumbnails), np.array(sides, dtype=np.int64)


def opened_tile(content: bytes, name: str) -> Image.Image:
    """The RGB picture of an encoded tile, decoded to its end, as a file cut short must not pass.

    Raises
    ------
    UsageError : it cannot be read, or is under 32 px
    """
    try:
        picture = to_rgb(Image.open(io.BytesIO(content)))
        picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise UsageError(f"{name} cannot be read: mend it or leave it out") from None
    if min(picture.size) < SMALLEST_PX:
        raise UsageError(f"{name} is under {SMALLEST_PX} px: leave it out")
    return picture


def _refuse_same_pictures(tiles: ReferenceTiles, thumbnails: NDArray[np.float32]) -> None:
    pairs = list(near_identical(thumbnails, tiles.group))
    if not pairs:
        return
    pairs.sort(key=lambda pair: bool(tiles.split[pair[0]] == tiles.split[pair[1]]))
    where = "groups" if tiles.split[pairs[0][0]] == tiles.split[pairs[0][1]] else "splits"
    named = ", ".join(
        f"{tiles.id[i]} ({tiles.group[i]}) and {tiles.id[j]} ({tiles.group[j]})" for i, j in pairs[:NAMED]
    )
    more = f" and {len(pairs) - NAMED} more pairs" if len(pairs) > NAMED else ""
    raise UsageError(
        f"the split leaks: the same picture lies in two {where}: {named}{more}: "
        "give them one group, or leave the copies out"
    )


def _listed(names: Sequence[str], most: int = NAMED) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
