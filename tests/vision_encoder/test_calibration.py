"""Laws of calibration: sets that cover, temperatures that keep the order, p-values that are fair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vision_encoder.calibration import (
    bag_scale,
    conformal_p_value,
    conformal_quantile,
    expected_calibration_error,
    fit_bag_scale,
    prediction_set,
    softmax,
)


def drawn(seed: int, n: int, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, k) and the classes (n,) drawn from them: calibrated by construction."""
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(0, 1.5, (n, k)))
    labels = np.array([rng.choice(k, p=row) for row in probabilities])
    return probabilities, labels


@given(
    arrays(np.float64, (6,), elements=st.floats(-50, 50)),
    st.integers(1, 64),
    st.floats(0.002, 50),
    st.floats(0, 0.5),
)
def test_temperature_and_bag_size_never_change_the_most_probable(logits, n, temperature, growth) -> None:
    scaled = softmax(logits * bag_scale(n, temperature, growth))
    assert scaled[logits.argmax()] == scaled.max()
    assert scaled.sum() == pytest.approx(1)


def test_the_fitted_temperature_is_the_one_that_was_applied() -> None:
    probabilities, labels = drawn(1, 6000)
    sizes = np.ones(len(labels), dtype=np.int64)
    temperature, _ = fit_bag_scale(np.log(probabilities) * 3, labels, sizes, np.ones(len(labels)))
    assert temperature == pytest.approx(3, rel=0.1)


def test_sets_equal_those_of_mapie() -> None:
    classification = pytest.importorskip("mapie.classification")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Known(ClassifierMixin, BaseEstimator):
        """Takes probabilities as features and returns them."""

        classes_ = np.arange(5)

        def fit(self, x, y):  # type: ignore[no-untyped-def]
            return self

        def predict_proba(self, x):  # type: ignore[no-untyped-def]
            return x

        def predict(self, x):  # type: ignore[no-untyped-def]
            return x.argmax(axis=1)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    known, labels = drawn(2, 187)
    new, _ = drawn(3, 60)
    oracle = classification.SplitConformalClassifier(Known(), confidence_level=0.9, conformity_score="lac", prefit=True)
    oracle.conformalize(known, labels)
    _, expected = oracle.predict_set(new)
    quantile = conformal_quantile(1 - known[np.arange(len(labels)), labels], 0.9)
    for row, wanted in zip(new, expected[:, :, 0], strict=True):
        # Ours adds the most probable class where the set would be empty.
        assert set(prediction_set(row, 1 - quantile)) == (set(np.flatnonzero(wanted)) or {int(row.argmax())})


@pytest.mark.parametrize("n", [9, 20, 57])
def test_sets_cover_as_often_as_they_say(n: int) -> None:
    hits = []
    for seed in range(300):
        known, labels = drawn(1000 + seed, n)
        new, truth = drawn(9000 + seed, 20)
        threshold = 1 - conformal_quantile(1 - known[np.arange(n), labels], 0.9)
        hits += [label in prediction_set(row, threshold) for row, label in zip(new, truth, strict=True)]
    assert np.mean(hits) >= 0.9 - 3 * np.sqrt(0.09 / 300)


def test_too_few_groups_give_every_class() -> None:
    assert conformal_quantile(np.zeros(8), 0.9) == float("inf")
    assert conformal_quantile(np.arange(9.0), 0.9) == 8
    assert prediction_set(np.array([0.7, 0.2, 0.1]), 0.0) == (0, 1, 2)


def test_a_set_is_never_empty_and_runs_from_the_most_probable() -> None:
    assert prediction_set(np.array([0.2, 0.5, 0.3]), 0.9) == (1,)
    assert prediction_set(np.array([0.2, 0.5, 0.3]), 0.25) == (1, 2)


def test_p_values_of_ordinary_scores_are_small_no_more_often_than_they_say() -> None:
    rng = np.random.default_rng(4)
    small = [conformal_p_value(float(rng.normal()), rng.normal(size=60)) <= 0.05 for _ in range(4000)]
    assert np.mean(small) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
    assert conformal_p_value(99.0, rng.normal(size=60)) == pytest.approx(1 / 61)


def test_calibration_error_is_nought_for_the_calibrated_and_large_for_the_boastful() -> None:
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.5, 1, 20000)
    correct = rng.random(20000) < confidence
    assert expected_calibration_error(confidence, correct) < 0.02
    assert expected_calibration_error(np.full(1000, 0.99), rng.random(1000) < 0.5) > 0.4
