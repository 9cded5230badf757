"""Several questions in a row about one picture: each is put with its own findings, the earlier ones as they were."""

from __future__ import annotations

from ..answering import exchange
from ..conversation import Conversation, Exchange
from ..grounding import Asked
from ..material import Made, Material, sources_of
from ..phrases.questions import ask

NEXT = ("organ", "category", "stain", "tissue", "measure", "quality", "grade", "tests", "outcome", "immunophenotype")
LONGEST = 4


def dialogue(material: Material) -> Made:
    """Conversations of two to four exchanges; no intent comes twice."""
    markers = [marker.name for marker in material.knowledge.markers.values() if marker.kind in ("IHC", "molecular")]
    for number, record in enumerate(material.in_turn("dialogue", material.histology)):
        draw = material.draw("dialogue", number)
        intents = ["describe", *draw.sample(NEXT, LONGEST - 1)][: draw.randint(2, LONGEST)]
        if draw.random() < 0.4:
            intents = intents[1:] + intents[:1] if len(intents) > 2 else intents
        exchanges: list[Exchange] = []
        for intent in intents:
            text = ask(intent, draw, framed=not exchanges, marker=draw.choice(markers))
            asked = Asked(text, (record,), history=tuple(exchanges))
            if (said := exchange(material, asked, draw, most=draw.choice((1, 2, 2, 3)), lead=1)) is None:
                break
            exchanges.append(said)
        told = Conversation("dialogue", tuple(exchanges), (record.picture,), sources_of([record]))
        yield told if len(exchanges) > 1 else None
