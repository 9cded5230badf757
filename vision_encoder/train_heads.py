"""Trains the heads of a recipe from labelled tiles and writes their weights and card.

Everything that is chosen or calibrated (penalty, temperature, sets, novelty, when to speak) comes from
grouped folds inside the split `train`; the split `dev` is never opened here.

    python -m vision_encoder.train_heads recipes/heads.toml --data DIR [--out FOLDER]
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from .bags import Positions, Unit, draw_bags, units_of
from .catalog import load_encoder
from .encoder import Encoder
from .features import Progress, encode_all, silent, tile_features
from .fit_heads import View, choose_penalty, fit_linear
from .held_out import HeldOut, fit_scale
from .label_split import is_unnamed
from .negatives import negatives
from .novelty import CASES, novelty_axes, novelty_components, novelty_without_own_group
from .projection import Projection, principal_axes
from .recipe import run_recipe
from .reference_tiles import ReferenceTiles, attribution, spread_over_groups, training_tiles
from .shipped import WEIGHTS, write_trained

DRAWS = 8
"""Bags of one size drawn from one group; thresholds are the median over draws, so that none decides."""


@dataclass(frozen=True)
class Material:
    """What heads are trained from: n tiles' labels and features.

    `views` are the training views, the first of every tile whole, in the map `whitened`; `components` (n, q)
    are what novelty is measured in, of which `kept` positions are shipped as its reference.
    """

    tiles: ReferenceTiles
    whitened: Projection
    views: Sequence[View]
    axes: NDArray[np.float16]
    components: NDArray[np.float32]
    kept: Positions


def train(recipe: Path, data: Path, progress: Progress = silent, out: Path = WEIGHTS) -> str:
    """Trains every head of the recipe and writes `heads.safetensors` and `heads.json`; returns the hash.

    Parameters
    ----------
    recipe : the TOML file
    data : the folder that holds `atlas/` and `tiles/`
    progress : called with (what, done, total)
    out : the folder to write into

    Raises
    ------
    UsageError : no data there, or a head of the recipe has fewer than two classes
    SetupError : the extra `train` or the encoder's weights are missing
    """
    text = recipe.read_bytes()
    settings = tomllib.loads(text.decode())
    encoder = load_encoder(settings["encoder"])
    tiles = training_tiles(settings, data)
    arrays, rows = fit(settings["head"], settings, prepare(settings, encoder, tiles, progress), progress)
    card = {
        "encoder": {"name": encoder.name, "sha256": encoder.sha256, "dimension": encoder.dimension},
        "recipe": recipe.name,
        "recipe_sha256": hashlib.sha256(text).hexdigest(),
        "data_sha256": tiles.sha256(),
        "tiles": len(tiles),
        "groups": len(set(tiles.group)),
        "attribution": attribution(tiles.source),
        "heads": rows,
    }
    return write_trained(out, "heads", arrays, card)


def fit(
    heads: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    material: Material,
    progress: Progress = silent,
    among: NDArray[np.bool_] | None = None,
) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Arrays and card rows of the heads, learned from all tiles of the material or those where `among` is True."""
    arrays: dict[str, NDArray[Any]] = {
        "novelty.axes": material.axes,
        "novelty.reference": material.components[material.kept].astype(np.float16),
        "novelty.of_cases": (material.tiles.kind[material.kept] == CASES).astype(np.uint8),
    }
    rows = []
    for number, head in enumerate(heads):
        progress(f"head {head['name']}", number, len(heads))
        names = head_labels(head, material.tiles)
        if among is not None:
            names[~among] = ""
        row, weights = _train_head(head, names, settings, material)
        rows.append(row)
        arrays.update({f"{head['name']}.{key}": value for key, value in weights.items()})
    return arrays, rows


def prepare(
    settings: Mapping[str, Any], encoder: Encoder, tiles: ReferenceTiles, progress: Progress = silent
) -> Material:
    """Features of every view, negatives added, and the maps they are fitted and compared in."""
    made = list(negatives(settings["negatives_per_kind"], settings["seed"]))
    no_tissue = encode_all(encoder, len(made), lambda position: made[position][1])
    whole = np.concatenate([tile_features(encoder, tiles, "whole", progress), no_tissue])
    some = spread_over_groups(tiles.group, settings["changed_per_group"], settings["seed"])
    changed = [tile_features(encoder, tiles.where(some), view, progress) for view in settings["changed_views"]]
    tiles = _with_negatives(tiles, [kind for kind, _ in made])
    whitened = principal_axes(np.concatenate([whole, *changed]), settings["dimensions"], settings["whitening"])
    everything = np.arange(len(tiles))
    views = [View(everything, whitened(whole)), *(View(some, whitened(view)) for view in changed)]
    axes = novelty_axes(whole, settings["novelty"]["dimensions"])
    # Compared as shipped, in half precision.
    through_origin = Projection(np.zeros(len(axes), dtype=np.float32), axes.astype(np.float32))
    return Material(
        tiles=tiles,
        whitened=whitened,
        views=views,
        axes=axes,
        components=novelty_components(whole, through_origin),
        kept=spread_over_groups(tiles.group, settings["novelty"]["tiles_per_group"], settings["seed"]),
    )


def _with_negatives(tiles: ReferenceTiles, kinds: Sequence[str]) -> ReferenceTiles:
    count = len(kinds)
    names = [f"generated/{kind}/{number}" for number, kind in enumerate(kinds)]
    constant = {"kind": "tiles", "source": "generated", "split": "train", "stain": "not histology"}
    columns: dict[str, Any] = {}
    for column in tiles.__dataclass_fields__:
        values = getattr(tiles, column)
        added = np.empty(count, dtype=values.dtype)
        if column in ("id", "group"):
            added[:] = names
        elif values.dtype == np.bool_:
            added[:] = True
        elif values.dtype == object:
            added[:] = constant.get(column, b"" if column == "jpeg" else "")
        else:
            added[:] = 1
        columns[column] = np.concatenate([values, added])
    return ReferenceTiles(**columns)


