"""Whether a map of a slide is where the decision lies: tumour found among tiles, and what deleting tiles undoes.

Attention is not a localiser by itself (see "Additive MIL", Javed et al., NeurIPS 2022, and the explanation studies
after it): both attention and the parts of the tiles are measured, and the better one may be shown, as a hint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..benchmark.intervals import Estimate, Samples, area_under_curve, estimate, mean_of, resample_groups
from .attention_model import AttentionModel
from .bag import Bag, BagSet
from .cross_fit import SlideModel
from .pooling import Row

STEPS = 10
"""Deletions from a whole bag to its last tile."""
MAPS = ("tile logits", "attention", "random")


def map_of(model: SlideModel, bag: Bag, task: str, name: str, seed: int = 0) -> Row:
    """One number (n,) a tile of what the map `name` shows: the higher, the more it speaks for the last class."""
    if name == "tile logits":
        logits = model.tile_logits(bag)[task]
        margin: Row = logits[:, -1] - logits[:, :-1].mean(axis=1)
        return margin
    if name == "attention":
        return model.scores(bag)[task] if isinstance(model, AttentionModel) else model.attention(bag)[task]
    return np.random.default_rng(seed).random(len(bag.features))


def localisation(bags: BagSet, maps: Sequence[Row], sources: NDArray[np.object_]) -> Samples | None:
    """Area under the ROC curve of tumour tiles against the others, the mean over positive bags; a sample vector over
    the groups of the bags.

    Parameters
    ----------
    maps : one array (n,) a bag
    sources : (s,) set of each bag: each set counts alike
    """
    areas, groups, sets = [], [], []
    for bag, shown, source in zip(bags.bags, maps, sources, strict=True):
        if bag.truth is None or not bag.truth.any() or bag.truth.all():
            continue
        once = resample_groups(np.zeros(len(shown), dtype=object), resamples=0)
        areas.append(float(area_under_curve(shown[None], bag.truth, once)[0]))
        groups.append(bag.group)
        sets.append(source)
    if not areas:
        return None
    named = np.array(sets, dtype=object)
    return mean_of(
        [
            _mean(np.array(areas)[named == source], np.array(groups, dtype=object)[named == source])
            for source in sorted(set(sets))
        ]
    )


def _mean(values: NDArray[np.float64], groups: NDArray[np.object_]) -> Samples:
    """Mean of rows, a sample vector over groups."""
    drawn = resample_groups(groups)
    weights = drawn.counts[:, drawn.of_row].astype(np.float64)
    means: Samples = (weights @ values) / np.maximum(weights.sum(axis=1), 1e-12)
    return means


@dataclass(frozen=True)
class Deletion:
    """Mean logit margin while tiles go in the order of each map, highest first, as a share of the way to the end;
    lower is more faithful. `less` is that of the tile logits less that of the other."""

    areas: Mapping[str, Estimate]
    less: Mapping[str, Estimate]


def deletion(bags: BagSet, models: Sequence[SlideModel], task: str) -> Deletion:
    """The area under the curve of a bag's margin for the last class while its tiles are deleted, paired over groups.

    Parameters
    ----------
    models : for each bag one that never saw its group
    """
    curves = {name: np.zeros(len(bags)) for name in MAPS}
    for number, (bag, model) in enumerate(zip(bags.bags, models, strict=True)):
        for name in MAPS:
            curves[name][number] = deletion_area(model, bag, task, map_of(model, bag, task, name, seed=number))
    samples = {name: _mean(values, bags.groups) for name, values in curves.items()}
    first = samples[MAPS[0]]
    return Deletion(
        {name: estimate(found) for name, found in samples.items()},
        {name: estimate(first - found) for name, found in samples.items() if name != MAPS[0]},
    )


def deletion_area(model: SlideModel, bag: Bag, task: str, shown: Row) -> float:
    """Mean margin of the bag less its highest tiles, from all of them to a tenth, less the margin of the whole bag."""
    order, count = np.argsort(-shown, kind="stable"), len(shown)
    margins = []
    for step in range(STEPS):
        left = np.sort(order[min(count - 1, round(step * count / STEPS)) :])
        logits = model.logits(bag.where(left))[task]
        margins.append(float(logits[-1] - logits[:-1].mean()))
    return float(np.mean(margins) - margins[0])
