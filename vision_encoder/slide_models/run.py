"""From a recipe to a slide model: bags, held-out folds, the ladder of models, calibration, the file and its card."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slides.errors import UsageError

from ..benchmark.baselines import ColourEncoder
from ..benchmark.intervals import Samples, estimate
from ..catalog import load_encoder
from ..encoder import Encoder
from ..features import Progress, silent
from .atlas_bags import atlas_bags
from .attention_model import AttentionModel, Start
from .bag import BagSet, group_count
from .calibrate import fit_calibration
from .compare import areas, kept, ladder, rounded
from .composed import CLASSES, TASK, composed_bags
from .cross_fit import Fitting, OutOfFold, fit_all, out_of_fold
from .multitask import UNKNOWN
from .recipe import SlideRecipe, read_recipe
from .store import read_slide_model, write_slide_model
from .table_bags import table_bags

CHANCE = 0.5


def train_slide(path: Path, data: Path, out: Path, progress: Progress = silent) -> dict[str, Any]:
    """Fits the recipe's models in their order, keeps the last that beat the one before, and writes it.

    A killed run goes on from its last finished fit; equal recipe and data make equal files.

    Parameters
    ----------
    path : the recipe
    data : the folder of shared data, or of a recipe with `from = "table"` the one that holds table and features
    out : folder for `slide_model.safetensors` and `slide_model.json`

    Returns
    -------
    the card

    Raises
    ------
    UsageError, SetupError : recipe, data or encoder cannot be used; one line says what to do
    """
    recipe = read_recipe(path)
    encoder = load_encoder(recipe.encoder)
    bags = gather(recipe, data, encoder, progress)
    fitting = fitting_of(recipe, bags, out)
    found = {kind: out_of_fold(kind, bags, fitting, progress) for kind in recipe.models}
    steps = ladder(bags, found, recipe.models, recipe.tasks[0].task.name)
    winner = kept(steps)
    progress("fitting on every slide", 0, 1)
    model = fit_all(winner, bags, fitting)
    colour = colour_areas(recipe, data, progress)
    card = {
        **_origin(recipe, bags, encoder),
        "ladder": [step.as_json() for step in steps],
        "held_out_area": _areas(bags, found[winner]),
        "calibration": {
            task: fit_calibration(found[winner][task], bags.labels[task], bags.groups).as_json()
            for task in bags.classes
        },
        "silent": _silent(bags, found[winner], colour),
    }
    sha256 = write_slide_model(out, model, card)
    progress("fitting on every slide", 1, 1)
    if fitting.kept is not None:
        shutil.rmtree(fitting.kept.parent, ignore_errors=True)
    return {"sha256": sha256, "kind": winner, **card}


def gather(recipe: SlideRecipe, data: Path, encoder: Encoder, progress: Progress) -> BagSet:
    """The recipe's bags for training, from the split `train` where the data has splits."""
    source = recipe.data["from"]
    if source == "atlas":
        return atlas_bags(data, recipe.data, recipe.tasks, encoder, progress)
    if source == "composed":
        if [(table.task.name, table.task.classes) for table in recipe.tasks] != [(TASK, CLASSES)]:
            raise UsageError(f"composed slides have one task: name = '{TASK}', classes = {list(CLASSES)}")
        return composed_bags(data, recipe.data, encoder, progress, recipe.seed)
    return table_bags(data, recipe.data, recipe.tasks, encoder, progress)


def fitting_of(recipe: SlideRecipe, bags: BagSet, out: Path | None) -> Fitting:
    """How the recipe's models are fitted; finished fits are kept below `out` under the hash of recipe and data."""
    start, digest = None, hashlib.sha256(f"{recipe.sha256}/{bags.sha256()}".encode())
    if recipe.start:
        begun, card = read_slide_model(Path(recipe.start).expanduser(), "name the folder of a trained slide model")
        if not isinstance(begun, AttentionModel):
            raise UsageError(
                f"the recipe starts from {recipe.start}, which has no attention: train one of abmil or clam"
            )
        start = Start(begun.networks[0].state_dict(), begun.centre, begun.scale)
        digest.update(str(card["sha256"]).encode())
    folder = None if out is None else out / "parts" / digest.hexdigest()[:12]
    return Fitting(recipe, start, folder)


def colour_areas(recipe: SlideRecipe, data: Path, progress: Progress) -> Mapping[str, Samples]:
    """Area of each task by mean colour alone, on the same folds; empty where there are no pictures to take it from."""
    if recipe.data["from"] == "table":
        return {}
    bags = gather(recipe, data, ColourEncoder(), progress)
    found = out_of_fold("mean", bags, Fitting(recipe))
    return {task: areas(found[task], bags.labels[task], bags.groups) for task in bags.classes}


def _origin(recipe: SlideRecipe, bags: BagSet, encoder: Encoder) -> dict[str, Any]:
    """What the model was made of. Of groups their number and a hash: a laboratory's patients are nobody's business."""
    names = sorted({str(group) for group in bags.groups})
    return {
        "encoder": {"name": encoder.name, "sha256": encoder.sha256, "dimension": encoder.dimension},
        "recipe": recipe.name,
        "recipe_sha256": recipe.sha256,
        "data": bags.source,
        "data_sha256": bags.sha256(),
        "bags": len(bags),
        "groups": len(names),
        "groups_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
        "counts": {task: _counts(bags, task) for task in bags.classes},
        "attribution": list(bags.attribution),
    }


def _counts(bags: BagSet, task: str) -> dict[str, list[int]]:
    """Slides and groups by class."""
    numbers = bags.labels[task]
    return {
        name: [int((numbers == number).sum()), group_count(bags.groups[numbers == number])]
        for number, name in enumerate(bags.classes[task])
    }


def _areas(bags: BagSet, found: OutOfFold) -> dict[str, list[float]]:
    return {
        task: rounded(estimate(areas(found[task], bags.labels[task], bags.groups)))
        for task in bags.classes
        if len(set(bags.labels[task]) - {UNKNOWN}) > 1
    }


def _silent(bags: BagSet, found: OutOfFold, colour: Mapping[str, Samples]) -> dict[str, str]:
    """Tasks that may rank slides and conclude nothing, and why in one clause."""
    reasons = {}
    for task in bags.classes:
        own = areas(found[task], bags.labels[task], bags.groups)
        if np.isnan(own[0]) or estimate(own).low <= CHANCE:
            reasons[task] = "on held-out patients it is not surely better than chance"
        elif task in colour and estimate(own - colour[task]).low <= 0:
            reasons[task] = "on held-out patients it is not surely better than colour alone"
    return reasons
