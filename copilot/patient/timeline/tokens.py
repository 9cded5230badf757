"""A stay as tokens: admission values by quantile, what was done, then each day's outcome.

[begin, sex, age, blood, crp, creatinine, egfr, oxygen, remdesivir, dexamethasone, (day, goes on | dead | home)…, end]
eGFR is derived: it is computed anew from creatinine, age and sex whenever one of them is edited. Quantile edges are
fitted on training stays alone; the order of the admission values is fixed here, so that of a record does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cohort import BLOOD, Stays, egfr

BINS = {"age": 16, "crp": 12, "creatinine": 12, "egfr": 10}
BEGIN, DAY, GOES_ON, DEAD, HOME, END, PADDING = "begin", "day", "goes on", "dead", "home", "end", "padding"
TREATMENTS = ("oxygen", "remdesivir", "dexamethasone")
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """Quantile edges of each value; a token is an index into `words`."""

    edges: Mapping[str, tuple[float, ...]]

    @property
    def words(self) -> tuple[str, ...]:
        """Every token's name, in the order of their numbers."""
        values = [f"{name} {i}" for name, edges in self.edges.items() for i in range(len(edges) + 1)]
        sides = [f"{name} {word}" for name in TREATMENTS for word in ("no", "yes")]
        return (BEGIN, "female", "male", *(f"blood {group}" for group in BLOOD), *values, *sides,
                DAY, GOES_ON, DEAD, HOME, END, PADDING)  # fmt: skip

    def number(self, word: str) -> int:
        """A token's number."""
        return self.words.index(word)

    def bin_of(self, name: str, values: NDArray[np.float64]) -> Ids:
        """Which quantile bin values fall into."""
        return np.searchsorted(np.asarray(self.edges[name]), values, side="right")


def fit_vocabulary(stays: Stays) -> Vocabulary:
    """Edges at training quantiles, even but for the ends: the last twentieth of each value has a bin of its own."""
    filtered = _filtration(stays.creatinine, stays.age, stays.female)
    values = {"age": stays.age, "crp": stays.crp, "creatinine": stays.creatinine, "egfr": filtered}
    edges = {}
    for name, bins in BINS.items():
        shares = np.concatenate([[0.02, 0.05], np.linspace(0.1, 0.9, bins - 5), [0.95, 0.985]])
        edges[name] = tuple(float(f"{edge:.4g}") for edge in np.unique(np.quantile(values[name], shares)))
    return Vocabulary(edges)


def admission(
    vocabulary: Vocabulary, age: NDArray[np.float64], female: NDArray[np.bool_], crp: NDArray[np.float64],
    creatinine: NDArray[np.float64], blood: Ids,
) -> Ids:  # fmt: skip
    """The first seven tokens (n, 7) of stays."""
    at = {word: i for i, word in enumerate(vocabulary.words)}
    filtered = _filtration(creatinine, age, female)
    columns = [
        np.full(len(age), at[BEGIN]),
        np.where(female, at["female"], at["male"]),
        at["age 0"] + vocabulary.bin_of("age", age),
        at[f"blood {BLOOD[0]}"] + blood,
        at["crp 0"] + vocabulary.bin_of("crp", crp),
        at["creatinine 0"] + vocabulary.bin_of("creatinine", creatinine),
        at["egfr 0"] + vocabulary.bin_of("egfr", filtered),
    ]
    return np.stack(columns, axis=1).astype(np.int64)


def encode(vocabulary: Vocabulary, stays: Stays, days: int) -> Ids:
    """Tokens (n, 10 + 2 days + 1), padded after the end."""
    at = {word: i for i, word in enumerate(vocabulary.words)}
    start = admission(vocabulary, stays.age, stays.female, stays.crp, stays.creatinine, stays.blood)
    sides = np.stack([at[f"{name} no"] + getattr(stays, name).astype(np.int64) for name in TREATMENTS], axis=1)
    n = len(stays)
    later = np.full((n, 2 * days + 1), at[PADDING], dtype=np.int64)
    there = np.ones(n, dtype=bool)
    for day in range(1, days + 1):
        place = 2 * (day - 1)
        later[there, place] = at[DAY]
        later[there, place + 1] = at[GOES_ON]
        dead, home = stays.death == day, stays.discharge == day
        later[dead, place + 1], later[home, place + 1] = at[DEAD], at[HOME]
        later[dead | home, place + 2] = at[END]
        there &= ~(dead | home)
    later[there, 2 * days] = at[END]
    return np.concatenate([start, sides, later], axis=1)


def _filtration(
    creatinine: NDArray[np.float64], age: NDArray[np.float64], female: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return np.array([egfr(c, a, bool(f)) for c, a, f in zip(creatinine, age, female, strict=True)])
