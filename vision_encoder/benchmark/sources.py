"""Does an encoder see tissue or where a picture comes from? Three readings over sets that share a label.

The shared label is malignant against harmless (normal tissue or a benign tumour); the *source* of a tile, its
set, stands for the centre: one laboratory, scanner and way of cutting a set, more or less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoder import Features
from ..reference_tiles import ReferenceTiles
from .intervals import SEED, Samples, resample_groups
from .labelled_sets import Positions, Task, malignancy, split_task
from .probes import unit_rows

CLASSES = ("malignant", "harmless")
NEIGHBOURS = (1, 3, 5, 10, 20)
BALANCED_DRAWS = 20
LEAST_IN_CELL = 5


def left_out_tasks(tiles: ReferenceTiles, tested: str) -> list[Task]:
    """One task a set: malignant or harmless, learned from the training rows of all other sets.

    Tested are the set's held-out rows (`tested` is their kind) where they hold both classes; training rows
    come from every other set that holds both.
    """
    words = malignancy(tiles)
    labelled = (tiles.stain == "HE") & (words != "")
    trains = labelled & (tiles.split == "train") & (tiles.kind != "cases")
    asked = labelled & (tiles.split != "train") & (tiles.kind == tested)
    teaching = [
        source for source in sorted(set(tiles.source)) if len(set(words[trains & (tiles.source == source)])) == 2
    ]
    tasks = []
    for source in sorted(set(tiles.source[asked])):
        known = np.flatnonzero(trains & np.isin(tiles.source, teaching) & (tiles.source != source))
        known = known[~np.isin(tiles.group[known], list(set(tiles.group[asked & (tiles.source == source)])))]
        rows = np.concatenate([known, np.flatnonzero(asked & (tiles.source == source))])
        learns = np.arange(len(rows)) < len(known)
        if task := split_task(tiles, rows, words[rows], source, learns, "training rows of all other sets"):
            tasks.append(task)
    return tasks


def source_task(tiles: ReferenceTiles) -> Task | None:
    """Which set does an H&E tile come from? Sets with training and held-out rows; lower is better, if tissue counts."""
    rows = np.flatnonzero((tiles.kind == "tiles") & (tiles.stain == "HE"))
    return split_task(tiles, rows, tiles.source[rows], "source", tiles.split[rows] == "train", "its own split")


@dataclass(frozen=True)
class Robustness:
    """The index as a sample vector, the number of neighbours it was read at, and the cells it rests on."""

    samples: Samples
    neighbours: int
    sources: tuple[str, ...]
    tiles: int


def robustness_index(features: Features, tiles: ReferenceTiles) -> Robustness | None:
    """PathoROB's robustness index with malignancy as class and the set as centre; None where no two sets hold both.

    SO / (SO + OS) over the k nearest neighbours in cosine: SO are neighbours of the same class from another
    centre, OS of another class from the same centre; 1 = only tissue, 0 = only source decides who is near.
    Neighbours of a tile's own group are left out. k is the one of 1, 3, 5, 10 and 20 that classifies best.
    Cells (class of a centre) are drawn to equal size, 20 times, so that no large set decides. Source: Kömen
    et al., "Towards robust foundation models for digital pathology", 2025.
    """
    words = malignancy(tiles)
    usable = (tiles.kind != "cases") & (tiles.stain == "HE") & (words != "")
    cells = {
        source: [
            np.flatnonzero(usable & (tiles.source == source) & (words == word)) for word in ("malignant", "harmless")
        ]
        for source in sorted(set(tiles.source[usable]))
    }
    cells = {source: pair for source, pair in cells.items() if min(map(len, pair)) >= LEAST_IN_CELL}
    if len(cells) < 2:
        return None
    rows = np.sort(np.concatenate([cell for pair in cells.values() for cell in pair]))
    drawn = _equal_cells([np.searchsorted(rows, cell) for pair in cells.values() for cell in pair])
    counts = _neighbour_counts(features[rows], words[rows] == "malignant", tiles.source[rows], tiles.group[rows], drawn)
    best = max(NEIGHBOURS, key=lambda k: (counts[k].correct, -k))
    resamples = resample_groups(tiles.group[rows])
    weights = resamples.counts[:, resamples.of_row].astype(np.float64)
    same_class, same_source = weights @ counts[best].class_elsewhere, weights @ counts[best].other_here
    pairs = same_class + same_source
    index = np.divide(same_class, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return Robustness(index, best, tuple(cells), len(rows))


@dataclass(frozen=True)
class _Counts:
    """Per row (n,), over draws: neighbours of its class elsewhere, of the other class here; rows named rightly."""

    class_elsewhere: NDArray[np.float64]
    other_here: NDArray[np.float64]
    correct: float


def _equal_cells(cells: list[Positions]) -> list[Positions]:
    rng = np.random.default_rng(SEED)
    smallest = min(map(len, cells))
    return [
        np.sort(np.concatenate([rng.permutation(cell)[:smallest] for cell in cells])) for _ in range(BALANCED_DRAWS)
    ]


def _neighbour_counts(
    features: Features,
    malignant: NDArray[np.bool_],
    sources: NDArray[np.object_],
    groups: NDArray[np.object_],
    drawn: list[Positions],
) -> dict[int, _Counts]:
    unit = unit_rows(features)
    elsewhere, here = (np.zeros((max(NEIGHBOURS) + 1, len(features))) for _ in range(2))
    correct = np.zeros(max(NEIGHBOURS) + 1)
    for rows in drawn:
        cosines = unit[rows] @ unit[rows].T
        cosines[groups[rows][:, None] == groups[rows]] = -np.inf
        near = np.argsort(-cosines, axis=1, kind="stable")[:, : max(NEIGHBOURS)]
        valid = np.isfinite(np.take_along_axis(cosines, near, axis=1))
        same_class = malignant[rows][near] == malignant[rows][:, None]
        same_source = sources[rows][near] == sources[rows][:, None]
        for k in NEIGHBOURS:
            kept = valid[:, :k]
            elsewhere[k, rows] += (kept & same_class[:, :k] & ~same_source[:, :k]).sum(axis=1)
            here[k, rows] += (kept & ~same_class[:, :k] & same_source[:, :k]).sum(axis=1)
            lead = 2 * (kept & same_class[:, :k]).sum(axis=1) - kept.sum(axis=1)
            correct[k] += ((lead > 0) + 0.5 * (lead == 0)).mean() / len(drawn)
    return {k: _Counts(elsewhere[k], here[k], float(correct[k])) for k in NEIGHBOURS}
