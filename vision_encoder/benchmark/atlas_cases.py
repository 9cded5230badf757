"""Whole cases: what a slide is and where a tile comes from, over repeated folds that split no group.

Every encoder reads the same folds. A slide is its tiles' mean and spread; the head is a ridge logistic
regression of one fixed strength, so that nothing is chosen on so few cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoder import Features
from ..reference_tiles import ReferenceTiles, spread_over_groups
from .intervals import Samples, area_under_curve, balanced_accuracy, resample_groups
from .labelled_sets import FOLDS, Positions, grouped_folds
from .probes import Matrix, fit_logistic, rotated, standardised

REPEATS = 20
PENALTY = 1.0
"""Inverse ridge strength for rows of expected squared length 1: of 1, 8, 32 and 200 the best for ImageNet."""
TUMOURS = ("malignant", "benign tumour", "pre-malignant")
ORGANS = 5
TILES_PER_GROUP = 24
"""A group gives at most so many tiles to learn an organ from; all are tested."""
COMPONENTS = 128
LEAST_GROUPS = 3

POOLINGS = ("mean and spread", "more statistics")


@dataclass(frozen=True)
class AtlasCases:
    """Slides of known category, and tiles of the organs with most groups.

    `slides` holds the positions of each slide's tiles, s of them; `groups`, `malignant`, `tumour` and `split`
    are (s,). `organ_tiles` (m,) are positions, `organs` (m,) numbers of `organ_names`.
    """

    slides: tuple[Positions, ...]
    groups: NDArray[np.object_]
    malignant: NDArray[np.bool_]
    tumour: NDArray[np.bool_]
    split: NDArray[np.object_]
    organ_names: tuple[str, ...]
    organ_tiles: Positions
    organs: Positions
    organ_groups: NDArray[np.object_]
    organ_split: NDArray[np.object_]


@dataclass(frozen=True)
class AtlasFigure:
    """One figure over folds: its sample vector over groups, and its deviation over the repeats of the folds."""

    samples: Samples
    over_repeats: float


def atlas_cases(tiles: ReferenceTiles) -> AtlasCases | None:
    """The H&E slides of cases with a sure category, tiles at downsample 1 to 2; None where there are too few.

    Given tiles of the source `atlas` join them, their split called `given`; a slide is then what ids share up
    to their last slash, within a group.
    """
    usable = (tiles.source == "atlas") & (tiles.stain == "HE") & tiles.certain & (tiles.downsample <= 2)
    split = np.where(tiles.kind == "given", "given", tiles.split.astype(str)).astype(object)
    rows = np.flatnonzero(usable & (tiles.category != ""))
    members: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        members.setdefault((tiles.group[row], tiles.id[row].rpartition("/")[0]), []).append(int(row))
    slides = tuple(np.array(members[key]) for key in sorted(members))
    first = np.array([slide[0] for slide in slides], dtype=np.int64)
    malignant = tiles.category[first] == "malignant"
    names, organ_tiles = _organs(tiles, usable)
    if len(set(tiles.group[first[malignant]])) < LEAST_GROUPS or len(names) < 2:
        return None
    return AtlasCases(
        slides=slides,
        groups=tiles.group[first],
        malignant=malignant,
        tumour=np.isin(tiles.category[first], TUMOURS),
        split=split[first],
        organ_names=names,
        organ_tiles=organ_tiles,
        organs=np.searchsorted(np.array(names), tiles.organ[organ_tiles].astype(str)).astype(np.int64),
        organ_groups=tiles.group[organ_tiles],
        organ_split=split[organ_tiles],
    )


def _organs(tiles: ReferenceTiles, usable: NDArray[np.bool_]) -> tuple[tuple[str, ...], Positions]:
    """The five organs with most groups (three at least each), and the positions of their tiles."""
    named = usable & (tiles.organ != "")
    pairs = {(organ, group) for organ, group in zip(tiles.organ[named], tiles.group[named], strict=True)}
    groups = Counter(organ for organ, _ in pairs)
    most = sorted(groups, key=lambda organ: (-groups[organ], organ))[:ORGANS]
    names = tuple(sorted(organ for organ in most if groups[organ] >= LEAST_GROUPS))
    return names, np.flatnonzero(named & np.isin(tiles.organ, list(names)))


def measure_atlas(
    features: Features, cases: AtlasCases, pooling: str = POOLINGS[0], repeats: int = REPEATS
) -> dict[str, AtlasFigure]:
    """Figures by name: `malignant` and `tumour` (area under the curve over slides), `organ` (balanced accuracy
    of one tile), each also `…, dev` and `…, given` over those groups alone where they hold every class.

    Parameters
    ----------
    features : float32 (n, d) of the tiles that `cases` was made from
    pooling : a name of `POOLINGS`; `organ` reads single tiles and is measured with the first only
    repeats : how often the folds are drawn
    """
    pooled = pool(features, cases, pooling)
    figures: dict[str, AtlasFigure] = {}
    for name, truth in (("malignant", cases.malignant), ("tumour", cases.tumour)):
        scores = slide_scores(pooled, truth, cases.groups, repeats)
        for label, kept in _parts(cases.split):
            if len(set(truth[kept])) == 2:
                figures[name + label] = _area(scores[:, kept], truth[kept], cases.groups[kept])
    if pooling == POOLINGS[0]:
        right = organ_right(features, cases, repeats)
        for label, kept in _parts(cases.organ_split):
            if len(set(cases.organs[kept])) > 1:
                figures["organ" + label] = _accuracy(right[:, kept], cases.organs[kept], cases.organ_groups[kept])
    return figures


def pool(features: Features, cases: AtlasCases, pooling: str) -> NDArray[np.float32]:
    """Each slide's tiles as one row: mean and deviation; with more statistics also the 10th and 90th percentile."""
    rows = []
    for slide in cases.slides:
        own = features[slide]
        parts = [own.mean(axis=0), own.std(axis=0)]
        if pooling != POOLINGS[0]:
            parts += list(np.quantile(own, [0.1, 0.9], axis=0))
        rows.append(np.concatenate(parts))
    return np.stack(rows).astype(np.float32)


