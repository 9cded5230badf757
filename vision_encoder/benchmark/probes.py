"""What frozen features tell: nearest neighbours, a linear probe, and a few tiles a class.

Every probe treats every encoder alike and learns from the training rows only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference_tiles import ReferenceTiles
from .intervals import Samples, balanced_accuracy, mean_of, resample_groups
from .labelled_sets import Positions, Split, Task, grouped_folds, main_tasks, tasks_of

NEIGHBOURS = 20
TEMPERATURE = 0.07
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Inverse strengths of the ridge, for rows whose expected squared length is 1."""
INNER_FOLDS = 3
SHOTS = (1, 5, 10)
DRAWS = 100

Matrix = NDArray[np.float64]
Right = NDArray[np.float64]


def nearest_neighbours(
    train: NDArray[np.float32], labels: Positions, test: NDArray[np.float32], k: int = NEIGHBOURS
) -> Positions:
    """Class (t,) by vote of the k nearest training rows in cosine, each weighing exp(cosine / 0.07).

    Wu et al., "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018.
    """
    cosines = unit_rows(test) @ unit_rows(train).T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(cosines, nearest, axis=1)
    weights = np.exp((near - near[:, :1]) / TEMPERATURE)
    votes = np.zeros((len(test), int(labels.max()) + 1))
    for column in range(nearest.shape[1]):
        votes[np.arange(len(test)), labels[nearest[:, column]]] += weights[:, column]
    named: Positions = votes.argmax(axis=1)
    return named


def linear_probe(
    train: NDArray[np.float32],
    labels: Positions,
    groups: NDArray[np.object_],
    test: NDArray[np.float32],
    seed: int = 0,
) -> Positions:
    """Class (t,) by ridge logistic regression on standardised features, classes weighted alike.

    The penalty is the one of the least class-balanced log loss on grouped folds of the training rows.
    """
    known, asked = rotated(train, test)
    model = fit_logistic(known, labels, choose_penalty(known, labels, groups, seed))
    named: Positions = model.predict(asked)
    return named


def choose_penalty(rows: Matrix, labels: Positions, groups: NDArray[np.object_], seed: int) -> float:
    """The inverse ridge strength of the least balanced log loss on held-out groups; the stronger ridge on a tie."""
    losses = np.zeros(len(PENALTIES))
    for fitted, held_out in grouped_folds(labels, groups, INNER_FOLDS, seed):
        present = np.unique(labels[fitted])
        asked = held_out[np.isin(labels[held_out], present)]
        if len(present) < 2 or not len(asked):
            continue
        truth = np.searchsorted(present, labels[asked])
        weights = 1 / np.bincount(truth)[truth]
        for number, penalty in enumerate(PENALTIES):
            found = fit_logistic(rows[fitted], labels[fitted], penalty).predict_proba(rows[asked])
            likelihood = np.maximum(found[np.arange(len(truth)), truth], 1e-12)
            losses[number] -= (weights * np.log(likelihood)).sum() / weights.sum()
    return PENALTIES[int(losses.argmin())]


