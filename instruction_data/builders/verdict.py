"""Questions for a yes or a no, each as often right; where the findings settle nothing the answer says so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from ..answering import exchange
from ..conversation import Conversation, Verdict
from ..grammar import say
from ..grounding import Asked
from ..material import Made, Material, conversation_of
from ..phrases.questions import RULES as QUESTIONS
from ..record import Record

OPTIONS = ("yes", "no")
OPENINGS = (
    "Is this", "Is the picture", "Would you say that it is", "Is what I see here", "Is this field", "Could it be",
    "Am I right that it is", "Is the tissue here", "Do you take it to be", "Does it look as if it were", "Is it",
)  # fmt: skip
CLASSES = {
    "stain": {"HE": "stained with H&E", "IHC": "an immunostain", "special stain": "a special stain"},
    "category": {
        "malignant": "malignant",
        "benign tumour": "a benign tumour",
        "inflammatory/infectious": "an inflammatory process",
        "normal": "normal tissue",
    },
}
UNSETTLED = 0.1


def verdict(material: Material) -> Made:
    """Yes and no in turn: a picture is asked about its own class, the next about another's."""
    pool = [one for one in material.histology if one.label("stain")]
    organs = sorted({one.label("organ") for one in pool if one.label("organ")})
    for number, record in enumerate(material.in_turn("verdict", pool)):
        wanted: Verdict = "yes" if number % 2 == 0 else "no"
        yield _verdict(material, record, wanted, organs, material.draw("verdict", number))


def _verdict(
    material: Material, record: Record, wanted: Verdict, organs: Sequence[str], draw: random.Random
) -> Conversation | None:
    aspect = draw.choice([name for name in ("organ", "category", "stain") if record.label(name)])
    named = _named(record, aspect, wanted, organs, draw)
    if named is None:
        return None
    text = f"{draw.choice(OPENINGS)} {named}? {say(QUESTIONS, 'yes or no', draw)}"
    asked = Asked(text, (record,), options=OPTIONS)
    told = material.grounding.facts(asked)
    taken = None if told.choice is None else OPTIONS[told.choice]
    if taken != wanted and not (taken is None and draw.random() < UNSETTLED):
        return None
    first = [f"{wanted.capitalize()}: of the options given, “{wanted}” fits the findings best."] if taken else []
    first = first if draw.random() < 0.3 else []
    made = exchange(material, asked, draw, told=told, most=draw.choice((1, 2)), lead=1, first=first)
    if made is None or (taken and wanted not in made.answer.lower()):
        return None
    return conversation_of("verdict", replace(made, verdict=wanted if taken else ""), [record])


def _named(record: Record, aspect: str, wanted: Verdict, organs: Sequence[str], draw: random.Random) -> str | None:
    """What is asked about: the record's own class for yes, another for no."""
    own = record.label(aspect)
    if aspect == "organ":
        others = [organ for organ in organs if organ != own]
        return f"from the {own if wanted == 'yes' else draw.choice(others)}" if others else None
    phrases = CLASSES[aspect]
    if wanted == "yes":
        return phrases.get(own)
    return draw.choice([phrase for name, phrase in sorted(phrases.items()) if name != own])
