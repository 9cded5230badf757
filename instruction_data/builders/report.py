"""From findings to a report: running text, synoptic lines, and the short version of a report that was written."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ..answering import exchange, standing, worded
from ..conversation import Conversation, Exchange
from ..grammar import capital
from ..grounding import Asked, Fact, Told
from ..material import Made, Material, conversation_of, sources_of
from ..phrases.questions import ask
from ..record import Record

ORDER = ("stain", "organ", "tissue", "category", "disease", "resembles")
"""How a report goes: what it is stained with, where it is from, what it shows."""
WEIGHTY = ("category", "disease", "tissue", "organ", "stain")
"""How a summary goes: what matters most first."""
NAMES = {"category": "Process", "disease": "Lesion", "tissue": "Tissue", "organ": "Organ", "stain": "Stain"}
MEASURES = {
    "nuclei_density": "Nuclear density",
    "nuclear_area": "Median nuclear area",
    "clear_space_share": "Clear space of the tissue",
    "chromogen_share": "Chromogen of the tissue",
}

_HEAD = re.compile(r"^(?:By its colours the stain|The \w+|What is seen) ")


def report(material: Material) -> Made:
    """A paragraph of up to seven sentences, in the order of a report, a limit at its end."""
    for number, record in enumerate(material.in_turn("report", material.histology)):
        draw = material.draw("report", number)
        asked = Asked(ask("report", draw, framed=draw.random() < 0.5), (record,))
        said = _paragraph(material, asked, draw)
        yield conversation_of("report", said, [record])


def fields(material: Material) -> Made:
    """One line a finding, as synoptic reports have it."""
    for number, record in enumerate(material.in_turn("fields", material.histology)):
        draw = material.draw("fields", number)
        asked = Asked(ask("fields", draw, framed=draw.random() < 0.5), (record,))
        told = material.grounding.facts(asked)
        lines = [line for fact in _in_order(told).facts if (line := _line(material, asked, fact, draw))]
        lines += standing(material, asked, "grade", draw) if draw.random() < 0.5 else []
        answer = "\n".join(lines)
        said = Exchange(asked.question, answer, told.lines, told.abstains)
        stands = len(lines) > 1 and material.grounding.objection(asked, answer) is None
        yield conversation_of("fields", said if stands else None, [record])


def summary(material: Material) -> Made:
    """A report, then its short version: of the picture's own findings, with the report in the conversation."""
    for number, record in enumerate(material.in_turn("summary", material.histology)):
        yield _summary(material, record, material.draw("summary", number))


def _summary(material: Material, record: Record, draw: random.Random) -> Conversation | None:
    first = _paragraph(material, Asked(ask("report", draw, framed=False), (record,)), draw)
    if first is None:
        return None
    pasted = draw.random() < 0.4
    question = ask("summary", draw, framed=not pasted)
    text = f"{question}\n{first.answer}" if pasted else question
    asked = Asked(text, (record,), history=() if pasted else (first,))
    told = material.grounding.facts(asked)
    said = exchange(material, asked, draw, told=_in_order(told, WEIGHTY), most=draw.choice((1, 1, 2)), lead=2)
    if said is None or len(said.answer) >= len(first.answer):
        return None
    said = said.with_facts(told.lines)
    exchanges = (said,) if pasted else (first, said)
    return Conversation("summary", exchanges, (record.picture,), sources_of([record]))


def _paragraph(material: Material, asked: Asked, draw: random.Random) -> Exchange | None:
    told = material.grounding.facts(asked)
    last = standing(material, asked, draw.choice(("grade", "advice")), draw) if draw.random() < 0.6 else []
    said = exchange(material, asked, draw, told=_in_order(told), most=draw.choice((4, 5, 6, 7)), lead=3, last=last)
    return None if said is None else said.with_facts(told.lines)


def _in_order(told: Told, order: Sequence[str] = ORDER) -> Told:
    """The facts in this order of their findings; the others behind, as they came."""

    def place(fact: Fact) -> int:
        kind = fact.finding.name.partition(" ")[0] if fact.finding else ""
        return order.index(kind) if kind in order else len(order)

    return Told(tuple(sorted(told.facts, key=place)), told.choice, told.abstains)


def _line(material: Material, asked: Asked, fact: Fact, draw: random.Random) -> str | None:
    """`Organ: consistent with colon (0.97).`, or the fact in words where no such line stands."""
    finding = fact.finding
    line = None
    if finding is not None and fact.kind in ("class", "unclassified"):
        name = NAMES.get(finding.name.partition(" ")[0], "")
        text = _HEAD.sub("", fact.text).removeprefix("is ").replace(" as the organ", "")
        line = f"{name}: {text}" if name else None
    elif finding is not None and finding.name in MEASURES:
        number = re.search(r"\d[\d,]*(?:\.\d+)?", fact.text)
        unit = "%" if finding.unit == "share" else finding.unit
        line = f"{MEASURES[finding.name]}: {number[0]} {unit}." if number else None
    if line and material.grounding.objection(asked, line) is None:
        return line
    if fact.kind in ("coverage", "focus", "unusable"):
        spoken = worded(material, asked, fact, draw)
        return capital(spoken) if spoken else None
    return None
