"""From a recipe and data to an encoder on disk: what `pathcopilot pretrain` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from slides.errors import SetupError, UsageError

from ..features import Progress
from ..networks import build_network
from ..networks.efficientnet_lite0 import EfficientNetLite0
from ..reference_tiles import Column, ReferenceTiles, attribution, load_reference_tiles
from ..shipped import write_trained
from .objective import Objective, build_objective
from .pool import TilePool, decoded, pool_of_tiles
from .readout import fit_readout
from .recipe import Recipe, read_recipe
from .start import dimension_of, starting_network
from .trainer import Report, Trainer
from .views import CENTRE, HALF_RANGE
from .watch import Watch

WATCHED_PER_GROUP = 4
WATCHED_PX = 224


def pretrain(
    recipe_path: Path,
    data: Path,
    out: Path,
    report: Report,
    progress: Progress,
    until: int | None = None,
) -> dict[str, Any] | None:
    """Trains, or goes on training, and writes `encoder.safetensors` and its card into `out`.

    Returns the card; of several processes (torchrun, accelerate launch) the first alone writes, and the others
    return None. `until` ends this call at an earlier step than the recipe's last; the next call goes on.

    Raises
    ------
    UsageError, SetupError, TrainingStopped : each with one line that says what to do
    """
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise SetupError('pretraining needs: pip install -c constraints.txt "pathcopilot[train]"') from error
    recipe = read_recipe(recipe_path)
    _make(out)
    tiles = load_reference_tiles(data, recipe.rename)
    chosen = learned_tiles(tiles, recipe)
    if len(chosen) < recipe.batch:
        raise UsageError(f"only {len(chosen)} permissive training tiles under --data: fewer than one batch")
    pool = pool_of_tiles(chosen, recipe.tile_px, recipe.task, progress)
    network = starting_network(recipe)
    objective = build_objective(network, dimension_of(network), pool.classes, recipe.objective)
    trainer = Trainer(recipe, objective, pool, _watch(recipe, objective, tiles), out, report)
    trainer.run(until)
    return _write(recipe, objective, trainer, pool, chosen, out, progress) if trainer.is_first else None


def learned_tiles(tiles: ReferenceTiles, recipe: Recipe) -> ReferenceTiles:
    """The tiles that a recipe learns from: permissive terms, split `train`, the recipe's magnifications."""
    return tiles.where(tiles.permissive & (tiles.split == "train") & np.isin(tiles.downsample, recipe.downsamples))


def _watch(recipe: Recipe, objective: Objective, tiles: ReferenceTiles) -> Watch | None:
    """Single labelled tiles of the split `train`, of all terms: they are looked at, never learned from here."""
    rows = np.flatnonzero((tiles.kind == "tiles") & (tiles.split == "train") & (tiles.tissue != ""))
    kept: list[int] = []
    for group in sorted(set(tiles.group[rows])):
        kept.extend(rows[tiles.group[rows] == group][:WATCHED_PER_GROUP])
    if not kept:
        return None
    seen = tiles.where(np.array(sorted(kept)))
    pixels = np.stack([decoded(seen, row, WATCHED_PX) for row in range(len(seen))])
    return Watch(torch.from_numpy(pixels), objective.side, seen.group, seen.source, seen.tissue)


def _write(
    recipe: Recipe,
    objective: Objective,
    trainer: Trainer,
    pool: TilePool,
    chosen: ReferenceTiles,
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    settings = dict(recipe.network_settings)
    if recipe.network == "efficientnet_lite0":
        settings["folded"] = True
    network = build_network(recipe.network, **settings)
    network.load_state_dict({name: value.cpu() for name, value in trainer.weights().items()})
    state = network.state_dict()
    if isinstance(network, EfficientNetLite0) and (recipe.readout or recipe.early):
        state |= fit_readout(network, pool, recipe.readout, recipe.early, recipe.whitening, recipe.seed, progress)
        settings |= {"readout": recipe.readout, "early": recipe.early}
    arrays = {name: value.half().numpy() for name, value in state.items()}
    card: dict[str, Any] = {
        "network": recipe.network,
        "settings": settings,
        "dimension": dimension_of(build_network(recipe.network, **settings).eval()),
        "tile_px": 224,
        "mpp": None,
        "mean": [CENTRE] * 3,
        "deviation": [HALF_RANGE] * 3,
        "recipe": recipe.name,
        "recipe_sha256": recipe.sha256,
        "objective": recipe.objective["name"],
        "start": recipe.start,
        "licence": "Apache-2.0; trained only on tiles whose terms are permissive",
        "source": f"{recipe.network} from {recipe.start}, trained on {len(pool)} histology tiles ({recipe.name})",
        "steps": trainer.step,
        "tiles_seen": trainer.step * recipe.batch,
        "tiles": len(pool),
        "groups": len(set(chosen.group)),
        "slides": len(set(pool.slide.tolist())),
        "tiles_by_source": _counts(chosen.source),
        "data_sha256": chosen.sha256(),
        "held_out": "every group of the split `dev`, and every tile whose terms are not permissive",
        "watched": trainer.history,
        "attribution": attribution(chosen.source),
        **objective.card(),
    }
    try:
        return {"sha256": write_trained(out, "encoder", arrays, card), **card}
    except OSError as error:
        raise UsageError(
            f"the encoder could not be written ({error.strerror}): make room and run the command again, "
            "it goes on from the checkpoint"
        ) from error


def _make(out: Path) -> None:
    """The output folder, made before hours of work rather than after."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {out.name} cannot be made ({error.strerror}): give another --out") from error


def _counts(values: Column) -> dict[str, int]:
    names, counts = np.unique(np.array(values, dtype=str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
