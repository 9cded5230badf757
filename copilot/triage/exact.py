"""How many positive cases a guarantee of sensitivity needs, and what a count of misses proves (exact, Clopper–Pearson).

Positive cases must be a random sample of those that the guarantee is for; negatives say nothing about sensitivity.
"""

from __future__ import annotations

import math

from slides import UsageError


def chance_of_at_most(misses: int, positives: int, miss_rate: float) -> float:
    """P(at most `misses` misses among `positives`) when each is missed with probability `miss_rate` in [0, 1]."""
    if misses >= positives or miss_rate <= 0.0:
        return 1.0
    if miss_rate >= 1.0:
        return 0.0
    hit, miss = math.log1p(-miss_rate), math.log(miss_rate)
    ways = (
        math.lgamma(positives + 1)
        - math.lgamma(k + 1)
        - math.lgamma(positives - k + 1)
        + k * miss
        + (positives - k) * hit
        for k in range(misses + 1)
    )
    return min(math.fsum(math.exp(log) for log in ways), 1.0)


def sensitivity_lower_bound(positives: int, misses: int, confidence: float = 0.95) -> float:
    """Exact one-sided lower bound of sensitivity in [0, 1] after `misses` among `positives` cases.

    Clopper and Pearson, Biometrika 1934;26:404-413. For a two-sided interval at 95 % ask for 0.975.
    Raises `UsageError` for counts or a confidence that make no sense.
    """
    _check(confidence, "confidence")
    if positives < 1 or not 0 <= misses <= positives:
        raise UsageError(f"{misses} misses of {positives} positive cases is no count: give 0 to n misses of n cases")
    if misses == positives:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):  # so few misses grow likelier with sensitivity; 60 halvings reach the last digit of a double
        middle = (low + high) / 2.0
        if chance_of_at_most(misses, positives, 1.0 - middle) <= 1.0 - confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def positives_needed(sensitivity: float, confidence: float = 0.95, misses: int = 0) -> int:
    """Fewest positive cases, `misses` of them missed, that prove at least this sensitivity.

    29 for 0.90 at 95 % (one-sided) without a miss. Raises `UsageError` unless both are between 0 and 1.
    """
    _check(sensitivity, "sensitivity")
    _check(confidence, "confidence")
    if misses < 0:
        raise UsageError("misses cannot be below 0")
    low, high = misses, max(2 * misses, 8)
    while not _proves(high, misses, sensitivity, confidence):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _proves(middle, misses, sensitivity, confidence) else (middle, high)
    return high


def _proves(positives: int, misses: int, sensitivity: float, confidence: float) -> bool:
    return chance_of_at_most(misses, positives, 1.0 - sensitivity) <= 1.0 - confidence + 1e-12


def _check(value: float, name: str) -> None:
    if not 0.0 < value < 1.0:
        raise UsageError(f"{name} is a number between 0 and 1, for instance 0.95")
