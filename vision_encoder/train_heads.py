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

from .bags import Positions, draw_bags, tile_weights, units_of
from .catalog import load_encoder
from .encoder import Encoder, Features
from .features import Progress, encode_all, silent, tile_features
from .fit_heads import HeldOut, choose_penalty, fit_linear, fit_scale, novelty_without_own_group
from .negatives import negatives
from .projection import Projection, fit_projection
from .recipe import run_recipe
from .reference_tiles import ReferenceTiles, attribution, training_tiles
from .shipped import WEIGHTS, write_trained

DRAWS = 8
"""Bags of one size drawn from one group; thresholds are the median over draws, so that none decides."""


@dataclass(frozen=True)
class Material:
    """What heads are trained from: n tiles' labels, their features in each view, and the projection."""

    tiles: ReferenceTiles
    views: Sequence[Features]
    projection: Projection
    components: NDArray[np.float32]
    kept_for_novelty: Positions


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
    material = _material(settings, encoder, tiles, progress)
    arrays: dict[str, NDArray[Any]] = {
        "projection.mean": material.projection.mean,
        "projection.axes": material.projection.axes,
        "novelty.reference": material.components[material.kept_for_novelty].astype(np.float16),
    }
    rows = []
    for number, head in enumerate(settings["head"]):
        progress(f"head {head['name']}", number, len(settings["head"]))
        row, weights = _train_head(head, settings, material)
        rows.append(row)
        arrays.update({f"{head['name']}.{key}": value for key, value in weights.items()})
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


def _material(settings: Mapping[str, Any], encoder: Encoder, tiles: ReferenceTiles, progress: Progress) -> Material:
    """Features of every view, negatives added, and the projection that novelty is measured in."""
    made = list(negatives(settings["negatives_per_kind"], settings["seed"]))
    no_tissue = encode_all(encoder, len(made), lambda position: made[position][1])
    views = [np.concatenate([tile_features(encoder, tiles, view, progress), no_tissue]) for view in settings["views"]]
    tiles = _with_negatives(tiles, [kind for kind, _ in made])
    projection = fit_projection(views[0], settings["novelty"]["dimensions"])
    kept = _spread_over_groups(tiles.group, settings["novelty"]["tiles_per_group"], settings["seed"])
    return Material(tiles, views, projection, projection(views[0]), kept)


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


def _spread_over_groups(groups: NDArray[np.object_], at_most: int, seed: int) -> Positions:
    """Positions of up to `at_most` tiles of each group, in order."""
    chosen: list[int] = []
    for number, group in enumerate(sorted(set(groups))):
        members = np.flatnonzero(groups == group)
        order = np.random.default_rng([seed, number]).permutation(members)
        chosen.extend(int(position) for position in order[:at_most])
    return np.array(sorted(chosen))


def _labels(head: Mapping[str, Any], tiles: ReferenceTiles) -> NDArray[np.object_]:
    """The head's label of every tile; an empty string where it may not learn from the tile."""
    labels: NDArray[np.object_] = getattr(tiles, head["column"]).copy()
    usable = np.ones(len(tiles), dtype=bool)
    if head["stain"]:
        usable &= tiles.stain == head["stain"]
    if head["certain"]:
        usable &= tiles.certain
    if "sources" in head:
        usable &= np.isin(tiles.source, head["sources"])
    labels[~usable] = ""
    for label in sorted(set(labels) - {""}):
        if len(set(tiles.group[labels == label])) < head["minimum_groups"]:
            labels[labels == label] = head.get("rest", "")
    return labels


def _train_head(
    head: Mapping[str, Any], settings: Mapping[str, Any], material: Material
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """One head's row of the card and its arrays."""
    names = _labels(head, material.tiles)
    chosen = np.flatnonzero(names != "")
    classes = tuple(sorted(set(names[chosen])))
    if len(classes) < 2:
        raise UsageError(f"head '{head['name']}' finds {len(classes)} classes in the data: it needs two")
    tiles = material.tiles.where(chosen)
    labels = np.array([classes.index(name) for name in names[chosen]])
    units = units_of(tiles.group, tiles.kind, labels)
    views = [view[chosen] for view in material.views]
    penalty, logits = choose_penalty(views, labels, tiles.group, units, settings)
    weights = tile_weights(units, len(classes), len(tiles))
    weight, bias = fit_linear(views, labels, weights, penalty, settings["dimensions"])
    bags = list(draw_bags(units, tiles.downsample, DRAWS, settings["seed"]))
    scale = fit_scale(logits, bags, units, len(classes))
    held_out = HeldOut(logits, bags, units, scale, bool(head.get("composition")))
    reference, novelty = _novelty(material, chosen)
    row = {
        "name": head["name"],
        "classes": list(classes),
        "temperature": scale[0],
        "growth": scale[1],
        "thresholds": held_out.thresholds(settings["coverage"]),
        "accepted": held_out.accepted(head["least_accuracy"]),
        "composition": bool(head.get("composition")),
        "scope": _scope(head),
        "penalty": penalty,
        "tiles": len(tiles),
        "groups": len(set(tiles.group)),
        "groups_per_class": {name: sum(u.label == i for u in units) for i, name in enumerate(classes)},
        "sources": sorted(set(tiles.source)),
        "novelty": held_out.novelty_scores(novelty),
    }
    return row, {"weight": weight, "bias": bias, "reference": reference.astype(np.int32)}


def _novelty(material: Material, chosen: Positions) -> tuple[Positions, NDArray[np.float64]]:
    """Which kept reference tiles are the head's own, and the novelty of each of its tiles."""
    kept = material.kept_for_novelty
    reference = np.flatnonzero(np.isin(kept, chosen))
    # As shipped, in half precision: the scores must be those that reading will compare with.
    shipped = material.components[kept[reference]].astype(np.float16).astype(np.float32)
    groups = material.tiles.group
    scores = novelty_without_own_group(material.components[chosen], groups[chosen], shipped, groups[kept[reference]])
    return reference, scores


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
