"""The certificate: exact, monotone, recomputed when read; its false-certification rate is what it promises."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

from copilot.triage.certificate import Certificate, read_certificate, write_certificate
from copilot.triage.exact import positives_needed
from copilot.triage.threshold import learn_then_test, sequence, share_interval
from slides import UsageError

from .stand_ins import certificate

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
SCORES = st.lists(st.one_of(st.none(), st.floats(0.0, 1.0)), min_size=29, max_size=160).filter(any)
DRAWS = 4000


def test_the_sequence_rises_from_release_none_and_depends_on_no_case() -> None:
    steps = sequence()
    assert steps[0] == 0.0
    assert steps[-1] == 1.0
    assert np.all(np.diff(steps) > 0)


@STEADY
@given(SCORES, st.sampled_from([0.8, 0.9]), st.sampled_from([0.9, 0.95]))
def test_each_step_up_to_the_threshold_is_rejected_and_the_next_is_not(
    scores: list[float | None], sensitivity: float, confidence: float
) -> None:
    steps, tried = sequence(), [score for score in scores if score is not None]
    found = learn_then_test(scores, sensitivity, confidence)

    def p_value(threshold: float) -> float:
        return float(binom.cdf(sum(score < threshold for score in tried), len(scores), 1 - sensitivity))

    at = int(np.searchsorted(steps, found.value))
    assert steps[at] == found.value
    assert found.p_value == pytest.approx(p_value(found.value), abs=1e-9)
    assert p_value(found.value) <= 1 - confidence + 1e-9
    assert found.value <= max(tried)
    assert at == len(steps) - 1 or steps[at + 1] > max(tried) or p_value(float(steps[at + 1])) > 1 - confidence
    assert found.misses == sum(score < found.value for score in tried)
    kept = len(scores) - found.misses
    exact = float(beta.ppf(1 - confidence, kept, found.misses + 1)) if kept else 0.0
    assert found.bound == pytest.approx(exact, abs=1e-9)
    assert found.bound >= sensitivity - 1e-9


@STEADY
@given(SCORES, st.data())
def test_it_releases_less_for_more_and_where_positives_score_lower(
    scores: list[float | None], data: st.DataObject
) -> None:
    base = learn_then_test(scores, 0.8, 0.9).value
    assert learn_then_test(scores, 0.9, 0.9).value <= base
    assert learn_then_test(scores, 0.8, 0.95).value <= base
    place = data.draw(st.integers(0, len(scores) - 1))
    if (score := scores[place]) is not None:
        lower = [*scores[:place], score * data.draw(st.floats(0, 1)), *scores[place + 1 :]]
        assert learn_then_test(lower, 0.8, 0.9).value <= base
    held = [*scores[:place], None, *scores[place + 1 :]]
    if any(held):
        highest = max(score for score in held if score is not None)
        assert learn_then_test(held, 0.8, 0.9).value >= min(base, learn_then_test([highest] * 40, 0.8, 0.9).value)


def test_nothing_is_certified_beyond_the_scores_that_were_tried() -> None:
    found = learn_then_test([*[None] * 60, 0.3, 0.2], 0.9)
    assert 0.29 < found.value <= 0.3
    assert found.misses == 1
    with pytest.raises(UsageError, match="none of the 40 positive patients"):
        learn_then_test([None] * 40, 0.9)


@pytest.mark.parametrize(("count", "lacking"), [(0, 299), (1, 298), (298, 1)])
def test_too_few_positives_are_refused_with_the_number_that_lacks(count: int, lacking: int) -> None:
    with pytest.raises(UsageError, match=rf"at least 299 are needed, {lacking} more"):
        learn_then_test([0.9] * count, 0.99, 0.95)
    assert learn_then_test([0.9] * 299, 0.99, 0.95).value < 0.9 + 1e-6


def test_a_score_that_is_no_probability_is_refused() -> None:
    with pytest.raises(UsageError, match="outside 0 to 1"):
        learn_then_test([3.2] * 40, 0.9)


@pytest.mark.parametrize(
    ("positives", "sensitivity", "distance"), [(59, 0.95, 2.5), (150, 0.95, 2.5), (93, 0.95, 1.0), (299, 0.99, 2.5)]
)
def test_a_threshold_that_misses_too_much_is_certified_in_at_most_one_draw_in_twenty(
    positives: int, sensitivity: float, distance: float
) -> None:
    """Scores of positive cases from a normal curve in log-odds, so that the true miss rate of a threshold is known."""
    rng, false = np.random.default_rng(20), 0
    for _ in range(DRAWS):
        odds = rng.normal(distance, 1.0, positives)
        found = learn_then_test(list(1 / (1 + np.exp(-odds))), sensitivity, 0.95).value
        missed = norm.cdf(np.log(found / (1 - found)) - distance) if 0 < found < 1 else found
        false += missed > 1 - sensitivity
    low = float(beta.ppf(0.025, false, DRAWS - false + 1)) if false else 0.0
    assert low <= 0.05, f"{false} of {DRAWS} draws"
    assert false > 0, "the bound is met from below, not by certifying nothing"


@pytest.mark.parametrize("seed", range(6))
def test_mapies_controller_finds_the_same_thresholds(seed: int) -> None:
    """MAPIE's p-value of a binary loss is ours but where its n·risk, a float rounded up, counts one miss too many."""
    from mapie.risk_control import BinaryClassificationController

    rng = np.random.default_rng(seed)
    count, sensitivity = 130, 0.9
    scores = rng.beta(4, 2, count).round(4)
    grid = sequence()[::5]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        controller = BinaryClassificationController(
            lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]),
            "recall",
            target_level=sensitivity,
            confidence_level=0.95,
            list_predict_params=grid,
            fwer_method="fixed_sequence",
        )
        controller.calibrate(scores.reshape(-1, 1), np.ones(count, int))
    ours = learn_then_test(list(scores), sensitivity, 0.95).value
    misses = [int((scores < step).sum()) for step in grid]
    exact = np.array([binom.cdf(missed, count, 1 - sensitivity) for missed in misses])
    above = np.array([binom.cdf(missed + 1, count, 1 - sensitivity) for missed in misses])
    theirs = np.asarray(controller.p_values).ravel()
    same = np.isclose(theirs, exact, atol=1e-9)
    assert same.mean() > 0.5
    assert np.all((exact - 1e-9 <= theirs) & (theirs <= above + 1e-9))
    assert grid[exact <= 0.05].max() <= ours < grid[exact > 0.05].min()
    assert set(controller.valid_predict_params) == set(grid[np.cumprod(theirs <= 0.05).astype(bool)])
    assert max(controller.valid_predict_params) <= ours


