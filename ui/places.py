"""Letters for the places an answer rests on: A, B, C … in the order in which the sentences name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slides import Evidence, Finding, Region

LETTERS = "ABCDEFGHIJKL"
FIELDS_EACH = 2
"""Places shown for one piece of evidence: its strongest fields; a gallery of the best beats a map of all."""
SAME_PLACE = 0.7
"""Overlap (intersection over union) from which two fields are one place to the eye."""
SLIDE = "slide"
"""Stands where a letter would, for what rests on the whole slide."""


class Places:
    """Places of one answer, each with a letter; `asked` are the boxes that the question was about."""

    def __init__(self, whole: Region, asked: Sequence[Region] = ()) -> None:
        self._whole = whole
        self._asked = frozenset(asked)
        self._regions: list[Region] = []
        self._names: list[str] = []

    def mark(self, evidence: Evidence) -> None:
        """Gives the places of a piece of evidence their letters."""
        for region in self._shown(evidence):
            if self._index(region) is None and len(self._regions) < len(LETTERS):
                self._regions.append(region)
                self._names.append(_caption(evidence.finding))

    def letters(self, evidence: Evidence) -> list[str]:
        """The letters of a piece of evidence that have been given; `slide` for the whole slide."""
        if not evidence.fields and evidence.region == self._whole:
            return [SLIDE]
        found = [self._index(region) for region in self._shown(evidence)]
        return [LETTERS[index] for index in dict.fromkeys(found) if index is not None]

    def as_props(self) -> list[dict[str, Any]]:
        """Letter, level-0 box, what was found there and whether it is a box that was asked about."""
        return [
            {"letter": letter, "box": list(region.xywh), "name": name, "asked": region in self._asked}
            for letter, region, name in zip(LETTERS, self._regions, self._names, strict=False)
        ]

    def _shown(self, evidence: Evidence) -> tuple[Region, ...]:
        if evidence.fields:
            return evidence.fields[:FIELDS_EACH]
        return () if evidence.region == self._whole else (evidence.region,)

    def _index(self, region: Region) -> int | None:
        return next((i for i, known in enumerate(self._regions) if _overlap(known, region) >= SAME_PLACE), None)


def _caption(finding: Finding) -> str:
    """What stands, else only what was looked for: a class that abstained is not written on a picture."""
    name = finding.name.replace("_", " ")
    if finding.label is None or finding.abstained:
        return name
    tells_itself = name.startswith(("tissue ", "disease "))
    return finding.label if tells_itself else f"{name}: {finding.label}"


def _overlap(one: Region, other: Region) -> float:
    shared = one.intersect(other)
    return 0.0 if shared is None else shared.area / (one.area + other.area - shared.area)
