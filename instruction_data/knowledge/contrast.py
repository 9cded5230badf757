"""Whether a test's figures differ between diagnoses, and which tests tell two diagnoses apart."""

from __future__ import annotations

from collections.abc import Sequence

from .base import Knowledge, Rate

LEAST_CONTRAST = 0.2
"""Least difference between two diagnoses' shares for a test to separate them."""
_BELIEVED = {
    "positive": (0.75, 1.0), "yes": (0.75, 1.0), "variable": (0.35, 0.65), "negative": (0.0, 0.25), "no": (0.0, 0.25),
}  # fmt: skip


def comparable(knowledge: Knowledge, entities: Sequence[str], marker: str) -> tuple[Rate | None, ...] | None:
    """One figure an entity, all of the same result (what the marker is read for first), where two of them differ.

    None when no two entities differ by this marker.
    """
    owners = [id for entity in entities for id in (entity, *knowledge.entity(entity).kin)]
    usual = knowledge.markers[marker].result
    for result in dict.fromkeys([usual, *(r for id in owners for r in knowledge.results(id, marker))]):
        rates = tuple(knowledge.rate(entity, marker, result) for entity in entities)
        if contrast(rates) >= LEAST_CONTRAST:
            return rates
    return None


def separating(knowledge: Knowledge, one: str, other: str) -> tuple[str, ...]:
    """Ids of the markers whose figures differ between two entities."""
    shared = sorted(set(knowledge.markers_of(one)) & set(knowledge.markers_of(other)))
    return tuple(marker for marker in shared if comparable(knowledge, (one, other), marker))


def contrast(rates: Sequence[Rate | None]) -> float:
    """Widest difference between two shares, in [-1, 1]; not above 0 when nothing differs.

    Between a belief and a count the belief stands for a range of shares: where both say the same, they do
    not differ.
    """
    known = [rate for rate in rates if rate is not None]
    return max((_difference(one, other) for one in known for other in known), default=0.0)


def _difference(one: Rate, other: Rate) -> float:
    if (one.belief is None) == (other.belief is None):
        return one.mean - other.mean
    low = _BELIEVED[one.belief.split()[-1]][0] if one.belief else one.mean
    high = _BELIEVED[other.belief.split()[-1]][1] if other.belief else other.mean
    return low - high
