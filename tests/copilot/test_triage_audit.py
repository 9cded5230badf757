"""The audit of releases: anytime-valid, quick where the bound is broken, and entered once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from copilot.store.store import Review
from copilot.triage.audit import LEVEL, LIMIT, SHARE, judge, sampled

RUNS, LONG = 2000, 400


def stream(rng: np.random.Generator, miss_rate: float, positives: int, *, found_later: float = 0.0) -> list[Review]:
    """Reviews as a laboratory sees them: every positive above the threshold, a drawn share of those below it."""
    reviews = []
    for number in range(positives):
        missed = bool(rng.random() < miss_rate)
        drawn = bool(rng.random() < SHARE)
        if not missed or drawn or rng.random() < found_later:
            reviews.append(Review(f"case-{number}", True, missed, sampled=drawn or not missed))
    return reviews


@pytest.mark.parametrize("found_later", [0.0, 1.0])
@pytest.mark.parametrize("sensitivity", [0.95, 0.99])
def test_a_bound_that_holds_is_ever_refuted_in_at_most_one_run_in_twenty(
    sensitivity: float, found_later: float
) -> None:
    rng = np.random.default_rng(3)
    alarms = sum(
        judge(stream(rng, 1 - sensitivity, LONG, found_later=found_later), sensitivity).refuted for _ in range(RUNS)
    )
    assert float(beta.ppf(0.025, alarms, RUNS - alarms + 1)) <= LEVEL, f"{alarms} of {RUNS}"


def test_a_broken_bound_is_refuted_and_the_sooner_the_worse_it_is() -> None:
    rng = np.random.default_rng(4)
    refuted = {
        rate: np.mean([judge(stream(rng, rate, 600), 0.95).refuted for _ in range(100)]) for rate in (0.15, 0.3, 0.5)
    }
    assert refuted[0.15] < refuted[0.3] <= refuted[0.5]
    assert refuted[0.3] >= 0.9


def test_what_is_found_later_counts() -> None:
    hits = [Review(f"hit-{number}", True, False, sampled=True) for number in range(20)]
    late = [Review(f"late-{number}", True, True, sampled=False) for number in range(12)]
    assert not judge(hits, 0.95).refuted
    assert judge([*hits, *late], 0.95).refuted


def test_negative_cases_say_nothing_and_a_refuted_bound_stays_refuted() -> None:
    misses = [Review(f"miss-{number}", True, True, sampled=True) for number in range(4)]
    negatives = [Review(f"negative-{number}", False, False, sampled=True) for number in range(500)]
    hits = [Review(f"hit-{number}", True, False, sampled=True) for number in range(500)]
    assert judge(negatives, 0.95).wealth == 1.0
    refuted = judge(misses, 0.95)
    assert refuted.refuted
    assert judge([*misses, *hits], 0.95).wealth >= LIMIT
    assert judge([*misses, *negatives], 0.95).wealth == refuted.wealth


def test_the_draw_is_steady_and_of_the_stated_share() -> None:
    names = [f"case-{number:05d}" for number in range(4000)]
    drawn = [sampled("c" * 64, name) for name in names]
    assert drawn == [sampled("c" * 64, name) for name in names]
    assert 0.13 < np.mean(drawn) < 0.17
    other = np.mean([sampled("d" * 64, name) for name, was in zip(names, drawn, strict=True) if was])
    assert 0.08 < other < 0.22, "another certificate draws others"
    assert not any(sampled("c" * 64, name, 0.0) for name in names)
