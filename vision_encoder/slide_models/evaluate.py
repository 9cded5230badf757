"""What slide models can do: on folds and on held-out cases, beside pooling and colour; and whether their maps tell
where the decision lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..benchmark.baselines import ColourEncoder
from ..benchmark.intervals import Samples, estimate
from ..catalog import load_encoder
from ..encoder import Encoder
from ..features import Progress, cache_folder, silent
from .atlas_bags import atlas_bags
from .bag import BagSet, Matrix, group_count
from .compare import areas, rounded
from .composed import TASK, compose, labelled_tiles
from .cross_fit import Fitting, SlideModel, folds_of, out_of_fold, seeds_of
from .faithful import MAPS, deletion, localisation, map_of
from .multitask import UNKNOWN
from .recipe import POOLED, SlideRecipe, read_recipe
from .run import fitting_of
from .score import LoadedSlideModel, load_slide_model
from .sections import Sections

Results = dict[str, Any]
SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of the training patients of a learning curve."""
CURVE_SEEDS = 1
MAP_SEEDS = 2
"""Networks whose maps are averaged."""
TOLD = ("sha256", "kind", "recipe", "bags", "groups", "ladder", "silent")
"""What the results repeat of the model's own card."""


def evaluate_slide_model(
    recipe: Path, composed: Path, data: Path, model: Path | None = None, progress: Progress = silent
) -> Results:
    """Every figure of the card, as plain types.

    Parameters
    ----------
    recipe : of whole cases (`from = "atlas"`); its models are measured, and `max` beside them
    composed : of composed slides, for finding tumour tiles
    data : the folder of shared data
    model : folder of a trained slide model; without it the one that ships

    Raises
    ------
    UsageError, SetupError : recipe, data or model cannot be used
    """
    cases, tiles = read_recipe(recipe), read_recipe(composed)
    encoder = load_encoder(cases.encoder)
    loaded = load_slide_model(encoder=encoder) if model is None else load_slide_model(model, encoder)
    bags = atlas_bags(data, cases.data, cases.tasks, encoder, progress)
    colour = atlas_bags(data, cases.data, cases.tasks, ColourEncoder(), progress)
    # finished fits are kept, so that a killed run goes on
    fitting = fitting_of(cases, bags, cache_folder().parent / "slide-models")
    task = cases.tasks[0].task.name
    kinds = list(dict.fromkeys([*cases.models, "max"]))
    found = {kind: out_of_fold(kind, bags, fitting, progress) for kind in kinds}
    found["colour"] = out_of_fold("mean", colour, Fitting(cases), progress)
    found["size of the slide"] = out_of_fold("mean", _sizes(bags), Fitting(cases), progress)
    attention = next((kind for kind in cases.models if kind not in POOLED), "abmil")
    shown = dict.fromkeys([loaded.model.kind, attention])
    assert fitting.kept is not None
    # the composed recipe is part of what is measured
    sections = Sections(fitting.kept / tiles.sha256[:12])
    return {
        "recipe": cases.name,
        "model": {
            name: loaded.card[name] for name in ("sha256", "kind", "recipe", "bags", "groups", "ladder", "silent")
        },
        "encoder": encoder.name,
        "data": {"bags": len(bags), "groups": group_count(bags.groups), "classes": _counts(bags)},
        "folds": {name: _areas(bags, logits, found["mean"], found["colour"]) for name, logits in found.items()},
        "coarser": coarser(loaded.model.kind, bags, cases, data, encoder, progress),
        "held_out": held_out(cases, data, encoder, fitting, bags, colour, loaded, progress),
        "curve": {
            kind: sections.once(f"curve {kind}", partial(learning_curve, kind, bags, cases, progress))
            for kind in dict.fromkeys(["mean", "max", *shown])
        },
        "deletion": {
            kind: sections.once(f"deletion {kind}", partial(_deleted, kind, bags, fitting, task, progress))
            for kind in shown
        },
        "localisation": located(tiles, data, encoder, loaded, task, sections, progress),
        "attribution": list(bags.attribution),
    }


def _counts(bags: BagSet) -> dict[str, dict[str, int]]:
    return {
        task: {name: int((bags.labels[task] == number).sum()) for number, name in enumerate(names)}
        for task, names in bags.classes.items()
    }


