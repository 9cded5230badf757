"""Hints in steps, none of which is the answer: where to look, what to look for, why it is not the look-alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slides import Size

from .cases import Case

if TYPE_CHECKING:
    from instruction_data.knowledge import Entity, Knowledge

STEPS = ("where", "what", "why not")
_THIRDS = ("top", "middle", "bottom"), ("left", "centre", "right")


def hints(case: Case, size: Size, knowledge: Knowledge) -> tuple[str, ...]:
    """Three sentences, none of which names the diagnosis; `size` is the slide's, in level-0 pixels."""
    entity = knowledge.find_entity(case.diagnosis)
    told = (_where(case, size), _what(entity), _why_not(entity, knowledge))
    return tuple(_veiled(text, case, entity) for text in told)


def _where(case: Case, size: Size) -> str:
    if case.negative and not case.places:
        return "Go over the whole slide at low power before you decide that there is something to find."
    if not case.places:
        return "No place was marked on this case: look where the pattern changes at low power."
    place = case.places[0]
    row = _THIRDS[0][min(2, 3 * (place.y + place.height // 2) // size.height)]
    column = _THIRDS[1][min(2, 3 * (place.x + place.width // 2) // size.width)]
    middle = (row, column) == ("middle", "centre")
    return "Look at the middle of the slide." if middle else f"Look at the {row} {column} of the slide."


def _what(entity: Entity | None) -> str:
    if entity is None or not entity.keywords:
        return "Describe it first: architecture, then cells, then what lies between them."
    return f"Look for: {', '.join(entity.keywords[:6])}."


def _why_not(entity: Entity | None, knowledge: Knowledge) -> str:
    near = knowledge.lookalikes(entity.id) if entity is not None else ()
    if entity is None or not near:
        return "Ask what else could look like this, and what you would have to see for it."
    other = near[0]
    own = [word for word in entity.keywords if word not in other.keywords][:3]
    apart = f"; against it: {', '.join(own)}" if own else ""
    return f"It is not {other.name}{apart}."


def _veiled(text: str, case: Case, entity: Entity | None) -> str:
    """The text with the diagnosis and its other names taken out."""
    names = [case.diagnosis, *((entity.name, *entity.synonyms) if entity is not None else ())]
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text, flags=re.IGNORECASE)
    return text
