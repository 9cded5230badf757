"""Questions for a yes or a no, each as often right; where the findings settle nothing the answer says so."""

from __future__ import annotations

from collections.abc import Iterator

from ..answering import exchange
from ..conversation import Conversation, Exchange, Verdict
from ..grammar import say
from ..grounding import Asked
from ..material import Material, sources_of
from ..phrases.questions import RULES as QUESTIONS
from ..record import Record

OPTIONS = ("yes", "no")
OPENINGS = ("Is this", "Is the picture", "Would you say that it is", "Is what I see here", "Is this field")
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


def verdict(material: Material) -> Iterator[Conversation]:
    """Yes and no in turn: a picture is asked about its own class, the next about another's."""
    pool = [one for one in material.histology if one.label("stain")]
    organs = sorted({one.label("organ") for one in pool if one.label("organ")})
    for number, record in enumerate(material.in_turn("verdict", pool)):
        draw = material.draw("verdict", number)
        wanted: Verdict = "yes" if number % 2 == 0 else "no"
        aspect = draw.choice([name for name in ("organ", "category", "stain") if record.label(name)])
        named = _named(record, aspect, wanted, organs, material, number)
        if named is None:
            continue
        opening = draw.choice(OPENINGS)
        text = f"{opening} {named}? {say(QUESTIONS, 'yes or no', draw)}"
        asked = Asked(text, (record,), options=OPTIONS)
        told = material.grounding.facts(asked)
        taken = None if told.choice is None else OPTIONS[told.choice]
        if taken != wanted and not (taken is None and draw.random() < UNSETTLED):
            continue
        first = [f"{wanted.capitalize()}: of the options given, “{wanted}” fits the findings best."] if taken else []
        made = exchange(
            material,
            asked,
            draw,
            told=told,
            most=draw.choice((1, 2)),
            lead=1,
            first=first if draw.random() < 0.3 else (),
        )
        if made is None or (taken and wanted not in made.answer.lower()):
            continue
        one = Exchange(made.question, made.answer, made.facts, made.abstains, verdict=wanted if taken else "")
        yield Conversation("verdict", (one,), (record.picture,), sources_of([record]))


def _named(
    record: Record, aspect: str, wanted: Verdict, organs: list[str], material: Material, number: int
) -> str | None:
    """What is asked about: the record's own class for yes, another for no."""
    own = record.label(aspect)
    draw = material.draw("verdict named", number)
    if aspect == "organ":
        others = [organ for organ in organs if organ != own]
        return f"from the {own if wanted == 'yes' else draw.choice(others)}" if others else None
    phrases = CLASSES[aspect]
    if wanted == "yes":
        return phrases.get(own)
    return draw.choice([phrase for name, phrase in sorted(phrases.items()) if name != own])
