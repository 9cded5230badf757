"""Bags of tiles drawn from training groups, to calibrate a head at the sizes it will be asked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .novelty import BAG_SIZES

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Unit:
    """The tiles of one group that carry one label: what counts once, however many tiles it has."""

    group: str
    kind: str
    label: int
    tiles: Positions


def units_of(groups: NDArray[np.object_], kinds: NDArray[np.object_], labels: NDArray[np.int64]) -> tuple[Unit, ...]:
    """One unit a pair of group and label, in order of group and label; `tiles` are positions (n,)."""
    keys: dict[tuple[str, int], list[int]] = {}
    for position, (group, label) in enumerate(zip(groups, labels, strict=True)):
        keys.setdefault((str(group), int(label)), []).append(position)
    return tuple(
        Unit(group, str(kinds[tiles[0]]), label, np.array(tiles)) for (group, label), tiles in sorted(keys.items())
    )


def unit_weights(units: Sequence[Unit], balance: float) -> NDArray[np.float64]:
    """Weights (u,) of mean 1: a class of u units has the total weight u^(1 - balance), shared equally.

    `balance` 0 leaves the classes as frequent as they are, 1 makes each count alike.
    """
    labels = np.array([unit.label for unit in units])
    weights = np.bincount(labels)[labels].astype(np.float64) ** -balance
    normalised: NDArray[np.float64] = weights / weights.mean()
    return normalised


def tile_weights(units: Sequence[Unit], balance: float, tiles: int) -> NDArray[np.float64]:
    """Weights (t,) of tiles, of mean 1: each unit's weight shared equally by its tiles."""
    weights = np.zeros(tiles)
    for unit, weight in zip(units, unit_weights(units, balance), strict=True):
        weights[unit.tiles] = weight / len(unit.tiles)
    normalised: NDArray[np.float64] = weights / weights.mean()
    return normalised


def draw_bags(
    units: Sequence[Unit], downsamples: NDArray[np.int64], draws: int, seed: int
) -> Iterator[tuple[int, int, Positions]]:
    """`draws` bags of each size from each unit that holds as many tiles, as (size, unit number, tiles).

    A bag comes from one magnification where the unit has enough tiles of one, as a region that is read does.
    """
    for number, unit in enumerate(units):
        rng = np.random.default_rng([seed, number])
        levels = [unit.tiles[downsamples[unit.tiles] == level] for level in np.unique(downsamples[unit.tiles])]
        for size in BAG_SIZES:
            if len(unit.tiles) < size:
                continue
            pools = [level for level in levels if len(level) >= size] or [unit.tiles]
            for _ in range(draws):
                pool = pools[int(rng.integers(len(pools)))]
                yield size, number, rng.choice(pool, size, replace=False)
