"""Calibrates one head on bags of groups it did not learn from: scale, sets, when to speak, novelty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from .bags import Positions, Unit, unit_weights
from .calibration import Array, bag_scale, conformal_quantile, fit_bag_scale, softmax
from .novelty import ALL, CASES, TILES

LEAST_GROUPS = 9
"""Groups that a 90 % quantile needs: ⌈(n + 1) · 0.9⌉ ≤ n."""
NEVER = 1.01
"""A level no probability reaches."""
Bags = Sequence[tuple[int, int, Positions]]
"""Size, number of the unit, positions of its tiles."""
S = TypeVar("S")
T = TypeVar("T")


def fit_scale(logits: Array, bags: Bags, units: Sequence[Unit], balance: float) -> tuple[float, float]:
    """Temperature and growth from bags of held-out groups, weighted as the fit was."""
    means = np.stack([logits[positions].mean(axis=0) for _, _, positions in bags])
    numbers = np.array([number for _, number, _ in bags])
    sizes = np.array([size for size, _, _ in bags])
    labels = np.array([unit.label for unit in units])[numbers]
    weights = unit_weights(units, balance)[numbers] / np.bincount(numbers)[numbers]
    return fit_bag_scale(means, labels, sizes, weights)


class HeldOut:
    """Bags of held-out groups with their calibrated probabilities, novelty and stratum.

    Parameters
    ----------
    logits : (n, k) held-out logits of the head's tiles
    novelty : (n,) score of each tile against the reference tiles of other groups
    of_cases : (n,) share of whole-slide tiles among the neighbours in that reference
    bags, units : from `draw_bags` and `units_of`
    scale : temperature and growth
    composition : whether a bag is read as the mean of its tiles' probabilities
    """

    def __init__(
        self,
        logits: Array,
        novelty: Array,
        of_cases: Array,
        bags: Bags,
        units: Sequence[Unit],
        scale: tuple[float, float],
        composition: bool,
    ) -> None:
        self.bags, self.units = bags, units
        tiles = softmax(logits / scale[0])
        self.probabilities = [
            tiles[positions].mean(axis=0)
            if composition
            else softmax(logits[positions].mean(axis=0) * bag_scale(size, *scale))
            for size, _, positions in bags
        ]
        self.novelty = [float(np.median(novelty[positions])) for _, _, positions in bags]
        self.strata = [CASES if of_cases[positions].mean() >= 0.5 else TILES for _, _, positions in bags]

    def thresholds(self, coverage: float) -> dict[str, dict[str, float]]:
        """By bag size and stratum: the least probability of a class in the set."""
        return self._by_stratum(lambda number: 1 - self._of_truth(number), _set_threshold(coverage))

    def novelty_scores(self) -> dict[str, dict[str, list[float]]]:
        """By bag size and stratum: sorted novelty of one bag a group."""
        return self._by_stratum(
            lambda number: self.novelty[number],
            lambda scores: sorted(round(float(drawn[0]), 4) for drawn in scores),
        )

    def accepted(self, least_accuracy: float) -> dict[str, dict[str, float]]:
        """By bag size and stratum: the lowest top probability from which groups were right often enough.

        Often enough is `least_accuracy`, each group counting once; `NEVER` where no level suffices.
        """
        return self._by_stratum(
            lambda number: (float(self.probabilities[number].max()), self._right(number)),
            lambda groups: _speaking_level(groups, least_accuracy),
        )

    def _right(self, number: int) -> bool:
        return int(self.probabilities[number].argmax()) == self.units[self.bags[number][1]].label

    def _of_truth(self, number: int) -> float:
        return float(self.probabilities[number][self.units[self.bags[number][1]].label])

    def _by_stratum(self, score: Callable[[int], S], summary: Callable[[list[list[S]]], T]) -> dict[str, dict[str, T]]:
        """The summary of scores, a list of draws a group, by bag size and stratum.

        A stratum of too few groups for a 90 % quantile is left out (`all` serves it), and so is a size
        above 1 of too few.
        """
        table: dict[int, dict[str, dict[int, list[S]]]] = {}
        for number, (size, unit, _) in enumerate(self.bags):
            for stratum in (self.strata[number], ALL):
                rows = table.setdefault(size, {}).setdefault(stratum, {})
                rows.setdefault(unit, []).append(score(number))
        return {
            str(size): {
                stratum: summary(list(rows.values()))
                for stratum, rows in sorted(strata.items())
                if stratum == ALL or len(rows) >= LEAST_GROUPS
            }
            for size, strata in sorted(table.items())
            if size == 1 or len(strata[ALL]) >= LEAST_GROUPS
        }


def _set_threshold(coverage: float) -> Callable[[list[list[float]]], float]:
    """One less the conformal quantile over groups; the median over draws, so that no single one decides."""

    def threshold(scores: list[list[float]]) -> float:
        draws = max(len(drawn) for drawn in scores)
        quantiles = [
            conformal_quantile(np.array([drawn[draw % len(drawn)] for drawn in scores]), coverage)
            for draw in range(draws)
        ]
        return float(max(0.0, 1 - np.median(quantiles)))

    return threshold


def _speaking_level(groups: list[list[tuple[float, bool]]], least_accuracy: float) -> float:
    """The level over the groups' draws of (top probability, right)."""
    for level in np.linspace(0.3, 0.95, 14):
        spoken = [[right for confidence, right in drawn if confidence >= level] for drawn in groups]
        shares = [float(np.mean(rights)) for rights in spoken if rights]
        if len(shares) < LEAST_GROUPS:
            break
        if np.mean(shares) >= least_accuracy:
            return float(round(level, 2))
    return NEVER
