"""Three scores kept apart: where, what, and how well the trainee knows what they know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slides import Region

from ..terms import canonical
from .cases import NEGATIVE, Case

if TYPE_CHECKING:
    from instruction_data.knowledge import Knowledge

CREDIT = (1.0, 0.5, 0.25)
"""For the truth in first, second and third place."""
NEAR = 0.25
"""For a look-alike of the truth in first place where the truth is not named."""
LARGEST = 16.0
"""A box that is larger than this many times the place it shall show points at nothing."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a trainee says before anything is revealed.

    Attributes
    ----------
    diagnoses : one to three, most favoured first
    confidence : that the first one is right, in [0, 1]
    box : level-0 pixels; None says that there is nothing to point at
    """

    diagnoses: tuple[str, ...]
    confidence: float
    box: Region | None = None

    def __post_init__(self) -> None:
        if not self.diagnoses or not all(text.strip() for text in self.diagnoses):
            raise ValueError("name at least one diagnosis")
        if len(self.diagnoses) > len(CREDIT):
            raise ValueError(f"name at most {len(CREDIT)} diagnoses, the likeliest first")
        if not 0 <= self.confidence <= 1:
            raise ValueError("the confidence is a probability, from 0 to 1")


@dataclass(frozen=True, slots=True)
class Score:
    """Each in [0, 1], None where the case does not ask for it; Brier's score is a loss, the others are gains.

    Attributes
    ----------
    localisation : 1 where the box shows a place of the lesion, or there is none and none was drawn; else 0
    overlap : largest intersection over union of the box with a place
    differential : by the place of the truth among the diagnoses
    brier : squared distance of the confidence from whether the first diagnosis is right (Brier 1950)
    """

    localisation: float | None
    overlap: float | None
    differential: float
    brier: float

    @property
    def right(self) -> bool:
        """Whether the first diagnosis is the truth."""
        return self.differential == CREDIT[0]


def score(case: Case, said: Commitment, knowledge: Knowledge) -> Score:
    """The scores of a commitment; the same commitment has the same scores each time."""
    differential = _differential(case, said.diagnoses, knowledge)
    right = float(differential == CREDIT[0])
    found, overlap = _localisation(case, said.box)
    return Score(found, overlap, differential, round((said.confidence - right) ** 2, 6))


def same(one: str, other: str, knowledge: Knowledge) -> bool:
    """Whether two texts name one diagnosis: the same words, one entity of the tables, or both "nothing"."""
    if canonical(one) == canonical(other):
        return True
    if one.strip().lower() in NEGATIVE and other.strip().lower() in NEGATIVE:
        return True
    first, second = knowledge.find_entity(one), knowledge.find_entity(other)
    return first is not None and second is not None and first.id == second.id


def _differential(case: Case, said: Sequence[str], knowledge: Knowledge) -> float:
    for place, text in enumerate(said):
        if same(text, case.diagnosis, knowledge):
            return CREDIT[place]
    truth, first = knowledge.find_entity(case.diagnosis), knowledge.find_entity(said[0])
    if truth is None or first is None:
        return 0.0
    near = {one.id for one in knowledge.lookalikes(truth.id)} | set(truth.kin)
    return NEAR if first.id in near else 0.0


def _localisation(case: Case, box: Region | None) -> tuple[float | None, float | None]:
    if not case.places:
        return (float(box is None), None) if case.negative else (None, None)
    if box is None:
        return 0.0, 0.0
    return float(any(_shows(box, place) for place in case.places)), max(_overlap(box, place) for place in case.places)


def _shows(box: Region, place: Region) -> bool:
    """The box holds the place's middle, or lies in the place by its own, and is not much larger."""
    close = _holds(box, place) or _holds(place, box)
    return close and box.width * box.height <= LARGEST * place.width * place.height


def _holds(one: Region, other: Region) -> bool:
    x, y = other.x + other.width / 2, other.y + other.height / 2
    return one.x <= x <= one.x + one.width and one.y <= y <= one.y + one.height


def _overlap(one: Region, other: Region) -> float:
    common = one.intersect(other)
    shared = 0 if common is None else common.width * common.height
    both = one.width * one.height + other.width * other.height - shared
    return round(shared / both, 4)
