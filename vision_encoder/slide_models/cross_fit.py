"""Held-out logits of a slide model: repeated folds that split no patient, each fit kept on disk until all are done."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slides.errors import UsageError
from slides.files import write_atomically

from ..benchmark.labelled_sets import grouped_folds
from ..features import Progress, silent
from .attention_model import AttentionModel, Start, fit_attention
from .bag import BagSet, Matrix, Positions
from .configurations import configured
from .pooling import PooledModel, fit_pooled
from .recipe import POOLED, SlideRecipe

SlideModel = PooledModel | AttentionModel
OutOfFold = dict[str, Matrix]
"""By task: logits (s, k), each the mean over seeds of the fold whose model never saw the bag's group."""


@dataclass(frozen=True)
class Fitting:
    """How models are fitted: the recipe, weights to begin from, and the folder that keeps finished fits."""

    recipe: SlideRecipe
    start: Start | None = None
    kept: Path | None = None

    def fit(self, kind: str, bags: BagSet, seeds: list[int]) -> SlideModel:
        """The model of this kind on these bags, attention averaged over the seeds."""
        from threadpoolctl import threadpool_limits

        # matrices of 64 columns: threads cost more than they bring
        with threadpool_limits(1):
            if kind in POOLED:
                return fit_pooled(kind, bags, self.recipe.penalty)
            tasks = [table.task for table in self.recipe.tasks]
            shape = configured(kind, bags.bags[0].features.shape[1], tasks, **self.recipe.network)
            return fit_attention(kind, shape, bags, self.recipe.training, seeds, self.start)


def seeds_of(recipe: SlideRecipe) -> list[int]:
    """The seeds of a recipe's repeats."""
    return [recipe.seed + number for number in range(recipe.seeds)]


def folds_of(bags: BagSet, recipe: SlideRecipe, seed: int) -> list[tuple[Positions, Positions]]:
    """Training and held-out positions, stratified by the first task; no group on both sides.

    Raises
    ------
    UsageError : a class of the first task has fewer than two groups, or there are too few bags
    """
    task, numbers = next(iter(bags.labels.items()))
    groups = bags.groups
    for number, name in enumerate(bags.classes[task]):
        if len(set(groups[numbers == number])) < 2:
            raise UsageError(f"task '{task}' has fewer than two patients of class '{name}': add some, or leave it out")
    return grouped_folds(numbers + 1, groups, recipe.folds, seed)


def out_of_fold(kind: str, bags: BagSet, fitting: Fitting, progress: Progress = silent) -> OutOfFold:
    """Held-out logits of every bag from a model of this kind.

    A fit that lies in the folder `kept` is not done again: a killed run goes on where it was.
    """
    seeds = seeds_of(fitting.recipe)
    sums = {task: np.zeros((len(bags), len(names))) for task, names in bags.classes.items()}
    plan = [(seed, number, fold) for seed in seeds for number, fold in enumerate(folds_of(bags, fitting.recipe, seed))]
    for done, (seed, number, (fitted, held_out)) in enumerate(plan, 1):
        path = None if fitting.kept is None else fitting.kept / f"{kind}-{seed}-{number}.npz"
        found = _read(path, bags, held_out)
        if found is None:
            model = fitting.fit(kind, bags.where(fitted), [seed])
            rows = [model.logits(bags.bags[index]) for index in held_out]
            found = {task: np.stack([row[task] for row in rows]) for task in bags.classes}
            _write(path, found)
        for task, logits in found.items():
            sums[task][held_out] += logits / len(seeds)
        progress(f"{kind}, folds", done, len(plan))
    return sums


def _read(path: Path | None, bags: BagSet, held_out: Positions) -> Mapping[str, Matrix] | None:
    if path is None or not path.is_file():
        return None
    with np.load(path) as kept:
        found = {task: kept[task] for task in bags.classes if task in kept}
    whole = len(found) == len(bags.classes) and all(len(rows) == len(held_out) for rows in found.values())
    return found if whole else None


def _write(path: Path | None, found: Mapping[str, Matrix]) -> None:
    if path is None:
        return
    content = io.BytesIO()
    np.savez(content, **found)  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def fit_all(kind: str, bags: BagSet, fitting: Fitting) -> SlideModel:
    """The model on every bag, attention averaged over all seeds."""
    return fitting.fit(kind, bags, seeds_of(fitting.recipe))