def _areas(
    bags: BagSet, found: Mapping[str, Matrix], mean: Mapping[str, Matrix], colour: Mapping[str, Matrix]
) -> dict[str, dict[str, list[float]]]:
    """By task: the area under the curve, and how much it is above the pooled mean's and colour's, paired."""
    told = {}
    for task in bags.classes:
        samples: dict[str, Samples] = {
            name: areas(logits[task], bags.labels[task], bags.groups)
            for name, logits in (("area", found), ("mean", mean), ("colour", colour))
        }
        told[task] = {
            "area": rounded(estimate(samples["area"])),
            "above mean": rounded(estimate(samples["area"] - samples["mean"])),
            "above colour": rounded(estimate(samples["area"] - samples["colour"])),
        }
    return told


def _sizes(bags: BagSet) -> BagSet:
    """Slides told by nothing but their extent and number of tiles: what a label must not be read from."""
    return replace(
        bags,
        bags=tuple(
            replace(
                bag,
                features=np.log(np.array([[len(bag.features), *(np.ptp(bag.coords, axis=0) + 1.0)]], dtype=np.float32)),
                coords=bag.coords[:1],
            )
            for bag in bags.bags
        ),
    )


def coarser(
    kind: str, bags: BagSet, cases: SlideRecipe, data: Path, encoder: Encoder, progress: Progress
) -> dict[str, list[float]]:
    """Area by task where the held-out slides are read at twice the µm/px that was learned from."""
    settings = {**cases.data, "downsamples": [2 * step for step in cases.data["downsamples"]]}
    twice = {bag.name: bag for bag in atlas_bags(data, settings, cases.tasks, encoder, progress).bags}
    fitting, known = Fitting(cases), [index for index, bag in enumerate(bags.bags) if bag.name in twice]
    shared = bags.where(np.array(known))
    sums = {task: np.zeros((len(shared), len(names))) for task, names in bags.classes.items()}
    for seed in seeds_of(cases):
        for fitted, asked in folds_of(shared, cases, seed):
            model = fitting.fit(kind, shared.where(fitted), [seed])
            for index in asked:
                for task, logits in model.logits(twice[shared.bags[index].name]).items():
                    sums[task][index] += logits
    return {task: rounded(estimate(areas(logits, shared.labels[task], shared.groups))) for task, logits in sums.items()}


def held_out(
    cases: SlideRecipe,
    data: Path,
    encoder: Encoder,
    fitting: Fitting,
    bags: BagSet,
    colour: BagSet,
    loaded: LoadedSlideModel,
    progress: Progress,
) -> Results:
    """The model, the pooled mean and colour, learned on all of `train`, on the cases of `dev`."""
    asked = atlas_bags(data, cases.data, cases.tasks, encoder, progress, split="dev")
    shades = atlas_bags(data, cases.data, cases.tasks, ColourEncoder(), progress, split="dev")
    mean, by_colour = fitting.fit("mean", bags, [cases.seed]), fitting.fit("mean", colour, [cases.seed])
    found = {
        loaded.model.kind: _logits(loaded.model, asked),
        "mean": _logits(mean, asked),
        "colour": _logits(by_colour, shades),
    }
    spoken = {}
    for task in asked.classes:
        scores = [loaded.score(bag.features, bag.coords).tasks[task] for bag in asked.bags]
        known = [index for index, number in enumerate(asked.labels[task]) if number != UNKNOWN]
        names = [asked.classes[task][asked.labels[task][index]] for index in known]
        spoken[task] = {
            "slides": len(known),
            "in the set": sum(name in scores[index].prediction_set for index, name in zip(known, names, strict=True)),
            "spoken": sum(not scores[index].abstained for index in known),
        }
    return {
        "groups": group_count(asked.groups),
        "classes": _counts(asked),
        "areas": {
            name: {
                task: rounded(estimate(areas(logits[task], asked.labels[task], asked.groups))) for task in asked.classes
            }
            for name, logits in found.items()
        },
        "sets": spoken,
    }


def _logits(model: SlideModel, bags: BagSet) -> dict[str, Matrix]:
    rows = [model.logits(bag) for bag in bags.bags]
    return {task: np.stack([row[task] for row in rows]) for task in bags.classes}


