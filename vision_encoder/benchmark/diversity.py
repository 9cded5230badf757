"""Diversity against quantity: as many tiles from one case as from many, on the atlas's organs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoder import Features
from .atlas_cases import AtlasCases
from .intervals import Samples, balanced_accuracy, resample_groups
from .labelled_sets import Positions
from .probes import nearest_mean

TILES = 24
"""Tiles an organ to learn from, in every arm."""
CASES = (1, 2, 4)
"""Cases they come from."""
REPEATS = 40


@dataclass(frozen=True)
class Arms:
    """Balanced accuracy by number of cases, as sample vectors over the same tested groups."""

    samples: dict[int, Samples]
    organs: tuple[str, ...]
    tested_groups: int


def measure_diversity(features: Features, cases: AtlasCases) -> Arms | None:
    """Nearest organ mean from 24 tiles an organ of 1, 2 or 4 cases; tested on all tiles of the other cases.

    Over 40 draws; a case that gives tiles to one arm gives none to test in that draw, so that all arms of a
    draw are tested on the same rows. None where an organ has fewer than five groups of enough tiles.
    """
    rows = features[cases.organ_tiles]
    members = _members(cases)
    if any(len(own) <= max(CASES) for own in members):
        return None
    right = {count: np.zeros(len(rows)) for count in CASES}
    times = np.zeros(len(rows))
    rng = np.random.default_rng(0)
    for _ in range(REPEATS):
        chosen = [[own[pick] for pick in rng.permutation(len(own))[: max(CASES)]] for own in members]
        taken = {cases.organ_groups[group[0]] for own in chosen for group in own}
        tested = np.flatnonzero(~np.isin(cases.organ_groups, list(taken)))
        times[tested] += 1
        for count in CASES:
            learned = [_spread(own[:count], rng) for own in chosen]
            named = nearest_mean(rows[np.concatenate(learned)], _numbers(learned), rows[tested])
            right[count][tested] += named == cases.organs[tested]
    seen = np.flatnonzero(times)
    resamples = resample_groups(cases.organ_groups[seen])
    samples = {
        count: balanced_accuracy(right[count][seen] / times[seen], cases.organs[seen], resamples) for count in CASES
    }
    return Arms(samples, cases.organ_names, len(set(cases.organ_groups[seen])))


def _members(cases: AtlasCases) -> list[list[Positions]]:
    """For each organ the tiles of each of its groups, of groups that hold 24 or more."""
    found: list[list[Positions]] = []
    for organ in range(len(cases.organ_names)):
        own = cases.organs == organ
        groups = [np.flatnonzero(own & (cases.organ_groups == group)) for group in sorted(set(cases.organ_groups[own]))]
        found.append([group for group in groups if len(group) >= TILES])
    return found


def _spread(groups: list[Positions], rng: np.random.Generator) -> Positions:
    """24 tiles, equally many of each group."""
    return np.concatenate([rng.permutation(group)[: TILES // len(groups)] for group in groups])


def _numbers(learned: list[Positions]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(learned)), [len(own) for own in learned])
