"""From a recipe and data to an encoder on disk: what `pathcopilot pretrain` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from slides.errors import SetupError, UsageError

from ..duplicates import SIDE, Thumbnails, thumbnail
from ..features import Progress
from ..networks import build_network
from ..networks.efficientnet_lite0 import EfficientNetLite0
from ..reference_tiles import Column, ReferenceTiles, attribution, load_reference_tiles
from ..shipped import write_trained
from .objective import Objective, build_objective
from .pool import TilePool, decoded, joined, pool_of_tiles, unlabelled_pool
from .readout import fit_readout
from .recipe import Recipe, read_recipe
from .slide_tiles import SlideTiles, cut_tiles, plan_cuts, room_for
from .start import dimension_of, starting_network
from .trainer import Report, Trainer
from .views import CENTRE, HALF_RANGE
from .watch import Watch

WATCHED_PER_GROUP = 4
WATCHED_PX = 224
WATCHED_TILES = 512


@dataclass(frozen=True)
class Learned:
    """What a run learns from: the pool, and the labelled tiles and the slides that it was made of."""

    pool: TilePool
    labelled: ReferenceTiles | None
    cut: SlideTiles | None


def pretrain(
    recipe_path: Path,
    data: Path | None,
    out: Path,
    report: Report,
    progress: Progress,
    until: int | None = None,
    slides: Sequence[Path] = (),
) -> dict[str, Any] | None:
    """Trains, or goes on training, and writes `encoder.safetensors` and its card into `out`.

    Returns the card; of several processes (torchrun, accelerate launch) the first alone writes, and the others
    return None. `data` holds labelled tiles, `slides` are folders of slides; one of both is needed. `until`
    ends this call at an earlier step than the recipe's last; the next call goes on.

    Raises
    ------
    UsageError, SetupError, TrainingStopped : each with one line that says what to do
    """
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise SetupError('pretraining needs: pip install -c constraints.txt "pathcopilot[train]"') from error
    if data is None and not slides:
        raise UsageError("there is nothing to learn from: give --data, --slides or both")
    recipe = read_recipe(recipe_path)
    _make(out)
    tiles = None if data is None else load_reference_tiles(data, recipe.rename)
    learned = _gather(recipe, tiles, slides, out, report, progress)
    network = starting_network(recipe)
    objective = build_objective(network, dimension_of(network), learned.pool.classes, recipe.objective)
    watch = _watch(objective, tiles) or _plain_watch(objective, learned.pool)
    trainer = Trainer(recipe, objective, learned.pool, watch, out, report)
    trainer.run(until)
    return _write(recipe, objective, trainer, learned, out, progress) if trainer.is_first else None


def _gather(
    recipe: Recipe,
    tiles: ReferenceTiles | None,
    slides: Sequence[Path],
    out: Path,
    report: Report,
    progress: Progress,
) -> Learned:
    """Labelled tiles, then those of slides, in one array; pictures of held-out tiles are not taken from slides."""
    labelled = None if tiles is None else learned_tiles(tiles, recipe)
    count = 0 if labelled is None else len(labelled)
    cuts = plan_cuts(slides, recipe, report, progress) if slides else []
    most = count + sum(cut.most for cut in cuts)
    _refuse_few(most, recipe)
    pixels = room_for(most, recipe.tile_px, out)
    pools, cut = [], None
    if labelled is not None:
        pools.append(pool_of_tiles(labelled, recipe.tile_px, recipe.task, progress, into=pixels[:count]))
    if cuts:
        cut = cut_tiles(cuts, pixels[count:], _held_out_pictures(tiles), report, progress)
        report(f"{cut}\n")
        _refuse_few(count + len(cut), recipe)
        pools.append(unlabelled_pool(pixels[count : count + len(cut)], cut.slide))
    return Learned(joined(pools, pixels), labelled, cut)


def _refuse_few(count: int, recipe: Recipe) -> None:
    if count < recipe.batch:
        raise UsageError(f"only {count} tiles to learn from, fewer than one batch: give more data or more slides")


def _held_out_pictures(tiles: ReferenceTiles | None) -> Thumbnails:
    if tiles is None:
        return np.empty((0, SIDE, SIDE), dtype=np.float32)
    rows = np.flatnonzero(tiles.split != "train")
    pictures = [thumbnail(Image.fromarray(decoded(tiles, int(row), WATCHED_PX))) for row in rows]
    return np.stack([*pictures, np.zeros((SIDE, SIDE), dtype=np.float32)])[: len(pictures)]


def learned_tiles(tiles: ReferenceTiles, recipe: Recipe) -> ReferenceTiles:
    """The tiles that a recipe learns from: permissive terms, split `train`, the recipe's magnifications."""
    return tiles.where(tiles.permissive & (tiles.split == "train") & np.isin(tiles.downsample, recipe.downsamples))