def learning_curve(kind: str, bags: BagSet, cases: SlideRecipe, progress: Progress) -> dict[str, list[float]]:
    """Area of the first task by share of the patients of each training fold."""
    task, numbers = next(iter(bags.labels.items()))
    fitting = Fitting(cases)
    told: dict[str, list[float]] = {}
    for number, share in enumerate(SHARES):
        logits = np.zeros((len(bags), len(bags.classes[task])))
        for seed in range(cases.seed, cases.seed + CURVE_SEEDS):
            for fitted, asked in folds_of(bags, cases, seed):
                some = _some(fitted, numbers, bags.groups, share, seed)
                model = fitting.fit(kind, bags.where(some), [seed])
                for index in asked:
                    logits[index] += model.logits(bags.bags[index])[task]
        told[f"{share:.0%}"] = rounded(estimate(areas(logits, numbers, bags.groups)))
        progress(f"{kind}, learning curve", number + 1, len(SHARES))
    return told


def _some(
    rows: NDArray[np.int64], numbers: NDArray[np.int64], groups: NDArray[np.object_], share: float, seed: int
) -> NDArray[np.int64]:
    """Rows of a share of the groups of each class, one group a class at least."""
    draw, kept = np.random.default_rng(seed), set()
    for number in np.unique(numbers[rows]):
        names = sorted({str(name) for name in groups[rows[numbers[rows] == number]]})
        kept |= set(draw.permutation(names)[: max(1, round(share * len(names)))])
    return rows[np.isin(groups[rows].astype(str), sorted(kept))]


def _deleted(kind: str, bags: BagSet, fitting: Fitting, task: str, progress: Progress) -> Results:
    """Deletion on the slides of the task's last class, each read by the fold that never saw its group."""
    models: dict[int, SlideModel] = {}
    for fitted, asked in folds_of(bags, fitting.recipe, fitting.recipe.seed):
        model = fitting.fit(kind, bags.where(fitted), [fitting.recipe.seed])
        models |= dict.fromkeys((int(index) for index in asked), model)
    positive = np.flatnonzero(bags.labels[task] == len(bags.classes[task]) - 1)
    found = deletion(bags.where(positive), [models[int(index)] for index in positive], task)
    progress(f"{kind}, deletion", 1, 1)
    return {
        "slides": len(positive),
        "areas": {name: rounded(value) for name, value in found.areas.items()},
        "less": {name: rounded(value) for name, value in found.less.items()},
    }


def located(
    tiles: SlideRecipe,
    data: Path,
    encoder: Encoder,
    loaded: LoadedSlideModel,
    task: str,
    sections: Sections,
    progress: Progress,
) -> Results:
    """Tumour tiles found on slides composed of held-out tiles, by models of composed slides and by the one of cases."""
    known = labelled_tiles(data, tiles.data, encoder, progress)
    taught = compose(known, tiles.data, tiles.seed)
    held = labelled_tiles(data, tiles.data, encoder, progress, split="dev")
    # a pool a set: there are few held-out groups, and none is shared with training
    asked = compose(held, {**tiles.data, "pools": 1}, tiles.seed + 1)
    sources = np.array([bag.group.rpartition("/")[0] for bag in asked.bags], dtype=object)

    def measured(kind: str) -> dict[str, float]:
        model = Fitting(tiles).fit(kind, taught, [tiles.seed + number for number in range(MAP_SEEDS)])
        area = areas(_logits(model, asked)[TASK], asked.labels[TASK], asked.groups)[0]
        return {**_located(model, asked, TASK, sources), "whole slides": round(float(area), 4)}

    maps = {}
    for number, kind in enumerate(tiles.models, 1):
        maps[kind] = sections.once(f"maps {kind}", partial(measured, kind))
        progress("finding tumour tiles", number, len(tiles.models))
    maps[f"{loaded.model.kind}, of cases"] = _located(loaded.model, asked, task, sources)
    return {
        "tiles": {"train": len(known.tumour), "dev": len(held.tumour), "dev tumour": int(held.tumour.sum())},
        "slides": len(asked),
        "maps": maps,
    }


def _located(model: SlideModel, asked: BagSet, task: str, sources: NDArray[np.object_]) -> dict[str, float]:
    told = {}
    for name in MAPS:
        shown = [map_of(model, bag, task, name, seed=number) for number, bag in enumerate(asked.bags)]
        found = localisation(asked, shown, sources)
        if found is not None:
            told[name] = round(float(found[0]), 4)
    return told