@STEADY
@given(st.integers(0, 80), st.data())
def test_the_interval_of_a_share_is_clopper_pearson(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    low, high = share_interval(hits, of)
    if of == 0:
        assert (low, high) == (0.0, 1.0)
        return
    assert low == pytest.approx(float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0, abs=1e-9)
    assert high == pytest.approx(float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0, abs=1e-9)


def made() -> Certificate:
    positives = [*np.linspace(0.4, 0.95, 58).tolist(), None, None]
    return certificate(positives, [*np.linspace(0.01, 0.6, 40).tolist(), None])


def test_a_certificate_says_what_it_rests_on() -> None:
    told = made().as_json()
    assert told["n_positives"] == 60
    assert told["positives_never_released"] == 2
    assert told["misses"] == 1  # the most that 60 positives bear at 0.9 and 95 %: 46 bear one, 61 two
    assert positives_needed(0.9, 0.95, 1) <= 60 < positives_needed(0.9, 0.95, 2)
    assert told["released"]["n"] == 41
    assert 0 < told["released"]["share"] < 1
    low, high = told["released"]["interval_95"]
    assert low < told["released"]["share"] < high
    assert told["scorer"]["hashes"]["encoder"] == "e" * 64
    assert told["data"] == {"name": "labels.csv", "sha256": "b" * 64, "slides": 101, "patients": 101}
    assert told["made"] == "2026-11-24"
    assert told["statement"] == (
        f"below threshold λ = {told['lambda']:.4g} (sensitivity ≥ 0.9, 95 % confidence, n = 60)"
    )
    assert "no malignancy" not in json.dumps(told).lower()


def test_a_certificate_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = made()
    write_certificate(written, tmp_path / "c.json")
    read = read_certificate(tmp_path / "c.json")
    assert read.fault is None
    assert read.as_json() == written.as_json()
    assert read.threshold == written.threshold


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lambda", 0.9),
        ("n_positives", 400),
        ("misses", 0),
        ("sensitivity", 0.8),
        ("confidence", 0.8),
        ("statement", "no malignancy"),
        ("made", "2027-01-01"),
        ("sensitivity_bound", 0.99),
        ("audit_share", 0.0),
    ],
)
def test_an_altered_certificate_is_found_out_even_with_a_hash_of_its_own(
    tmp_path: Path, field: str, value: object
) -> None:
    import hashlib

    record = made().as_json() | {field: value}
    (tmp_path / "plain.json").write_text(json.dumps(record))
    assert "altered" in (read_certificate(tmp_path / "plain.json").fault or "")
    if field in ("sensitivity", "confidence", "made", "audit_share"):
        return  # another statement that follows from the same scores: only the hash, and the log, tell
    body = {name: told for name, told in record.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(body, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    (tmp_path / "sealed.json").write_text(json.dumps(body | {"sha256": digest}))
    assert "altered" in (read_certificate(tmp_path / "sealed.json").fault or "")


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"kind": "pathcopilot triage certificate", "version": 1}', "\x00"]
)
def test_what_is_no_certificate_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="no certificate"):
        read_certificate(path)
    with pytest.raises(UsageError, match="cannot read"):
        read_certificate(tmp_path / "nowhere.json")
