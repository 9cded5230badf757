"""From a differential to ancillary tests: what the tables hold on candidates that the request or the picture names."""

from __future__ import annotations

from dataclasses import replace

from ..answering import exchange, standing
from ..grounding import Asked, Told
from ..material import KNOWLEDGE, Made, Material, conversation_of
from ..phrases.questions import ask

ADVISED = 0.4
"""Share of answers that end in an order of the tests named."""


def tests(material: Material) -> Made:
    """A picture, a request that names two look-alikes (or none, every fifth time), and a question for tests."""
    entities = [one for one in material.knowledge.diagnoses if material.knowledge.lookalikes(one.id)]
    for number, record in enumerate(material.in_turn("tests", material.histology)):
        draw = material.draw("tests", number)
        entity = draw.choice(entities)
        other = draw.choice(material.knowledge.lookalikes(entity.id))
        names = draw.choice((f"{entity.name} or {other.name}", f"{entity.name} versus {other.name}"))
        request = None if number % 5 == 4 else f"{names}?" if draw.random() < 0.5 else f"Differential {names}"
        text = ask("tests", draw) if request is None or draw.random() < 0.4 else ask("between", draw, names=names)
        asked = Asked(text, (record,), request)
        told = material.grounding.facts(asked)
        cited = [fact for fact in told.facts if fact.kind == "cited"]
        if request is not None and not cited:
            yield None
            continue
        markers = list(dict.fromkeys(fact.about[1] for fact in cited if len(fact.about) > 2))
        listed = " and ".join(draw.sample(markers, min(2, len(markers)))) if markers else ""
        last = standing(material, asked, "panel", draw, tests=listed) if listed and draw.random() < ADVISED else []
        first = [fact for fact in told.facts if fact.kind in ("cited", "limit")]
        shown = Told((*first, *(fact for fact in told.facts if fact not in first)), told.choice, told.abstains)
        said = exchange(material, asked, draw, told=shown, most=draw.choice((1, 2, 3)), lead=2, last=last)
        if said is not None:
            said = replace(said, facts=told.lines, abstains=not markers)
        yield conversation_of("tests", said, [record], *([KNOWLEDGE] if cited else []))
