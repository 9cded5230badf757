"""The published models as settings of one network, at a size that a hundred slides can fill.

The papers train 512 and 384 wide on ten thousand slides; the structure is theirs, the widths are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from slides.errors import UsageError

from .multitask import Shape, Task

INSTANCES = 0.3
"""Share of the instance loss in CLAM."""
SITE = 0.25
"""Share of primary or metastatic in TOAD."""


def abmil(dimension: int, tasks: Sequence[Task], **sizes: Any) -> Shape:
    """Gated attention and nothing else: Ilse et al., ICML 2018."""
    return Shape(dimension, tuple(tasks), **sizes)


def clam(dimension: int, tasks: Sequence[Task], *, branches: bool = False, **sizes: Any) -> Shape:
    """Gated attention with CLAM's instance loss; `branches` for an attention a class."""
    own = tuple(replace(task, branches=branches) for task in tasks)
    return Shape(dimension, own, **{"clusters": INSTANCES, **sizes})


def toad(dimension: int, tasks: Sequence[Task], **sizes: Any) -> Shape:
    """Two tasks, origin first and then primary or metastatic, one attention column each, sex beside.

    Raises
    ------
    UsageError : not two tasks
    """
    if len(tasks) != 2:
        raise UsageError(f"toad takes two tasks, origin and then primary or metastatic; the recipe has {len(tasks)}")
    origin, site = tasks
    weighed = (replace(origin, weight=1 - SITE), replace(site, weight=SITE))
    return Shape(dimension, weighed, **{"sex": True, **sizes})


def crane(dimension: int, tasks: Sequence[Task], **sizes: Any) -> Shape:
    """Findings of two classes that may stand together, and grades, told by a network of their own from positives.

    A task that is learned `among` the bags of a class is a grade.

    Raises
    ------
    UsageError : a finding has more than two classes
    """
    for task in tasks:
        if task.among is None and len(task.classes) != 2:
            raise UsageError(f"crane's findings are yes or no: '{task.name}' has {len(task.classes)} classes")
    own = tuple(replace(task, trunk=f"grade of {task.among[0]}") if task.among else task for task in tasks)
    return Shape(dimension, own, **sizes)


CONFIGURATIONS: dict[str, Callable[..., Shape]] = {"abmil": abmil, "clam": clam, "toad": toad, "crane": crane}


def configured(name: str, dimension: int, tasks: Sequence[Task], **sizes: Any) -> Shape:
    """The shape of the configuration of this name.

    Raises
    ------
    UsageError : no such configuration, tasks that do not fit it, or a size that a shape does not have
    """
    if name not in CONFIGURATIONS:
        raise UsageError(f"no slide model '{name}': use {', '.join(CONFIGURATIONS)}, mean, max, spread or statistics")
    try:
        return CONFIGURATIONS[name](dimension, tasks, **sizes)
    except TypeError as error:
        raise UsageError(f"a setting that slide model '{name}' does not have: {error}") from error
