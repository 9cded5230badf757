"""Laws of the probes and their intervals, on features whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from vision_encoder.benchmark.intervals import (
    area_under_curve,
    balanced_accuracy,
    error_removed,
    estimate,
    resample_groups,
)
from vision_encoder.benchmark.labelled_sets import folded_task, main_tasks, tasks_of
from vision_encoder.benchmark.probes import PROBES, mean_over_sets, nearest_neighbours, probe_sets, rotated, unit_rows

from .benchmark_tiles import labelled, made_tiles, perfect

sklearn = pytest.importorskip("sklearn")


@pytest.mark.parametrize("probe", list(PROBES))
def test_perfect_features_reach_one(probe: str) -> None:
    tiles = labelled()
    samples = probe_sets(perfect(tiles), tiles, probes=(probe,))[probe]["made"]
    assert samples[0] == 1
    assert estimate(samples).low == 1


@pytest.mark.parametrize("probe", list(PROBES))
def test_features_that_know_nothing_stay_at_chance(probe: str) -> None:
    tiles = labelled(classes=2, groups=60)
    features = np.random.default_rng(0).normal(size=(len(tiles), 12)).astype(np.float32)
    value = probe_sets(features, tiles, probes=(probe,))[probe]["made"][0]
    assert 0.35 < value < 0.65


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(1)
    train, test = (rng.normal(size=(n, 9)).astype(np.float32) for n in (200, 80))
    labels = rng.integers(0, 4, 200)
    oracle = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda distances: np.exp((1 - distances) / 0.07)
    ).fit(train.astype(np.float64), labels)
    assert np.array_equal(nearest_neighbours(train, labels, test), oracle.predict(test.astype(np.float64)))


def test_the_rotation_keeps_every_inner_product_of_a_training_row() -> None:
    rng = np.random.default_rng(2)
    train, test = (rng.normal(size=(n, 300)).astype(np.float32) for n in (40, 15))
    known, asked = rotated(train, test)
    assert known.shape[1] <= 40
    scale = (train.std(axis=0) * 1.0 + 1e-3 * train.std(axis=0).mean()) * np.sqrt(300)
    plain = [(part - train.mean(axis=0)) / scale for part in (train, test)]
    np.testing.assert_allclose(asked @ known.T, plain[1] @ plain[0].T, atol=1e-5)


def test_the_order_of_the_tiles_changes_no_figure() -> None:
    tiles = labelled(classes=2, groups=12)
    features = perfect(tiles) + np.random.default_rng(3).normal(0, 0.6, (len(tiles), 12)).astype(np.float32)
    order = np.random.default_rng(4).permutation(len(tiles))
    for probe in ("knn20", "linear"):
        first = probe_sets(features, tiles, probes=(probe,))[probe]["made"]
        second = probe_sets(features[order], tiles.where(order), probes=(probe,))[probe]["made"]
        # folds that choose the penalty are drawn by position: the figure may move by a tile
        np.testing.assert_allclose(first[0], second[0], atol=0.0 if probe == "knn20" else 0.05)


def test_a_tile_given_twice_in_testing_changes_no_nearest_neighbour() -> None:
    rng = np.random.default_rng(5)
    train, test = (rng.normal(size=(n, 6)).astype(np.float32) for n in (50, 10))
    labels = rng.integers(0, 2, 50)
    once, twice = nearest_neighbours(train, labels, test), nearest_neighbours(train, labels, np.repeat(test, 2, axis=0))
    assert np.array_equal(np.repeat(once, 2), twice)


def test_an_encoder_against_itself_differs_by_exactly_nothing() -> None:
    tiles = labelled(classes=2, groups=12)
    features = np.random.default_rng(6).normal(size=(len(tiles), 12)).astype(np.float32)
    one, two = (probe_sets(features, tiles)["linear"]["made"] for _ in range(2))
    assert np.array_equal(one - two, np.zeros_like(one))
    assert estimate(error_removed([one], [two])) == estimate(np.zeros_like(one))


def test_the_error_removed_is_all_for_perfect_features() -> None:
    tiles = labelled(classes=2, groups=12)
    noise = np.random.default_rng(7).normal(size=(len(tiles), 12)).astype(np.float32)
    ours, theirs = probe_sets(perfect(tiles), tiles)["linear"]["made"], probe_sets(noise, tiles)["linear"]["made"]
    assert error_removed([ours], [theirs])[0] == 1
    assert error_removed([theirs], [ours])[0] <= 0 or not np.isfinite(error_removed([theirs], [ours])[0])


def test_rows_of_a_group_are_drawn_together() -> None:
    groups = np.array(["a", "b", "a", "c", "b", "a"], dtype=object)
    resamples = resample_groups(groups)
    drawn = resamples.counts[:, resamples.of_row]
    assert np.array_equal(drawn[:, 0], drawn[:, 2])
    assert np.array_equal(drawn[:, 1], drawn[:, 4])
    assert (resamples.counts.sum(axis=1) == 3).all()
    assert (resamples.counts[0] == 1).all()


def test_one_group_has_no_spread_and_many_small_ones_less_than_few_large_ones() -> None:
    right = np.tile([1.0, 0.0], 30)
    labels = np.zeros(60, dtype=np.int64)
    few = np.array([f"g{row % 4}" for row in range(60)], dtype=object)
    many = np.array([f"g{row}" for row in range(60)], dtype=object)
    widths = []
    for groups in (few, many):
        found = estimate(balanced_accuracy(right, labels, resample_groups(groups)))
        widths.append(found.high - found.low)
        assert found.value == 0.5
    assert widths[1] < widths[0]
    alone = balanced_accuracy(right, labels, resample_groups(np.full(60, "g", dtype=object)))
    assert (alone == 0.5).all()


def test_balanced_accuracy_and_area_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    rng = np.random.default_rng(8)
    labels, named = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    resamples = resample_groups(np.array([f"g{row // 3}" for row in range(90)], dtype=object))
    right = (labels == named).astype(float)
    assert balanced_accuracy(right, labels, resamples)[0] == pytest.approx(balanced_accuracy_score(labels, named))
    truth, scores = labels == 1, rng.integers(0, 6, 90).astype(float)
    areas = area_under_curve(scores[None], truth, resamples)
    assert areas[0] == pytest.approx(roc_auc_score(truth, scores))
    weights = resamples.counts[5, resamples.of_row]
    assert areas[5] == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))


def test_every_set_counts_once_and_a_second_task_only_where_it_says_something_else() -> None:
    one, two = labelled(classes=4, source="four"), labelled(classes=2, source="two")
    rows = [
        {name: getattr(tiles, name)[i] for name in ("id", "source", "tissue", "group", "split")}
        | {"category": "malignant" if tiles.tissue[i] in ("class 0", "class 3") else "normal"}
        for tiles in (one, two)
        for i in range(len(tiles))
    ]
    tiles = made_tiles(rows)
    tasks = tasks_of(tiles)
    assert [task.name for task in tasks] == ["four", "four: malignant", "two"]
    assert [task.name for task in main_tasks(tasks)] == ["four", "two"]
    found = probe_sets(perfect(tiles), tiles, tasks, ("linear",))["linear"]
    np.testing.assert_allclose(mean_over_sets(found, tasks), (found["four"] + found["two"]) / 2)


def test_no_group_is_learned_from_and_tested() -> None:
    tiles = labelled(classes=3, groups=9)
    folded = folded_task(tiles, np.arange(len(tiles)), tiles.tissue, "made")
    assert folded is not None
    for task in [*tasks_of(tiles), folded]:
        for split in task.splits:
            assert not set(task.groups[split.train]) & set(task.groups[split.test])
    assert len(folded.tested) == len(tiles)


def test_a_set_of_one_class_or_of_few_tiles_makes_no_task() -> None:
    assert tasks_of(labelled(classes=1)) == []
    assert tasks_of(labelled(classes=2, groups=3, tiles=1)) == []


def test_rows_of_zeros_have_no_direction() -> None:
    assert np.isfinite(unit_rows(np.zeros((2, 3), dtype=np.float32))).all()
