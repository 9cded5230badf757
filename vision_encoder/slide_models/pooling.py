"""Slides without attention: statistics of a bag and a ridge logistic regression.

With a hundred slides this is what attention has to beat. Settings of the linear probe as in Patho-Bench: C = 0.5,
classes weighted alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoder import Features
from .bag import Bag, BagSet, Matrix, Positions
from .multitask import UNKNOWN

TOP_SHARES = (0.01, 0.05)
"""Shares of a bag whose tiles of the highest logit are pooled by themselves."""
PARTS = {
    "mean": ("mean",),
    "max": ("max",),
    "spread": ("deviation",),
    "statistics": ("mean", "deviation", "top"),
}
BLOCK = 4096
"""Tiles whose parts are held at once."""

Row = NDArray[np.float64]


@dataclass(frozen=True)
class LinearHead:
    """Logits of pooled rows: `slope` (k, p), `intercept` (k,); rows are centred and scaled (p,) first."""

    centre: Row
    scale: Row
    slope: Matrix
    intercept: Row

    def logits(self, rows: Matrix | Features) -> Matrix:
        """Logits (n, k) of rows (n, p)."""
        found: Matrix = ((rows.astype(np.float64) - self.centre) / self.scale) @ self.slope.T + self.intercept
        return found


@dataclass(frozen=True)
class PooledModel:
    """A statistic of the bag and a linear head a task.

    `kind` is mean, max, spread (deviation) or statistics (mean ‖ deviation ‖ mean of the tiles of the highest logit,
    1 % and 5 %); `rankers`, of `statistics` only, give the logits by which those tiles are found.
    """

    kind: str
    classes: Mapping[str, tuple[str, ...]]
    heads: Mapping[str, LinearHead]
    rankers: Mapping[str, LinearHead]

    def logits(self, bag: Bag) -> dict[str, Row]:
        """Logits (k,) by task."""
        return {
            task: head.logits(pooled(self.kind, bag.features, self._ranking(task, bag.features))[None])[0]
            for task, head in self.heads.items()
        }

    def tile_logits(self, bag: Bag) -> dict[str, Matrix]:
        """Each tile's part in the logits (n, k) by task; the mean over tiles is the bag's logits, exactly."""
        found = {}
        for task, head in self.heads.items():
            ranking = self._ranking(task, bag.features)
            blocks = tile_parts(self.kind, bag.features, ranking)
            found[task] = np.concatenate([head.logits(block) for block in blocks])
        return found

    def attention(self, bag: Bag) -> dict[str, Row]:
        """Weight (n,) of each tile by task: all alike."""
        return dict.fromkeys(self.heads, np.full(len(bag.features), 1 / len(bag.features)))

    def _ranking(self, task: str, features: Features) -> Matrix | None:
        ranker = self.rankers.get(task)
        return None if ranker is None else _margin(ranker.logits(features))


def pooled(kind: str, features: Features, ranking: Matrix | None = None) -> Row:
    """The statistics of n tiles as one row.

    Parameters
    ----------
    kind : a name of `PARTS`
    features : (n, d), n at least 1
    ranking : (n, c), what tiles are ranked by, one order a column; needed where the kind has `top`
    """
    rows = features.astype(np.float64)
    parts: list[Row] = []
    for part in PARTS[kind]:
        if part == "mean":
            parts.append(rows.mean(axis=0))
        elif part == "deviation":
            parts.append(rows.std(axis=0))
        elif part == "max":
            parts.append(rows.max(axis=0))
        else:
            assert ranking is not None
            parts += [rows[top].mean(axis=0) for column in ranking.T for top in _tops(column)]
    return np.concatenate(parts)


def tile_parts(kind: str, features: Features, ranking: Matrix | None = None) -> Iterator[Matrix]:
    """What each tile adds to `pooled`, times n, in blocks (b, p): the mean over all tiles is `pooled`, exactly.

    A deviation is the mean over tiles of (x - mean)² / deviation; a maximum belongs to the tile that holds it.
    """
    count, mean, deviation = len(features), features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=float)
    holder = features.argmax(axis=0)
    tops = [] if ranking is None else [np.isin(np.arange(count), top) for column in ranking.T for top in _tops(column)]
    for start in range(0, count, BLOCK):
        rows = features[start : start + BLOCK].astype(np.float64)
        places = np.arange(start, start + len(rows))[:, None]
        parts: list[Matrix] = []
        for part in PARTS[kind]:
            if part == "mean":
                parts.append(rows)
            elif part == "deviation":
                square = (rows - mean) ** 2
                parts.append(np.divide(square, deviation, out=np.zeros_like(square), where=deviation > 0))
            elif part == "max":
                parts.append(np.where(places == holder, rows * count, 0.0))
            else:
                parts += [rows * (top[start : start + len(rows), None] * (count / top.sum())) for top in tops]
        yield np.concatenate(parts, axis=1)


def fit_pooled(kind: str, bags: BagSet, penalty: float) -> PooledModel:
    """The model of this kind, fitted on the bags whose label is known, task by task.

    Parameters
    ----------
    penalty : inverse ridge strength, for rows whose expected squared length is 1
    """
    rankers: dict[str, LinearHead] = {}
    if "top" in PARTS[kind]:
        rankers = dict(fit_pooled("mean", bags, penalty).heads)
    heads = {}
    for task, numbers in bags.labels.items():
        known = np.flatnonzero(numbers != UNKNOWN)
        rows = []
        for index in known:
            features = bags.bags[index].features
            ranking = _margin(rankers[task].logits(features)) if rankers else None
            rows.append(pooled(kind, features, ranking))
        heads[task] = fit_head(np.stack(rows), numbers[known], len(bags.classes[task]), penalty)
    return PooledModel(kind, dict(bags.classes), heads, rankers)


def fit_head(rows: Matrix, numbers: Positions, classes: int, penalty: float) -> LinearHead:
    """A ridge logistic head on rows (n, p), classes weighted alike.

    A class without a row gets a logit no higher than any other's, so that it is never named.
    """
    from ..benchmark.probes import fit_logistic

    centre, deviation = rows.mean(axis=0), rows.std(axis=0)
    # a feature that hardly varies must not explode on a new slide
    scale = (deviation + 1e-3 * deviation.mean() + 1e-12) * np.sqrt(rows.shape[1])
    present = np.unique(numbers)
    slope, intercept = np.zeros((classes, rows.shape[1])), np.full(classes, -20.0)
    if len(present) < 2:
        intercept[present] = 0.0
        return LinearHead(centre, scale, slope, intercept)
    # in the span of the rows, where the slope of a ridge regression lies
    basis = _span((rows - centre) / scale)
    model = fit_logistic((rows - centre) / scale @ basis, numbers, penalty)
    found, offset = model.coef_ @ basis.T, model.intercept_
    if len(present) == 2:
        found, offset = np.stack([-found[0] / 2, found[0] / 2]), np.array([-offset[0] / 2, offset[0] / 2])
    slope[present], intercept[present] = found, offset
    return LinearHead(centre, scale, slope, intercept)


def _span(rows: Matrix) -> Matrix:
    """An orthonormal basis (p, at most n) of the span of rows (n, p)."""
    _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
    kept = lengths > 1e-8 * max(lengths[0], 1e-12)
    kept[0] = True
    basis: Matrix = axes[kept].T
    return basis


def _margin(logits: Matrix) -> Matrix:
    """What tiles are ranked by: of two classes the second less the first, of more each less the mean of all."""
    if logits.shape[1] == 2:
        return logits[:, 1:] - logits[:, :1]
    margin: Matrix = logits - logits.mean(axis=1, keepdims=True)
    return margin


def _tops(ranking: Row) -> Sequence[Positions]:
    """Positions of the highest 1 % and 5 %, one tile at least."""
    order = np.argsort(-ranking, kind="stable")
    return [order[: max(1, int(np.ceil(share * len(order))))] for share in TOP_SHARES]
