"""How much a test would tell: expected information over a differential, and the posterior after results.

Shares are P(result | diagnosis), float64 (n,) over the n candidates; a candidate without a figure is NaN and
then neither gains nor loses by the test. Within a group of markers that tell much the same, each further one
is drawn towards the mean of the candidates, so that a second witness of the same event counts less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]

LEAST, MOST = 0.03, 0.97
"""No test is taken for surer than this, whatever was counted."""
GROUP_CAP = 4.0
"""Largest log likelihood ratio that one group of markers may bring about."""
SECOND_WITNESS = 0.5
"""What is left of a marker's contrast for each of its group that is already in the panel or known."""


def entropy(probabilities: Shares) -> float:
    """Bits, over the last axis summed; zeros count nothing."""
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log2(positive)).sum())


def completed(shares: Shares, belief: Shares, seen_before: int = 0) -> Shares:
    """Shares with NaN set to the candidates' mean, drawn together by group, and clipped."""
    known = ~np.isnan(shares)
    weight = belief[known].sum()
    mean = float((belief[known] * shares[known]).sum() / weight) if weight > 0 else float(shares[known].mean())
    full = np.where(known, shares, mean)
    drawn: Shares = mean + SECOND_WITNESS**seen_before * (full - mean)
    return np.clip(drawn, LEAST, MOST)


def updated(belief: Shares, results: Sequence[tuple[Shares, bool, str]]) -> Shares:
    """Belief (n,) after results, each `(completed shares, result seen, group)`; per group capped."""
    groups: dict[str, Shares] = {}
    for shares, seen, group in results:
        log = np.log(shares if seen else 1.0 - shares)
        groups[group] = groups.get(group, np.zeros_like(belief)) + log
    log_belief = np.log(np.maximum(belief, 1e-12))
    for log in groups.values():
        log_belief = log_belief + np.maximum(log - log.max(), -GROUP_CAP)
    odds = np.exp(log_belief - log_belief.max())
    after: Shares = odds / odds.sum()
    return after


@dataclass(frozen=True)
class Panel:
    """A set of tests over a belief: `joint` (2^k, n) is P(outcome of the k tests, diagnosis)."""

    joint: Shares

    @classmethod
    def empty(cls, belief: Shares) -> Panel:
        """No test yet."""
        return cls(belief[None, :].copy())

    def add(self, shares: Shares) -> Panel:
        """The panel with one more test, independent of the others given the diagnosis."""
        return Panel(np.concatenate([self.joint * shares, self.joint * (1.0 - shares)]))

    @property
    def information(self) -> float:
        """Expected bits that the panel's results tell about the diagnosis; never negative."""
        before = entropy(self.joint.sum(axis=0))
        outcomes = self.joint.sum(axis=1)
        after = entropy(self.joint) - entropy(outcomes)
        return max(before - after, 0.0)

    @property
    def expected_certainty(self) -> float:
        """Expected probability of the leading diagnosis after the panel."""
        return float(self.joint.max(axis=1).sum())

    def undecided(self, certainty: float) -> Panel | None:
        """The panel given that its results leave every diagnosis below `certainty`; None where that is rare."""
        outcomes = self.joint.sum(axis=1)
        open_ = self.joint.max(axis=1) < certainty * outcomes
        mass = float(outcomes[open_].sum())
        return Panel(self.joint[open_] / mass) if mass >= 0.01 else None

    def chance_of_change(self, leader: int) -> float:
        """Probability that after the panel another diagnosis than `leader` leads."""
        changed = self.joint.argmax(axis=1) != leader
        return float(self.joint[changed].sum())
