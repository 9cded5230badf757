"""The audit of released cases: an anytime-valid test of the certified bound, by betting against it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..store.store import Review

SHARE = 0.15
"""Share of the cases below the threshold that are sampled back for review."""
LEVEL = 0.05
LIMIT = 1.0 / LEVEL
"""Wealth at which the bound counts as refuted: under a bound that holds it is ever reached with chance ≤ `LEVEL`."""
_BETS = 20
_MOST = 600.0
"""Logarithm of a wealth beyond all doubt; what is more would not fit a double."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the reviews say so far; `wealth` is the highest that was ever reached."""

    reviews: int
    positives: int
    misses: int
    wealth: float

    @property
    def refuted(self) -> bool:
        """True when the certified bound is refuted for good."""
        return self.wealth >= LIMIT

    @property
    def words(self) -> str:
        """One sentence."""
        state = "refute" if self.refuted else "do not refute"
        return (
            f"{self.reviews} reviews with {self.positives} positive cases, {self.misses} of them below the threshold, "
            f"{state} the certified bound (evidence {self.wealth:.3g}, refuted at {LIMIT:.0f})"
        )


def sampled(certificate: str, case: str, share: float = SHARE) -> bool:
    """Whether a case below the threshold is drawn for review: by hash, so that asking twice draws once."""
    digest = hashlib.sha256(f"{certificate}/{case}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


def judge(reviews: Sequence[Review], sensitivity: float, share: float = SHARE) -> Verdict:
    """The evidence of the reviews, in the order in which they came, against `sensitivity`.

    A bettor stakes a fixed part of its wealth on "the next positive case is a miss"; its wealth is a non-negative
    supermartingale as long as the sensitivity holds, so reaching 20 has a chance of at most 5 % whenever one looks
    (Ville; Waudby-Smith and Ramdas 2024, JRSS B 86:1–27, whose mixture over bets this is). Two bettors share the
    stake. The first sees reviews that did not depend on the truth: every positive case above the threshold, and those
    drawn below it; as only `share` of the misses is drawn, it bets against the smaller share of misses among what it
    sees. The second sees all positive cases that come to light, also those found later without being drawn; its
    bound holds whatever part of the misses comes to light, as long as that does not depend on the order.
    """
    positives = [review for review in reviews if review.positive]
    missed = np.array([review.missed for review in positives], dtype=np.float64)
    unbiased = np.array([review.sampled for review in positives], dtype=bool)
    allowed = 1.0 - sensitivity
    wealths = [_wealth(missed, np.ones_like(unbiased), allowed)]
    if share > 0:
        thinned = share * allowed / (share * allowed + sensitivity)
        wealths.append(_wealth(missed, unbiased, thinned))
    highest = float(np.mean(wealths, axis=0).max())
    return Verdict(len(reviews), len(positives), int(missed.sum()), highest)


def _wealth(missed: NDArray[np.float64], seen: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    """Wealth (n + 1,) before the first and after each review, of one stake spread over 20 bets.

    `rate` is the highest share of misses under the bound; a review that is not `seen` changes nothing.
    """
    bets = np.linspace(0.0, 0.45 / rate, _BETS + 2)[1:-1]
    steps = np.log1p(bets * (missed[:, None] - rate)) * seen[:, None]
    logs = np.vstack([np.zeros(_BETS), np.cumsum(steps, axis=0)])
    wealth: NDArray[np.float64] = np.exp(np.minimum(logs, _MOST)).mean(axis=1)
    return wealth
