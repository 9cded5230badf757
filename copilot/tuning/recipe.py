"""The recipe of a tuning run: a TOML file as a frozen record, every setting checked before work begins."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from slides.errors import UsageError

Kind = Literal["align", "tune", "prefer"]
Sight = Literal["records", "pictures"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run.

    Attributes
    ----------
    kind : `align` teaches the projector what pictures are called, with the language model frozen (Liu et al. 2023,
        LLaVA); `tune` teaches projector and adapter the answers of conversations; `prefer` teaches the adapter to
        hold a right answer likelier than one with a single thing altered (DPO, Rafailov et al. 2023)
    steps : at most; a stage ends earlier when its held-out figure gets no better in `patience` looks
    rate, projector_rate : peak learning rates of the adapter and of the projector
    warm_up : share of the steps in which they rise
    beta : weight of the distance to where `prefer` began
    enough : share of held-out pairs held right at which `prefer` ends
    """

    kind: Kind
    steps: int
    rate: float = 2e-4
    projector_rate: float = 1e-3
    warm_up: float = 0.03
    patience: int = 4
    beta: float = 0.1
    enough: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings of a run.

    Attributes
    ----------
    base : `embedded`, a model folder, or a hub name in the cache; `quantise` "4bit" for its weights (QLoRA,
        Dettmers et al. 2023), "" for whole ones
    sees : what comes with a question: `records` are findings as text, `pictures` are visual tokens
    encoder : the frozen vision encoder that pictures are seen through, by the name `load_encoder` takes
    visual_tokens, projector_width : tokens a picture becomes, and the width of the projector's hidden layer
    rank, alpha, dropout : of the adapter on every linear layer (Hu et al. 2022)
    longest : tokens of an example; longer ones are left out and counted
    tokens : of a batch, padding included, each process; `batches` of them make one step
    held_out : examples or pairs of the part `valid` that are looked at, every `watch` steps
    recompute : forget activations and make them anew, for models that do not fit otherwise
    """

    name: str
    sha256: str
    stage: tuple[Stage, ...]
    base: str = "embedded"
    quantise: str = ""
    sees: tuple[Sight, ...] = ("records",)
    encoder: str = "embedded"
    visual_tokens: int = 4
    projector_width: int = 512
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    seed: int = 7
    longest: int = 640
    tokens: int = 2048
    batches: int = 1
    held_out: int = 200
    watch: int = 25
    checkpoint: int = 10
    clip: float = 1.0
    decay: float = 0.0
    recompute: bool = False

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stage)


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
    stages = settings.pop("stage", [])
    _check_names(path.name, settings, Recipe, {"name", "sha256", "stage"})
    for stage in stages:
        _check_names(path.name, stage, Stage, set())
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
        }
        digest = hashlib.sha256(content).hexdigest()
        recipe = Recipe(path.stem, digest, tuple(Stage(**stage) for stage in stages), **values)
    except TypeError as error:
        raise UsageError(
            f"the recipe {path.name} has a stage without kind or steps: see the files in recipes"
        ) from error
    if wrong := _fault(recipe):
        raise UsageError(f"the recipe {path.name} {wrong}")
    return recipe


def _check_names(recipe: str, settings: dict[str, Any], record: type, unset: set[str]) -> None:
    unknown = sorted(set(settings) - {entry.name for entry in fields(record)} | (set(settings) & unset))
    if unknown:
        raise UsageError(f"the recipe {recipe} has the unknown setting '{unknown[0]}': see the files in recipes")


def _fault(recipe: Recipe) -> str | None:
    """What is wrong with the settings taken together."""
    kinds = [stage.kind for stage in recipe.stage]
    if not kinds or any(kind not in get_args(Kind) for kind in kinds):
        return "needs stages [[stage]] of the kinds align, tune or prefer"
    if not recipe.sees or any(sight not in get_args(Sight) for sight in recipe.sees):
        return 'must see records, pictures or both: sees = ["records"]'
    if "align" in kinds and "pictures" not in recipe.sees:
        return "has a stage align, which needs pictures: add them to sees, or leave the stage out"
    if recipe.quantise not in ("", "4bit"):
        return f"has the unknown quantisation '{recipe.quantise}': only 4bit is there"
    if recipe.quantise and recipe.base == "embedded":
        return "quantises the embedded model, which is small as it is: leave quantise out"
    counted = (recipe.tokens, recipe.longest, recipe.batches, recipe.watch, recipe.checkpoint, recipe.held_out)
    if min(*counted, recipe.rank, recipe.visual_tokens, *(stage.steps for stage in recipe.stage)) < 1:
        return "has a count below one"
    if recipe.longest > recipe.tokens:
        return "lets an example be longer than a batch: raise tokens or lower longest"
    return None
