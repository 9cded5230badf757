"""Clinical context: the same picture without, with fitting and with contradictory words of the request."""

from __future__ import annotations

import random

from ..answering import exchange
from ..grammar import Rules, read_rules, say
from ..grounding import Asked
from ..material import Made, Material, conversation_of
from ..phrases.questions import RULES as QUESTIONS
from ..phrases.questions import ask

RULES: Rules = read_rules("contexts")
INTENTS = ("describe", "organ", "organ", "category", "category", "tests", "tissue")


def context(material: Material) -> Made:
    """Three conversations a picture: context withheld, given, contradictory."""
    pool = [one for one in material.histology if one.label("organ") and one.is_plain]
    organs = sorted({one.label("organ") for one in pool})
    for number, record in enumerate(material.in_turn("context", pool)):
        draw = material.draw("context", number)
        intent = draw.choice(INTENTS)
        own, other = record.label("organ"), draw.choice([name for name in organs if name != record.label("organ")])
        for organ in ("", own, other):
            request = _request(organ, draw) if organ else None
            text = ask(intent, draw)
            if request is not None and draw.random() < 0.6:  # people write the request into the question
                text = f"{say(QUESTIONS, 'clinical', draw, context=request)} {text}"
            asked = Asked(text, (record,), request)
            said = exchange(material, asked, draw)
            yield conversation_of("context", said, [record])


def _request(organ: str, draw: random.Random) -> str:
    """A request that names the organ, as forms have it."""
    return say(
        RULES, "request", draw, organ=organ, age=str(draw.randint(19, 88)), days=str(draw.randint(2, 40))
    ).rstrip(".")