def _watch(objective: Objective, tiles: ReferenceTiles | None) -> Watch | None:
    """Single labelled tiles of the split `train`, of all terms: they are looked at, never learned from here."""
    if tiles is None:
        return None
    rows = np.flatnonzero((tiles.kind == "tiles") & (tiles.split == "train") & (tiles.tissue != ""))
    kept: list[int] = []
    for group in sorted(set(tiles.group[rows])):
        kept.extend(rows[tiles.group[rows] == group][:WATCHED_PER_GROUP])
    if not kept:
        return None
    seen = tiles.where(np.array(sorted(kept)))
    pixels = np.stack([decoded(seen, row, WATCHED_PX) for row in range(len(seen))])
    return Watch(torch.from_numpy(pixels), objective.side, seen.group, seen.source, seen.tissue)


def _plain_watch(objective: Objective, pool: TilePool) -> Watch:
    """Tiles of the pool itself, without labels: RankMe and spread, no probe."""
    rows = np.unique(np.linspace(0, len(pool) - 1, WATCHED_TILES).astype(np.int64))
    none = np.full(len(rows), "", dtype=object)
    return Watch(pool.pixels[torch.from_numpy(rows)], objective.side, none, none, none)


def _write(
    recipe: Recipe, objective: Objective, trainer: Trainer, learned: Learned, out: Path, progress: Progress
) -> dict[str, Any]:
    pool = learned.pool
    network, settings = _trained(recipe, trainer)
    state = network.state_dict()
    if isinstance(network, EfficientNetLite0):
        lengths = {"readout": recipe.readout, "early": recipe.early, "beside": recipe.beside}
        layers = {f"_{'readout' if name == 'readout' else f'readout_{name}'}": n for name, n in lengths.items()}
        state |= fit_readout(network, pool, layers, recipe.whitening, recipe.seed, progress)
        settings |= {name: length for name, length in lengths.items() if length}
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
        "licence": _licence(learned),
        "source": f"{recipe.network} from {recipe.start}, trained on {len(pool)} histology tiles ({recipe.name})",
        "steps": trainer.step,
        "tiles_seen": trainer.step * recipe.batch,
        "tiles": len(pool),
        "slides": len(set(pool.slide.tolist())),
        **_provenance(recipe, learned),
        "watched": trainer.history,
        **objective.card(),
    }
    try:
        return {"sha256": write_trained(out, "encoder", arrays, card), **card}
    except OSError as error:
        raise UsageError(
            f"the encoder could not be written ({error.strerror}): make room and run the command again, "
            "it goes on from the checkpoint"
        ) from error


def _trained(recipe: Recipe, trainer: Trainer) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its trained weights and no last layer, and its settings."""
    settings = dict(recipe.network_settings)
    state = {name: value.cpu() for name, value in trainer.weights().items()}
    if recipe.network != "efficientnet_lite0":
        network = build_network(recipe.network, **settings)
        network.load_state_dict(state)
        return network, settings
    plain = EfficientNetLite0(folded=True)
    plain.load_state_dict(state)
    if not recipe.beside:
        return plain, settings | {"folded": True}
    both = EfficientNetLite0(folded=True, beside=recipe.beside)
    both.load_state_dict(plain.state_dict(), strict=False)
    start = starting_network(recipe)
    assert isinstance(start, EfficientNetLite0)
    both.set_beside(start)
    return both, settings | {"folded": True}


def _licence(learned: Learned) -> str:
    if learned.cut is None:
        return "Apache-2.0; trained only on tiles whose terms are permissive"
    return "for whoever may use the slides that it was trained on to say; they are not part of pathcopilot"


def _provenance(recipe: Recipe, learned: Learned) -> dict[str, Any]:
    """What the tiles were, without the name of any slide."""
    known: dict[str, Any] = {}
    if (tiles := learned.labelled) is not None:
        known = {
            "groups": len(set(tiles.group)),
            "tiles_by_source": _counts(tiles.source),
            "data_sha256": tiles.sha256(),
            "held_out": "every group of the split `dev`, and every tile whose terms are not permissive",
            "attribution": attribution(tiles.source),
        }
    if (cut := learned.cut) is not None:
        known |= {"tiles_from_slides": len(cut), "slides_cut": cut.slides, "slides_sha256": cut.sha256}
        known |= {"slide_mpp": recipe.slide_mpp, "slide_downsample": recipe.slide_downsample}
    return known


def _make(out: Path) -> None:
    """The output folder, made before hours of work rather than after."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {out.name} cannot be made ({error.strerror}): give another --out") from error


def _counts(values: Column) -> dict[str, int]:
    names, counts = np.unique(np.array(values, dtype=str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