def head_labels(
    head: Mapping[str, Any], tiles: ReferenceTiles, classes: Sequence[str] | None = None
) -> NDArray[np.object_]:
    """The head's label of every tile (n,); an empty string where the head has nothing to do with it.

    Without `classes`, those with enough groups become classes and the others the recipe's `rest`; with the
    classes of a trained head, what is none of them does.
    """
    labels: NDArray[np.object_] = getattr(tiles, head["column"]).copy()
    usable = np.ones(len(tiles), dtype=bool)
    if head["stain"]:
        usable &= tiles.stain == head["stain"]
    if head["certain"]:
        usable &= tiles.certain
    if "sources" in head:
        usable &= np.isin(tiles.source, head["sources"])
    usable &= ~np.isin(tiles.tissue, head.get("without", []))
    labels[~usable] = ""
    for label in sorted(set(labels) - {""}):
        members = labels == label
        known = len(set(tiles.group[members])) >= head["minimum_groups"] if classes is None else label in classes
        if not known:
            labels[members] = head.get("rest", "")
    return labels


def _train_head(
    head: Mapping[str, Any], names: NDArray[np.object_], settings: Mapping[str, Any], material: Material
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """One head's row of the card and its arrays, from the tiles whose name (n,) is not empty."""
    chosen = np.flatnonzero(names != "")
    classes = tuple(sorted(set(names[chosen])))
    if len(classes) < 2:
        raise UsageError(f"head '{head['name']}' finds {len(classes)} classes in the data: it needs two")
    tiles = material.tiles.where(chosen)
    labels = np.array([classes.index(name) for name in names[chosen]])
    units = units_of(tiles.group, tiles.kind, labels)
    views = [view.among(chosen) for view in material.views]
    balance = settings["balance"]
    fresh = _fresh(units, tiles, settings.get("encoder_learned", ()))
    penalty, logits = choose_penalty(views, labels, tiles.group, [units[number] for number in fresh], settings)
    fitted = fit_linear(views, labels, tiles.group, penalty, balance)
    weight, bias = _on_features(fitted, material.whitened)
    drawn = draw_bags(units, tiles.downsample, DRAWS, settings["seed"])
    bags = [bag for bag in drawn if bag[1] in fresh]
    scale = fit_scale(logits, bags, units, balance)
    reference, novelty, of_cases = _novelty(material, chosen)
    composition = bool(head.get("composition"))
    held_out = HeldOut(logits, novelty, of_cases, bags, units, scale, composition)
    row = {
        "name": head["name"],
        "classes": list(classes),
        "temperature": scale[0],
        "growth": scale[1],
        "thresholds": held_out.thresholds(settings["coverage"]),
        "accepted": held_out.accepted(head["least_accuracy"]),
        "composition": composition,
        "scope": _scope(head),
        "penalty": penalty,
        "tiles": len(tiles),
        "groups": len(set(tiles.group)),
        "groups_per_class": {name: sum(u.label == i for u in units) for i, name in enumerate(classes)},
        "sources": sorted(set(tiles.source)),
        "novelty": held_out.novelty_scores(),
    }
    return row, {"weight": weight, "bias": bias, "reference": reference.astype(np.int32)}


def _fresh(units: Sequence[Unit], tiles: ReferenceTiles, learned: Sequence[str]) -> list[int]:
    """Numbers of the units whose label the encoder was never told: those a head may be calibrated on."""
    fresh = [
        number
        for number, unit in enumerate(units)
        if tiles.source[unit.tiles[0]] not in learned or is_unnamed(unit.group)
    ]
    return fresh or list(range(len(units)))


def _on_features(
    fitted: tuple[NDArray[np.float64], NDArray[np.float64]], whitened: Projection
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (k, d) and bias (k,) on features, of a slope and intercept on their components."""
    slope, intercept = fitted
    weight = slope @ whitened.axes.T.astype(np.float64)
    return weight.astype(np.float32), (intercept - weight @ whitened.mean).astype(np.float32)


def _novelty(material: Material, chosen: Positions) -> tuple[Positions, NDArray[np.float64], NDArray[np.float64]]:
    """Which kept reference tiles are the head's own; novelty and whole-slide share of each of its tiles."""
    reference = np.flatnonzero(np.isin(material.kept, chosen))
    own = material.kept[reference]
    groups = material.tiles.group
    scores, shares = novelty_without_own_group(
        material.components[chosen],
        groups[chosen],
        material.components[own].astype(np.float16).astype(np.float32),
        groups[own],
        material.tiles.kind[own] == CASES,
    )
    return reference, scores, shares


def _scope(head: Mapping[str, Any]) -> dict[str, Any]:
    low, high = head["mpp"]
    stain = f"{head['stain']} stain" if head["stain"] else "any stain"
    organ = head.get("organ", "")
    words = f"{stain}, {organ or 'any organ of its list'}, {low:g}–{high:g} µm/px"
    return {"stain": head["stain"], "organ": organ, "mpp_low": low, "mpp_high": high, "words": words}


def main() -> None:
    """The command line: recipe, data folder, output folder; progress on stderr."""
    run_recipe("vision_encoder.train_heads", "heads", __doc__, train)


if __name__ == "__main__":
    main()
