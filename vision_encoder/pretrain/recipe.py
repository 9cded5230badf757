"""The recipe of a pretraining run: a TOML file as a frozen record, every setting checked before work begins."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from slides.errors import UsageError

from ..networks.efficientnet_lite0 import EARLY


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings of a run; the defaults are the small CPU recipe's.

    Attributes
    ----------
    network, start : architecture, and `imagenet`, `random` or a folder written by an earlier run
    network_settings : handed to the network's constructor
    frozen : leading blocks whose weights stay; batch norms are folded in and never move
    tile_px : side of a tile in memory
    slide_mpp : µm/px at which tiles are cut from slides; `slide_downsample` of level 0 where a slide states no
        µm/px, 0 to leave such slides out; `tiles_per_slide` at most
    batch : tiles a step and process; `labelled` the share of them drawn from labelled tiles
    rate, projector_rate : peak learning rates of the encoder and of everything else
    decay, decay_end : weight decay at the start, and at the end of a cosine; the same all along without the second
    decay_norms : whether biases, norms and scales decay too
    average : decay of the running mean of weights that is kept, 0 for none
    clip : largest norm of the gradient
    compile : torch.compile the networks, quicker on a GPU; needs a C compiler, and minutes at the start
    checkpoint, watch : steps between checkpoints, and between looks at RankMe and the k-NN probe
    least_rank : the run stops when RankMe falls below this share of its peak
    readout : length of the features after a last layer of principal axes, 0 for none; `early` as many more
        from an early stage; `beside` as many more from the tail of the network as it was at the start, kept beside
        the trained one; `whitening` of all in [0, 1]
    """

    name: str
    sha256: str
    objective: dict[str, Any]
    network: str = "efficientnet_lite0"
    network_settings: dict[str, Any] = field(default_factory=dict)
    start: str = "imagenet"
    frozen: int = 5
    seed: int = 7
    tile_px: int = 256
    downsamples: tuple[int, ...] = (1, 2, 4)
    slide_mpp: float = 0.5
    slide_downsample: float = 0.0
    tiles_per_slide: int = 200
    batch: int = 96
    labelled: float = 0.0
    steps: int = 800
    rate: float = 3e-4
    projector_rate: float = 1e-3
    warm_up: float = 0.05
    decay: float = 1e-4
    decay_end: float | None = None
    decay_norms: bool = True
    average: float = 0.99
    clip: float = 3.0
    compile: bool = False
    checkpoint: int = 25
    watch: int = 50
    least_rank: float = 0.8
    readout: int = 128
    early: int = 32
    beside: int = 0
    whitening: float = 0.5
    task: tuple[dict[str, Any], ...] = ()
    rename: dict[str, dict[str, str]] = field(default_factory=dict)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises
    ------
    UsageError : no such file, no TOML, or a setting that is not one
    """
    try:
        content = path.read_bytes()
        settings = tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"no recipe at {path.name}: give a file of the folder recipes") from error
    except ValueError as error:
        raise UsageError(f"the recipe {path.name} is not valid TOML: {error}") from error
    known = {entry.name for entry in fields(Recipe)} - {"name", "sha256"}
    unknown = sorted(set(settings) - known)
    if unknown or "objective" not in settings:
        what = f"has the unknown setting '{unknown[0]}'" if unknown else "names no [objective]"
        raise UsageError(f"the recipe {path.name} {what}: see the files in recipes")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }
    recipe = Recipe(name=path.stem, sha256=hashlib.sha256(content).hexdigest(), **values)
    for entry in fields(Recipe):
        if not _fits(getattr(recipe, entry.name), str(entry.type)):
            raise UsageError(f"in the recipe {path.name} '{entry.name}' is no {entry.type}: see the files in recipes")
    if recipe.batch < 2 or recipe.batch % 2 or min(recipe.steps, recipe.checkpoint, recipe.watch) < 1:
        raise UsageError(f"the recipe {path.name} needs an even batch, and steps, checkpoint and watch of at least 1")
    if recipe.beside and (recipe.network != "efficientnet_lite0" or recipe.frozen <= EARLY):
        raise UsageError(
            f"in the recipe {path.name} 'beside' needs efficientnet_lite0 with frozen of at least {EARLY + 1}"
        )
    if recipe.slide_mpp <= 0 or recipe.slide_downsample < 0 or recipe.tiles_per_slide < 1 or recipe.tile_px < 32:
        raise UsageError(f"the recipe {path.name} cuts no tile: slide_mpp, tiles_per_slide and tile_px are too small")
    return recipe


def _fits(value: Any, kind: str) -> bool:
    """Whether a value is of an annotation of `Recipe`, by its outer type."""
    if kind.endswith("| None") and value is None:
        return True
    outer: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool, "dict": dict, "tuple": tuple}
    wanted = outer[kind.partition("[")[0].partition(" ")[0]]
    return isinstance(value, wanted) and (kind == "bool" or not isinstance(value, bool))
