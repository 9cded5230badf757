"""What tissue resembles: the nearest reference cases, with the measured chance that such a match is right.

A query tile is compared with every tile of a case in principal components of unit length; its likeness to
the case is the mean cosine of the nearest few, and a bag's likeness the mean over its tiles. How often a
best match of that likeness was of the same organ and category was measured on cases left out, and is
shipped as a table. The reference holds features, never pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import SetupError

from .encoder import Encoder, Features
from .novelty import calibrated_size
from .projection import Projection
from .shipped import WEIGHTS, read_trained


@dataclass(frozen=True, slots=True)
class Match:
    """A reference case that the tissue resembles.

    `similarity` is the mean cosine in [-1, 1]; `agreement` the share of left-out cases, matched at such a
    similarity and rank, whose match was of their own organ and category.
    """

    title: str
    diagnosis: str
    organ: str
    category: str
    similarity: float
    agreement: float


@dataclass(frozen=True, slots=True)
class ReferenceCase:
    """One case of the atlas: its words, and where its tiles lie in the reference."""

    title: str
    diagnosis: str
    organ: str
    category: str
    start: int
    stop: int


@dataclass(frozen=True)
class AgreementTable:
    """By bag size and rank: (similarity, agreement) knots, rising; and the least similarity of a match."""

    knots: Mapping[int, Sequence[Sequence[tuple[float, float]]]]
    least_similarity: Mapping[int, float]

    def agreement(self, n: int, rank: int, similarity: float) -> float:
        """Measured chance that the match of this rank (0 = best) of a bag of n tiles is right."""
        ranks = self.knots[calibrated_size(n, self.knots)]
        similarities, agreements = zip(*ranks[min(rank, len(ranks) - 1)], strict=True)
        return float(np.interp(similarity, similarities, agreements))


class Atlas:
    """The reference cases of one encoder."""

    def __init__(
        self,
        cases: Sequence[ReferenceCase],
        reference: NDArray[np.float32],
        projection: Projection,
        neighbours: int,
        table: AgreementTable,
        card: Mapping[str, Any],
    ) -> None:
        self.cases = tuple(cases)
        self.projection = projection
        self.card = card
        self._reference = reference
        self._neighbours = neighbours
        self._table = table

    def nearest(self, features: Features, k: int = 3) -> tuple[Match, ...]:
        """Up to k cases that a bag of n ≥ 1 tiles (n, d) resembles most, best first.

        Empty when even the best is less alike than 95 % of left-out cases were to their best match: then the
        tissue is not in the atlas.
        """
        likeness = case_likeness(self.projection(features), self._reference, self.cases, self._neighbours)
        best = np.argsort(-likeness, kind="stable")[:k]
        n = len(features)
        if likeness[best[0]] < self._table.least_similarity[calibrated_size(n, self._table.least_similarity)]:
            return ()
        return tuple(
            Match(
                title=self.cases[index].title,
                diagnosis=self.cases[index].diagnosis,
                organ=self.cases[index].organ,
                category=self.cases[index].category,
                similarity=float(likeness[index]),
                agreement=self._table.agreement(n, rank, float(likeness[index])),
            )
            for rank, index in enumerate(best)
        )


def case_likeness(
    components: NDArray[np.float32],
    reference: NDArray[np.float32],
    cases: Sequence[ReferenceCase],
    neighbours: int,
) -> NDArray[np.float64]:
    """Likeness (c,) of a bag of projected tiles (n, p) to each case, from reference tiles (m, p)."""
    likeness: NDArray[np.float64] = tile_likeness(components, reference, cases, neighbours).mean(axis=0)
    return likeness


def tile_likeness(
    components: NDArray[np.float32],
    reference: NDArray[np.float32],
    cases: Sequence[ReferenceCase],
    neighbours: int,
) -> NDArray[np.float64]:
    """Likeness (n, c) of each tile to each case: the mean cosine of its nearest tiles there."""
    similarity = components @ reference.T
    likeness = np.empty((len(components), len(cases)))
    for number, case in enumerate(cases):
        own = similarity[:, case.start : case.stop]
        nearest = min(neighbours, own.shape[1])
        likeness[:, number] = np.partition(own, own.shape[1] - nearest, axis=1)[:, -nearest:].mean(axis=1)
    return likeness


def load_atlas(encoder: Encoder, folder: Path = WEIGHTS) -> Atlas:
    """The reference atlas made with this encoder, hash verified.

    Raises
    ------
    SetupError : no atlas for this encoder, or the file is missing or differs from its hash
    """
    arrays, card = read_trained(folder, "atlas")
    if card["encoder"]["sha256"] != encoder.sha256:
        raise SetupError(f"no atlas was made for encoder '{encoder.name}': use embedded, or build one with a recipe")
    table = AgreementTable(
        knots={int(size): ranks for size, ranks in card["agreement"].items()},
        least_similarity={int(size): value for size, value in card["least_similarity"].items()},
    )
    return Atlas(
        cases=[ReferenceCase(**row) for row in card["cases"]],
        reference=arrays["reference"].astype(np.float32),
        projection=Projection(arrays["projection.mean"], arrays["projection.axes"]),
        neighbours=card["neighbours"],
        table=table,
        card=card,
    )
