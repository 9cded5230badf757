"""Bags: what a slide model learns from and reads, one a slide."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..encoder import Features
from .multitask import UNKNOWN

Positions = NDArray[np.int64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Bag:
    """The tiles of one slide: `features` (n, d), `coords` (n, 2) level-0 pixels of their top left corners.

    `group` is what no fold may split: the patient. `truth` (n,) says of composed slides which tiles are tumour.
    """

    name: str
    group: str
    features: Features
    coords: Positions
    sex: int = UNKNOWN
    truth: NDArray[np.bool_] | None = None

    def where(self, kept: NDArray[np.bool_] | Positions) -> Bag:
        """The bag of these tiles alone."""
        truth = None if self.truth is None else self.truth[kept]
        return replace(self, features=self.features[kept], coords=self.coords[kept], truth=truth)


@dataclass(frozen=True)
class BagSet:
    """s bags with their labels: by task the class number (s,), `UNKNOWN` where it is not told.

    `source` says in words where they come from; `attribution` names what must be credited.
    """

    bags: tuple[Bag, ...]
    labels: Mapping[str, Positions]
    classes: Mapping[str, tuple[str, ...]]
    source: str
    attribution: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.bags)

    @property
    def groups(self) -> NDArray[np.object_]:
        """Group (s,) of each bag."""
        groups = np.empty(len(self.bags), dtype=object)
        groups[:] = [bag.group for bag in self.bags]
        return groups

    def where(self, kept: Positions) -> BagSet:
        """The bags at these positions."""
        labels = {task: numbers[kept] for task, numbers in self.labels.items()}
        return replace(self, bags=tuple(self.bags[index] for index in kept), labels=labels)

    def sha256(self) -> str:
        """One hash of every feature, place, group and label."""
        digest = hashlib.sha256()
        for index, bag in enumerate(self.bags):
            told = [f"{task}={numbers[index]}" for task, numbers in sorted(self.labels.items())]
            digest.update(f"{bag.name}/{bag.group}/{bag.sex}/{told}".encode())
            digest.update(np.ascontiguousarray(bag.features).tobytes() + np.ascontiguousarray(bag.coords).tobytes())
        return digest.hexdigest()


def group_count(groups: Sequence[object] | NDArray[np.object_]) -> int:
    """How many patients, or what stands for one."""
    return len({str(group) for group in groups})