def slide_scores(
    pooled: NDArray[np.float32], truth: NDArray[np.bool_], groups: NDArray[np.object_], repeats: int = REPEATS
) -> Matrix:
    """Held-out log odds (repeats, s) of each slide, from the folds that lack its group."""
    scores = np.zeros((repeats, len(pooled)))
    labels = truth.astype(np.int64)
    for repeat in range(repeats):
        for fitted, held_out in grouped_folds(labels, groups, FOLDS, repeat):
            if len(set(labels[fitted])) == 2:
                known, asked = rotated(pooled[fitted], pooled[held_out])
                scores[repeat, held_out] = fit_logistic(known, labels[fitted], PENALTY).decision_function(asked)
    return scores


def organ_right(features: Features, cases: AtlasCases, repeats: int = REPEATS) -> Matrix:
    """Whether (repeats, m) each tile's organ is named rightly, from the folds that lack its group."""
    rows = features[cases.organ_tiles]
    right = np.zeros((repeats, len(rows)))
    for repeat in range(repeats):
        for fitted, held_out in grouped_folds(cases.organs, cases.organ_groups, FOLDS, repeat):
            learned = fitted[spread_over_groups(cases.organ_groups[fitted], TILES_PER_GROUP, repeat)]
            known, asked = principal(rows[learned], rows[held_out])
            named = fit_logistic(known, cases.organs[learned], PENALTY).predict(asked)
            right[repeat, held_out] = named == cases.organs[held_out]
    return right


def principal(train: NDArray[np.float32], test: NDArray[np.float32]) -> tuple[Matrix, Matrix]:
    """Both standardised, in the first 128 principal axes of the training rows: the figures of all in a tenth of
    the time."""
    from sklearn.utils.extmath import randomized_svd

    known, asked = standardised(train, test)
    if min(known.shape) > COMPONENTS:
        _, _, axes = randomized_svd(known.astype(np.float32), COMPONENTS, n_iter=2, random_state=0)
        known, asked = known @ axes.T, asked @ axes.T
    return known, asked


def _parts(split: NDArray[np.object_]) -> list[tuple[str, NDArray[np.bool_]]]:
    parts = [("", np.ones(len(split), dtype=np.bool_))]
    return parts + [(f", {name}", split == name) for name in ("dev", "given") if (split == name).any()]


def _area(scores: Matrix, truth: NDArray[np.bool_], groups: NDArray[np.object_]) -> AtlasFigure:
    resamples = resample_groups(groups)
    once = resample_groups(groups, resamples=0)
    repeats = [area_under_curve(row[None], truth, once)[0] for row in scores]
    return AtlasFigure(area_under_curve(scores, truth, resamples), float(np.std(repeats)))


def _accuracy(right: Matrix, organs: Positions, groups: NDArray[np.object_]) -> AtlasFigure:
    once = resample_groups(groups, resamples=0)
    repeats = [balanced_accuracy(row, organs, once)[0] for row in right]
    return AtlasFigure(balanced_accuracy(right.mean(axis=0), organs, resample_groups(groups)), float(np.std(repeats)))


def samples_of(figures: Mapping[str, AtlasFigure]) -> dict[str, Samples]:
    """The sample vectors alone."""
    return {name: figure.samples for name, figure in figures.items()}
