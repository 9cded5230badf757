"""What tissue resembles: the nearest reference cases, with the measured chance that such a match is right.

A query tile is compared with every tile of a case in half-whitened principal components of unit length; its
likeness to the case is the cosine of the nearest there, and a bag's likeness the mean over its tiles. How
often a match of that likeness was of the same category, and of the same organ, was measured on cases left
out, and is shipped as tables. The reference holds features, never pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encoder import Encoder, Features
from .novelty import NOVELTY_LEVEL, Novelty, novelty_components
from .projection import Projection, unit
from .shipped import WEIGHTS, MadeForAnother, read_trained

RANKS = 3
"""Matches whose agreement is measured, and so the most that are given."""


@dataclass(frozen=True, slots=True)
class Match:
    """A reference case that the tissue resembles.

    `similarity` is the mean cosine in [-1, 1]; `agreement` the share of left-out cases, matched at such a
    similarity and rank, whose match was of their own category (malignant, normal, …), `organ_agreement` of
    their own organ.
    """

    title: str
    diagnosis: str
    organ: str
    category: str
    similarity: float
    agreement: float
    organ_agreement: float


@dataclass(frozen=True, slots=True)
class ReferenceCase:
    """One case of a reference: its words, where its tiles lie in it, and to whom it is owed."""

    title: str
    diagnosis: str
    organ: str
    category: str
    start: int
    stop: int
    caption: str = ""
    attribution: str = ""


Knots = Sequence[tuple[float, float]]
"""(similarity, agreement), both rising."""


@dataclass(frozen=True)
class AgreementTable:
    """Measured on left-out cases: `knots[size][rank]` are those of category and of organ, by bag size."""

    knots: Mapping[int, Sequence[tuple[Knots, Knots]]]

    def agreement(self, n: int, rank: int, similarity: float) -> tuple[float, float]:
        """Measured chance that the match of this rank (0 = best) of a bag of n tiles has the category, organ."""
        fitting = max((size for size in self.knots if size <= n), default=min(self.knots))
        category, organ = self.knots[fitting][rank]
        return _at(similarity, category), _at(similarity, organ)


def _at(similarity: float, knots: Knots) -> float:
    similarities, agreements = zip(*knots, strict=True)
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
        axes: Projection,
        novelty: Novelty,
        card: Mapping[str, Any],
    ) -> None:
        self.cases = tuple(cases)
        self.projection = projection
        self.card = card
        self.reference = reference
        self._neighbours = neighbours
        self._table = table
        self._axes, self._novelty = axes, novelty

    def nearest(self, features: Features, k: int = 3) -> tuple[Match, ...]:
        """Up to k ≤ 3 cases that a bag of n ≥ 1 tiles (n, d) resembles most, best first.

        Empty when the tissue is unlike all of the atlas (novelty p < 0.05): a best match always exists, and
        of a photograph it means nothing.
        """
        if self.novelty(features) < NOVELTY_LEVEL:
            return ()
        components = unit(self.projection(features))
        likeness = tile_likeness(components, self.reference, self.cases, self._neighbours).mean(axis=0)
        best = np.argsort(-likeness, kind="stable")[: min(k, RANKS)]
        return tuple(
            self._match(len(features), rank, int(index), float(likeness[index])) for rank, index in enumerate(best)
        )

    def novelty(self, features: Features) -> float:
        """Conformal p-value in (0, 1] of a bag of n ≥ 1 tiles (n, d) against the cases: small means unlike all."""
        return self._novelty.read(novelty_components(features, self._axes))[0]

    def _match(self, n: int, rank: int, index: int, similarity: float) -> Match:
        case = self.cases[index]
        category, organ = self._table.agreement(n, rank, similarity)
        return Match(case.title, case.diagnosis, case.organ, case.category, similarity, category, organ)


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
        raise MadeForAnother(
            f"no atlas was made for encoder '{encoder.name}': use embedded, or build one with a recipe"
        )
    table = AgreementTable({int(size): ranks for size, ranks in card["agreement"].items()})
    axes = arrays["novelty.axes"].astype(np.float32)
    novelty = Novelty(
        arrays["novelty.reference"].astype(np.float32),
        arrays["novelty.of_cases"].astype(np.bool_),
        {int(size): strata for size, strata in card["novelty"].items()},
    )
    return Atlas(
        cases=[ReferenceCase(**row) for row in card["cases"]],
        reference=arrays["reference"].astype(np.float32),
        projection=Projection(
            arrays["projection.mean"].astype(np.float32), arrays["projection.axes"].astype(np.float32)
        ),
        neighbours=card["neighbours"],
        table=table,
        axes=Projection(np.zeros(len(axes), dtype=np.float32), axes),
        novelty=novelty,
        card=card,
    )
