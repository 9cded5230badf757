"""Two or three pictures in one question: one slide at several magnifications, or two patients."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..answering import exchange
from ..conversation import Conversation
from ..grounding import Asked, Fact, Told
from ..material import Made, Material, sources_of
from ..phrases.questions import ask
from ..record import Record

INTENTS = ("compare", "compare", "compare", "organ", "category", "stain", "describe")
LEAD = ("comparison", "conflict", "limit", "unusable")
"""Kinds that are said before the views one by one."""


def several(material: Material) -> Made:
    """Every other conversation is about one slide, from low power on; the next sets two patients side by side."""
    by_slide: dict[str, list[Record]] = defaultdict(list)
    for record in material.histology:
        if record.case and not record.altered:
            by_slide[record.case].append(record)
    many = [own for own in by_slide.values() if len({record.downsample for record in own}) > 1]
    others = material.in_turn("several", material.histology)
    for number, record in enumerate(material.in_turn("several slides", [own[0] for own in many])):
        draw = material.draw("several", number)
        views = _of_slide(by_slide[record.case], draw) if number % 2 == 0 else [next(others), next(others)]
        asked = Asked(ask(draw.choice(INTENTS), draw), tuple(views))
        told = material.grounding.facts(asked)
        most = draw.choice((3, 4, 5))
        said = exchange(material, asked, draw, told=Told(_by_turns(told.facts), told.choice, told.abstains), most=most)
        pictures = tuple(view.picture for view in views)
        if said is None or len(set(pictures)) < len(pictures):
            yield None
            continue
        yield Conversation("several", (said.with_facts(told.lines),), pictures, sources_of(views))


def _of_slide(own: Sequence[Record], draw: random.Random) -> list[Record]:
    views = draw.sample(sorted(own, key=lambda one: one.picture.id), min(draw.choice((2, 2, 3)), len(own)))
    return sorted(views, key=lambda one: -one.downsample)


def _by_turns(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """What compares first, then one fact a view in turn, so that a short answer speaks of every view."""
    first = [fact for fact in facts if fact.kind in LEAD]
    by_view: dict[str, Iterator[Fact]] = {}
    for view in dict.fromkeys(fact.view for fact in facts):
        by_view[view] = iter([fact for fact in facts if fact.view == view and fact.kind not in LEAD])
    turns: list[Fact] = []
    while by_view:
        for view in list(by_view):
            fact = next(by_view[view], None)
            if fact is None:
                del by_view[view]
            else:
                turns.append(fact)
    return (*first, *turns)
