"""The threshold below which a case may be released: learn-then-test with exact binomial p-values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slides import UsageError

from .exact import chance_of_at_most, positives_needed, sensitivity_lower_bound

_STEPS = 2001
_SPAN = 10.0


@lru_cache(maxsize=1)
def sequence() -> NDArray[np.float64]:
    """The thresholds in the order in which they are tested: from 0, which releases nobody, up to 1.

    They are fixed before any case is scored (even steps of 0.01 in log-odds from −10 to 10, to six digits), as the
    fixed sequence needs.
    """
    odds = np.linspace(-_SPAN, _SPAN, _STEPS)
    inner = np.unique(np.round(1.0 / (1.0 + np.exp(-odds)), 6))
    return np.concatenate([[0.0], inner, [1.0]])


@dataclass(frozen=True, slots=True)
class Threshold:
    """A case is released when its score is below `value`.

    `positives` cases were tried, `misses` of them lie below it; `p_value` is that of the last hypothesis that was
    rejected, `bound` the exact lower bound of sensitivity at this count.
    """

    value: float
    positives: int
    misses: int
    p_value: float
    bound: float


def learn_then_test(scores: Sequence[float | None], sensitivity: float, confidence: float = 0.95) -> Threshold:
    """The highest threshold that is certified to keep the sensitivity.

    Each hypothesis "at this threshold more than 1 − sensitivity of positive cases are missed" is tested with the
    exact p-value P(Bin(n, 1 − sensitivity) ≤ misses), in a fixed sequence upwards, until one is not rejected; so the
    chance of certifying a threshold that misses more is at most 1 − confidence, whatever the scores' distribution
    (Angelopoulos, Bates, Candès, Jordan, Lei: Learn then Test, arXiv 2110.01052). The positive cases must be a random
    sample of those that the statement is about.

    Parameters
    ----------
    scores : of the positive cases, one each, in [0, 1]; None for a case that the procedure never releases
    sensitivity, confidence : in (0, 1)

    The threshold never exceeds the highest score that was tried: beyond it nothing is known of positive cases. Raises
    `UsageError` when there are too few positive cases even without a miss (the message says how many lack), or when
    none of them has a score.
    """
    needed = positives_needed(sensitivity, confidence)
    count = len(scores)
    if count < needed:
        raise UsageError(
            f"{count} positive patients are too few to certify sensitivity {sensitivity:g} at {100 * confidence:g} % "
            f"confidence: at least {needed} are needed, {needed - count} more"
        )
    tried = np.sort(np.array([score for score in scores if score is not None], dtype=np.float64))
    if not tried.size:
        raise UsageError(
            f"none of the {count} positive patients can be released by its score (slides unreadable or uncertain): "
            "there is nothing to set a threshold on"
        )
    if not (tried[0] >= 0.0 and tried[-1] <= 1.0):
        raise UsageError("a score lies outside 0 to 1: triage needs probabilities")
    most = _most_misses(count, sensitivity, confidence)
    candidates = sequence()
    missed = np.searchsorted(tried, candidates, side="left")  # a case is released strictly below the threshold
    # misses only rise along the sequence, and p-values with them: the first that is not rejected ends it
    last = int(np.searchsorted(missed, most, side="right")) - 1
    last = min(last, int(np.searchsorted(candidates, tried[-1], side="right")) - 1)
    misses = int(missed[last])
    p_value = chance_of_at_most(misses, count, 1.0 - sensitivity)
    bound = sensitivity_lower_bound(count, misses, confidence)
    return Threshold(float(candidates[last]), count, misses, p_value, bound)


@lru_cache(maxsize=64)
def _most_misses(count: int, sensitivity: float, confidence: float) -> int:
    """The most misses among `count` positives whose p-value still rejects; there is one, 0, or the caller refused."""
    misses = 0
    while chance_of_at_most(misses + 1, count, 1.0 - sensitivity) <= 1.0 - confidence + 1e-12:
        misses += 1
    return misses


def share_interval(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share (Clopper and Pearson 1934); (0, 1) of nothing."""
    if of == 0:
        return 0.0, 1.0
    tail = 0.5 + confidence / 2.0
    low = sensitivity_lower_bound(of, of - hits, tail)
    high = 1.0 - sensitivity_lower_bound(of, hits, tail)
    return low, high
