"""The tasks: what is to be told apart in each labelled set, on which rows it is learned and on which tested.

The main task of a set is its own `label`. Where the set's categories say something else (benign against
malignant among eight tumours), `malignant` against normal or benign is a second task; it is shown and does
not count in the mean, so that each set counts once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..reference_tiles import ReferenceTiles

SEEDS = (0, 1, 2)
FOLDS = 5
LEAST_TESTED = 8
"""A set with fewer tiles to test than this moves by tenths with a single tile and is left out."""

HARMLESS = ("normal", "normal/reactive/other", "benign tumour")
NOT_HISTOLOGY = ("", "none", "not histology", "Pap", "Giemsa", "May-Gruenwald-Giemsa", "DAPI", "cytology")

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to test, as positions within the task; `seed` steers what is drawn."""

    train: Positions
    test: Positions
    seed: int


@dataclass(frozen=True)
class Task:
    """What is told apart in one set.

    `rows` (m,) are positions in the tiles; `labels` (m,) number `classes`; `groups` (m,) are never split.
    `name` is the set's own, `source`, for its main task. Every row of `tested` (t,), positions within the
    task, is tested in at least one of `splits`; `how` says where the training rows come from.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    rows: Positions
    labels: Positions
    groups: NDArray[np.object_]
    splits: tuple[Split, ...]
    histology: bool
    how: str

    @property
    def tested(self) -> Positions:
        """Positions within the task of the rows that are tested, ascending."""
        return np.unique(np.concatenate([split.test for split in self.splits]))

    @property
    def trained(self) -> Positions:
        """Positions within the task of the rows that are learned from, ascending."""
        return np.unique(np.concatenate([split.train for split in self.splits]))


def tasks_of(tiles: ReferenceTiles) -> list[Task]:
    """The tasks of every set whose split `train` and split `dev` both hold two classes or more.

    Training rows are the split `train`, tested ones the split `dev`; a tested row whose class has no training
    row is left out, and so is a set with fewer than 8 rows to test.
    """
    tasks = []
    for source in sorted(set(tiles.source[tiles.kind == "tiles"])):
        own = np.flatnonzero((tiles.source == source) & (tiles.kind == "tiles"))
        for name, labels in columns_of(tiles, own, source):
            task = split_task(tiles, own, labels, name, tiles.split[own] == "train", "its own split")
            tasks += [task] if task is not None else []
    return tasks


def main_tasks(tasks: Sequence[Task]) -> list[Task]:
    """The one task of each set that counts in means."""
    return [task for task in tasks if task.name == task.source]


def columns_of(tiles: ReferenceTiles, rows: Positions, source: str) -> Iterator[tuple[str, NDArray[np.object_]]]:
    """Name and labels (m,) of the tasks of one set: its label, then `malignant` where that says something else."""
    label = tiles.tissue[rows]
    yield source, label
    malignant = malignancy(tiles)[rows]
    known = malignant != ""
    pairs = {(a, b) for a, b in zip(label[known], malignant[known], strict=True)}
    # One label a side says the same as the label itself.
    if len({b for _, b in pairs}) == 2 and len(pairs) > 2:
        yield f"{source}: malignant", malignant


def malignancy(tiles: ReferenceTiles) -> NDArray[np.object_]:
    """`malignant`, `harmless` (normal or a benign tumour) or empty where the category says neither."""
    words = np.full(len(tiles), "", dtype=object)
    words[tiles.category == "malignant"] = "malignant"
    words[np.isin(tiles.category, HARMLESS)] = "harmless"
    return words


def split_task(
    tiles: ReferenceTiles,
    rows: Positions,
    labels: NDArray[np.object_],
    name: str,
    trains: NDArray[np.bool_],
    how: str,
) -> Task | None:
    """A task with training rows given; None where either side lacks a second class or too little is tested."""
    learned = set(labels[trains]) - {""}
    kept = np.flatnonzero(np.isin(labels, sorted(learned)))
    trains = trains[kept]
    if min(len(learned), len(set(labels[kept][~trains]))) < 2 or (~trains).sum() < LEAST_TESTED:
        return None
    splits = tuple(Split(np.flatnonzero(trains), np.flatnonzero(~trains), seed) for seed in SEEDS)
    return _task(tiles, rows[kept], labels[kept], name, splits, how)


def folded_task(tiles: ReferenceTiles, rows: Positions, labels: NDArray[np.object_], name: str) -> Task | None:
    """A task over grouped folds, drawn anew for each seed; None where no two classes have two groups each."""
    groups = tiles.group[rows]
    spread = [word for word in sorted(set(labels) - {""}) if len(set(groups[labels == word])) > 1]
    kept = np.flatnonzero(np.isin(labels, spread))
    if len(spread) < 2 or len(kept) < LEAST_TESTED:
        return None
    numbers = np.searchsorted(np.array(spread), labels[kept].astype(str))
    splits = tuple(
        Split(train, test, seed) for seed in SEEDS for train, test in grouped_folds(numbers, groups[kept], FOLDS, seed)
    )
    return _task(tiles, rows[kept], labels[kept], name, splits, f"{FOLDS} grouped folds, three times")


def grouped_folds(
    labels: Positions, groups: NDArray[np.object_], folds: int, seed: int
) -> list[tuple[Positions, Positions]]:
    """Training and held-out positions of stratified folds that split no group; fewer where groups are few."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(folds, len(set(groups)), int(np.bincount(labels).max()))
    if folds < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        return [(train, test) for train, test in splitter.split(labels, labels, groups.astype(str)) if len(test)]


def _task(
    tiles: ReferenceTiles,
    rows: Positions,
    labels: NDArray[np.object_],
    name: str,
    splits: tuple[Split, ...],
    how: str,
) -> Task:
    classes = sorted(set(labels))
    source = str(tiles.source[rows[0]])
    return Task(
        name=name,
        source=source,
        classes=tuple(classes),
        rows=rows,
        labels=np.searchsorted(np.array(classes), labels.astype(str)).astype(np.int64),
        groups=tiles.group[rows],
        splits=splits,
        histology=not set(tiles.stain[rows]) <= set(NOT_HISTOLOGY),
        how=how,
    )