def fit_logistic(rows: Matrix, labels: Positions, penalty: float) -> Any:
    """A fitted logistic regression of scikit-learn, classes weighted alike."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged to the last digit
        return LogisticRegression(C=penalty, class_weight="balanced", tol=1e-3, max_iter=200).fit(rows, labels)


def standardised(train: NDArray[np.float32], *others: NDArray[np.float32]) -> tuple[Matrix, ...]:
    """Rows less the training rows' mean, over their deviation and the root of the dimension.

    So a row's expected squared length is 1, and one grid of penalties suits 30 features as well as 1280.
    """
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # A feature that hardly varies in training must not explode on a test row.
    scale = (deviation + 1e-3 * deviation.mean() + 1e-12) * np.sqrt(train.shape[1])
    return tuple(((part - mean) / scale).astype(np.float64) for part in (train, *others))


def rotated(train: NDArray[np.float32], *others: NDArray[np.float32]) -> tuple[Matrix, ...]:
    """Rows standardised by the training rows and turned into the space these span, at most n dimensions.

    A ridge regression is blind to a rotation and its slope lies in the span of its training rows, so nothing
    is lost; 1280 dimensions become as many as there are rows.
    """
    rows = standardised(train, *others)
    if len(train) >= train.shape[1]:
        return rows
    lengths, axes = np.linalg.eigh(rows[0] @ rows[0].T)
    kept = lengths > 1e-10 * lengths[-1]
    kept[-1] = True  # features that never vary keep one dimension, of zeros
    basis = rows[0].T @ (axes[:, kept] / np.sqrt(np.maximum(lengths[kept], 1e-30)))
    return tuple(part @ basis for part in rows)


def few_shots(
    train: NDArray[np.float32],
    labels: Positions,
    test: NDArray[np.float32],
    truth: Positions,
    shots: int,
    seed: int = 0,
) -> Right:
    """How often (t,) each row is nearest to its own class's mean, over 100 draws of `shots` tiles a class.

    Features are centred on all training rows and set to unit length, as in Wang et al., "SimpleShot", 2019;
    a class with fewer tiles gives all it has.
    """
    centre = train.mean(axis=0)
    known, asked = unit_rows(train - centre), unit_rows(test - centre)
    among, towards = known @ known.T, asked @ known.T
    members = [np.flatnonzero(labels == number) for number in range(int(labels.max()) + 1)]
    rng = np.random.default_rng(seed)
    right = np.zeros(len(test))
    for _ in range(DRAWS):
        chosen = np.zeros((len(members), len(train)))
        for number, rows in enumerate(members):
            taken = rng.permutation(rows)[:shots]
            chosen[number, taken] = 1 / max(len(taken), 1)
        lengths = np.sqrt(np.maximum(np.einsum("cn,nm,cm->c", chosen, among, chosen, optimize=True), 1e-12))
        nearness = (towards @ chosen.T) / lengths
        nearness[:, [not len(rows) for rows in members]] = -np.inf
        right += nearness.argmax(axis=1) == truth
    return right / DRAWS


def nearest_mean(train: NDArray[np.float32], labels: Positions, test: NDArray[np.float32]) -> Positions:
    """Class (t,) whose mean is nearest in cosine, features centred on the training rows and of unit length."""
    centre = train.mean(axis=0)
    known, asked = unit_rows(train - centre), unit_rows(test - centre)
    means = np.stack([known[labels == number].mean(axis=0) for number in range(int(labels.max()) + 1)])
    named: Positions = (asked @ unit_rows(means).T).argmax(axis=1)
    return named


def unit_rows(rows: NDArray[Any]) -> Matrix:
    """Rows of length 1 in float64; a row of zeros stays."""
    wide = rows.astype(np.float64)
    unit: Matrix = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit


def _knn(known: NDArray[np.float32], asked: NDArray[np.float32], task: Task, split: Split) -> Right:
    return _right(nearest_neighbours(known, task.labels[split.train], asked), task, split)


def _linear(known: NDArray[np.float32], asked: NDArray[np.float32], task: Task, split: Split) -> Right:
    return _right(
        linear_probe(known, task.labels[split.train], task.groups[split.train], asked, split.seed), task, split
    )


def _right(named: Positions, task: Task, split: Split) -> Right:
    right: Right = (named == task.labels[split.test]).astype(np.float64)
    return right


def _shots(shots: int) -> Callable[[NDArray[np.float32], NDArray[np.float32], Task, Split], Right]:
    def probe(known: NDArray[np.float32], asked: NDArray[np.float32], task: Task, split: Split) -> Right:
        labels = task.labels
        return few_shots(known, labels[split.train], asked, labels[split.test], shots, split.seed)

    return probe


PROBES: Mapping[str, Callable[[NDArray[np.float32], NDArray[np.float32], Task, Split], Right]] = {
    "linear": _linear,
    "knn20": _knn,
    **{f"shot{shots}": _shots(shots) for shots in SHOTS},
}


def probe_task(features: NDArray[np.float32], task: Task, probe: str) -> Right:
    """How often (t,) each tested row of the task is named rightly, over its splits.

    Parameters
    ----------
    features : float32 (n, d) of all tiles
    probe : a name of `PROBES`
    """
    own = features[task.rows]
    right, times = np.zeros(len(task.rows)), np.zeros(len(task.rows))
    for split in task.splits:
        right[split.test] += PROBES[probe](own[split.train], own[split.test], task, split)
        times[split.test] += 1
    return right[task.tested] / times[task.tested]


def task_samples(right: Right, task: Task) -> Samples:
    """Balanced accuracy of one task as a sample vector over its groups."""
    return balanced_accuracy(right, task.labels[task.tested], resample_groups(task.groups[task.tested]))


def probe_sets(
    features: NDArray[np.float32],
    tiles: ReferenceTiles,
    tasks: Sequence[Task] | None = None,
    probes: Sequence[str] = ("linear", "knn20"),
) -> dict[str, dict[str, Samples]]:
    """Balanced accuracy of each probe on each task, as sample vectors: `[probe][task]`.

    For a trainer that watches itself: `mean_over_sets(probe_sets(features, tiles, tasks)["linear"], tasks)[0]`.

    Parameters
    ----------
    features : float32 (n, d) of the tiles
    tasks : None = those of `tasks_of(tiles)`
    probes : names of `PROBES`: linear, knn20, shot1, shot5, shot10
    """
    chosen = tasks_of(tiles) if tasks is None else tasks
    return {
        probe: {task.name: task_samples(probe_task(features, task, probe), task) for task in chosen} for probe in probes
    }


def mean_over_sets(samples: Mapping[str, Samples], tasks: Sequence[Task]) -> Samples:
    """Mean over the sets, each by its main task."""
    return mean_of([samples[task.name] for task in main_tasks(tasks)])
