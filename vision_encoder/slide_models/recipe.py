"""What a recipe of a slide model says: data, tasks, models in the order in which they are tried, and how they learn."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from slides.errors import UsageError

from .configurations import CONFIGURATIONS
from .multitask import UNKNOWN, Task

POOLED = ("mean", "max", "spread", "statistics")
"""Models without attention: pooled features and a logistic regression."""
SOURCES = ("atlas", "composed", "table")


@dataclass(frozen=True)
class TaskTable:
    """A task and where its labels come from: the `column` of the data and what its values mean.

    `values` maps a value to a class; a value that it lacks counts as `others`, or as not known where that is empty.
    Without `values` the classes are the values themselves.
    """

    task: Task
    column: str
    values: Mapping[str, str] = field(default_factory=dict)
    others: str = ""

    def number(self, value: str) -> int:
        """The class number of a value, `UNKNOWN` for one that says nothing."""
        if not value:
            return UNKNOWN
        name = self.values.get(value, self.others or value)
        return self.task.classes.index(name) if name in self.task.classes else UNKNOWN


@dataclass(frozen=True, slots=True)
class Training:
    """How attention learns: fixed epochs (15 slides are too few to stop early by), bags of random tiles.

    `batch` bags a step, `tiles` of each at most, AdamW at `rate` with `decay`, cosine to nothing.
    """

    epochs: int = 20
    batch: int = 8
    tiles: int = 256
    rate: float = 1e-3
    decay: float = 1e-3
    sex_dropout: float = 0.2


@dataclass(frozen=True)
class SlideRecipe:
    """A recipe, read and checked.

    `models` are tried in this order and each is kept only if it beats the one kept before it; `penalty` is the
    inverse ridge strength of the pooled ones. `start` names the folder of a slide model whose trunk and attention a
    network begins from.
    """

    name: str
    sha256: str
    encoder: str
    models: tuple[str, ...]
    data: Mapping[str, Any]
    tasks: tuple[TaskTable, ...]
    network: Mapping[str, Any]
    training: Training
    penalty: float
    seed: int
    seeds: int
    folds: int
    start: str = ""


def read_recipe(path: Path) -> SlideRecipe:
    """The recipe in a TOML file.

    Raises
    ------
    UsageError : no such file, not TOML, or a key that is missing, unknown or out of range; one line says which
    """
    try:
        text = path.read_bytes()
        told = tomllib.loads(text.decode())
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"cannot read {path.name or path}: name a recipe, as in the folder recipes") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path.name} is not TOML: {error}") from None
    known = {"encoder", "models", "data", "task", "network", "training", "penalty", "seed", "seeds", "folds", "start"}
    if strange := sorted(set(told) - known):
        raise UsageError(f"{path.name} has a key that no slide model reads: {strange[0]}")
    data = told.get("data", {})
    if data.get("from") not in SOURCES:
        raise UsageError(f"{path.name} needs a table [data] with from = one of {', '.join(SOURCES)}")
    return SlideRecipe(
        name=path.stem,
        sha256=hashlib.sha256(text).hexdigest(),
        encoder=str(told.get("encoder", "embedded")),
        models=_models(told.get("models", ["mean"]), path),
        data=data,
        tasks=_tasks(told.get("task", []), path),
        network=told.get("network", {}),
        training=_training(told.get("training", {}), path),
        penalty=float(told.get("penalty", 0.5)),
        seed=int(told.get("seed", 7)),
        seeds=_whole(told, "seeds", 5, 1, path),
        folds=_whole(told, "folds", 5, 2, path),
        start=str(told.get("start", "")),
    )


def _models(names: Sequence[str], path: Path) -> tuple[str, ...]:
    known = (*POOLED, *CONFIGURATIONS)
    for name in names:
        if name not in known:
            raise UsageError(f"{path.name} asks for model '{name}': use {', '.join(known)}")
    if not names:
        raise UsageError(f'{path.name} names no model: models = ["mean"] is the least')
    return tuple(names)


def _tasks(tables: Sequence[Mapping[str, Any]], path: Path) -> tuple[TaskTable, ...]:
    if not tables:
        raise UsageError(f"{path.name} has no task: add a table [[task]] with name, column and classes")
    found: dict[str, TaskTable] = {}
    for table in tables:
        if strange := sorted(set(table) - {"name", "column", "classes", "weight", "among", "values", "others"}):
            raise UsageError(f"{path.name}: a task has no '{strange[0]}'")
        name, classes = str(table.get("name", "")), tuple(table.get("classes", ()))
        if not name or len(classes) < 2 or len(set(classes)) < len(classes) or name in found:
            raise UsageError(f"{path.name}: a task needs a name of its own and at least two different classes")
        among = table.get("among")
        if among is not None and (among[0] not in found or among[1] not in found[among[0]].task.classes):
            raise UsageError(f"{path.name}: task '{name}' is among a class that no task before it has")
        task = Task(name, classes, float(table.get("weight", 1.0)), among=tuple(among) if among else None)
        values, others = table.get("values", {}), str(table.get("others", ""))
        if absent := ({*values.values(), *([others] if others else [])} - set(classes)):
            raise UsageError(f"{path.name}: task '{name}' has no class '{min(absent)}'")
        found[name] = TaskTable(task, str(table.get("column", name)), values, others)
    return tuple(found.values())


def _training(table: Mapping[str, Any], path: Path) -> Training:
    if strange := sorted(set(table) - {item.name for item in fields(Training)}):
        raise UsageError(f"{path.name}: [training] has no '{strange[0]}'")
    training = Training(**table)
    if min(training.epochs, training.batch, training.tiles) < 1 or training.rate <= 0:
        raise UsageError(f"{path.name}: epochs, batch, tiles and rate of [training] are above 0")
    return training


def _whole(table: Mapping[str, Any], name: str, usual: int, least: int, path: Path) -> int:
    value = table.get(name, usual)
    if not isinstance(value, int) or value < least:
        raise UsageError(f"{path.name}: {name} is a whole number of at least {least}")
    return value
