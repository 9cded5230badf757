"""What `recipes/survival.toml` says: how to fit, and from which set with which covariates."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slides.errors import UsageError

MODALITIES = ("table", "text", "expression", "slide")


@dataclass(frozen=True)
class Covariate:
    """A column of a table as a covariate of a record: a number in a unit, or one of `levels` (column's → ours)."""

    column: str
    name: str
    unit: str | None = None
    shape: str = "linear"
    levels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How one set's model is fitted; the recipe's comments say what each is."""

    seed: int = 7
    members: int = 24
    intervals: int = 16
    steps: int = 400
    rate: float = 0.03
    modality_dropout: float = 0.3
    covariate_dropout: float = 0.1
    text_components: int = 24
    vector_components: int = 12
    penalty: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SurvivalSet:
    """One set: where its rows come from, its endpoint, and who it speaks of."""

    name: str
    source: str
    time: str
    event: str
    endpoint: str
    free_of: str
    horizons_years: tuple[float, ...]
    diagnosis: str
    needed: tuple[str, ...]
    covariates: tuple[Covariate, ...]
    citation: str
    days_per_unit: float = 1.0
    sex: str | None = None
    expression: str | None = None
    texts: bool = False
    ship: bool = False


@dataclass(frozen=True)
class Recipe:
    """Settings, and sets by name."""

    settings: Settings
    sets: Mapping[str, SurvivalSet]
    folder: Path


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; raises `UsageError` for a missing or unreadable file, or one that lacks what a set needs."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"no readable recipe {path.name}: see recipes/survival.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not TOML: {error}") from None
    try:
        sets = {name: _set(name, table) for name, table in content.pop("set").items()}
        return Recipe(Settings(**content), sets, path.parent)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path.name} lacks or misnames a setting ({error}): see recipes/survival.toml") from None


def chosen_sets(recipe: Recipe, names: list[str]) -> list[SurvivalSet]:
    """The named sets, all without names; raises `UsageError` for one that the recipe has not."""
    for name in names:
        if name not in recipe.sets:
            raise UsageError(f"the recipe has no set '{name}': it has {', '.join(recipe.sets)}")
    return [recipe.sets[name] for name in names or recipe.sets]


def _set(name: str, table: dict[str, Any]) -> SurvivalSet:
    covariates = tuple(Covariate(**row) for row in table.pop("covariate"))
    table["horizons_years"] = tuple(float(year) for year in table["horizons_years"])
    table["needed"] = tuple(table["needed"])
    return SurvivalSet(name=name, covariates=covariates, **table)
