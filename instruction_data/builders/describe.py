"""A picture and what its labels say, without findings: for aligning a projector."""

from __future__ import annotations

import random

from ..conversation import Conversation, Exchange
from ..grammar import Rules, capital, read_rules, say
from ..grounding import Asked
from ..material import Made, Material, sources_of
from ..phrases.questions import ask
from ..record import Record

RULES: Rules = read_rules("labels")
WORDS = {
    "HE": "H&E",
    "malignant": "malignant",
    "benign tumour": "a benign tumour",
    "normal": "normal",
    "inflammatory/infectious": "inflammatory or infectious",
    "pre-malignant": "pre-malignant",
    "brain/CNS": "brain",
    "salivary": "salivary gland",
    "esophagus": "oesophagus",
    "fallopian tube/adnexa": "fallopian tube",
}
LABELS = ("stain", "organ", "category", "tissue", "disease")
TRIES = 6


def describe(material: Material) -> Made:
    """Short descriptions by label; of a tile sampled from a whole slide the diagnosis is said as the case's."""
    labelled = [one for one in material.histology if one.label("organ") and one.is_plain]
    for number, record in enumerate(material.in_turn("describe", labelled)):
        draw = material.draw("describe", number)
        asked = Asked(ask("describe", draw), (record,), by="labels")
        said = [
            sentence for pattern in _patterns(record, draw) if (sentence := _standing(material, asked, pattern, draw))
        ]
        answer = Exchange(asked.question, " ".join(said))
        told = Conversation("describe", (answer,), (record.picture,), sources_of([record]), stage="align")
        yield told if said else None


def _patterns(record: Record, draw: random.Random) -> list[str]:
    """The rules to say, in order: together or one by one."""
    disease = "case" if record.case else "disease"
    if draw.random() < 0.5:
        parts = ["stain organ"]
        parts += [disease] if record.label("disease") else ["category"] if record.label("category") else []
    else:
        parts = ["stain", f"{disease} organ"] if record.label("disease") else ["stain", "organ"]
    if record.label("tissue"):
        parts.append("tissue")
    elif record.label("category") and draw.random() < 0.4:
        parts.append("category")
    return list(dict.fromkeys(parts))


def _standing(material: Material, asked: Asked, rule: str, draw: random.Random) -> str | None:
    record = asked.records[0]
    values = {name: WORDS.get(record.label(name), record.label(name)) for name in LABELS}
    values["a"] = "an" if values["stain"][:1] in "HIaeiou" else "a"
    if any(f"{{{name}}}" in template and not values[name] for name in LABELS for template in RULES[rule]):
        return None
    for _ in range(TRIES):
        sentence = capital(say(RULES, rule, draw, **values))
        if material.grounding.objection(asked, sentence) is None:
            return sentence
    return None
