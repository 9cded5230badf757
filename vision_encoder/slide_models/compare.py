"""Which model is kept: each in turn has to beat the one kept before it, paired, on the same resampled patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..benchmark.intervals import (
    Estimate,
    Samples,
    area_under_curve,
    estimate,
    mean_of,
    resample_groups,
)
from .bag import BagSet, Matrix
from .cross_fit import OutOfFold
from .multitask import UNKNOWN


@dataclass(frozen=True)
class Step:
    """One model's area under the ROC curve on held-out folds, less that of the model kept before it, and the verdict.

    `less` is None for the first, which is kept in any case.
    """

    kind: str
    area: Estimate
    less: Estimate | None
    against: str
    kept: bool

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "model": self.kind,
            "area": rounded(self.area),
            "against": self.against,
            "less": None if self.less is None else rounded(self.less),
            "kept": self.kept,
        }


def rounded(found: Estimate) -> list[float]:
    """Value, lower and upper end of the interval."""
    return [round(found.value, 4), round(found.low, 4), round(found.high, 4)]


def areas(logits: Matrix, numbers: NDArray[np.int64], groups: NDArray[np.object_]) -> Samples:
    """Area under the ROC curve of one task, a sample vector over groups; of more than two classes, the mean of each
    class against the rest.

    Parameters
    ----------
    logits : (s, k) held-out logits
    numbers : (s,) class numbers; bags that are not known are left out
    """
    known = numbers != UNKNOWN
    resamples = resample_groups(groups[known])
    rows, truth = logits[known], numbers[known]
    if logits.shape[1] == 2:
        return area_under_curve((rows[:, 1] - rows[:, 0])[None], truth == 1, resamples)
    shares = rows - rows.max(axis=1, keepdims=True)
    shares = np.exp(shares) / np.exp(shares).sum(axis=1, keepdims=True)
    each = [
        area_under_curve(shares[None, :, number], truth == number, resamples)
        for number in range(logits.shape[1])
        if 0 < int((truth == number).sum()) < len(truth)
    ]
    return mean_of(each)


def ladder(bags: BagSet, found: Mapping[str, OutOfFold], models: Sequence[str], task: str) -> list[Step]:
    """The steps in order, judged on one task; the last that is kept is the one that ships.

    A model is kept when the lower end of its paired difference to the one kept before lies above 0.
    """
    steps: list[Step] = []
    best: tuple[str, Samples] | None = None
    for kind in models:
        samples = areas(found[kind][task], bags.labels[task], bags.groups)
        if best is None:
            steps.append(Step(kind, estimate(samples), None, "", True))
            best = (kind, samples)
            continue
        less = estimate(samples - best[1])
        steps.append(Step(kind, estimate(samples), less, best[0], less.low > 0))
        if less.low > 0:
            best = (kind, samples)
    return steps


def kept(steps: Sequence[Step]) -> str:
    """The model that the ladder ends at."""
    return next(step.kind for step in reversed(steps) if step.kept)
