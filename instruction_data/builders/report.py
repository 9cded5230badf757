"""From findings to a report: running text, synoptic lines, and the short version of a report that was written."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from ..answering import exchange, standing, worded
from ..conversation import Conversation, Exchange
from ..grammar import capital
from ..grounding import Asked, Fact, Told
from ..material import Material, sources_of
from ..phrases.questions import ask

ORDER = ("stain", "organ", "tissue", "category", "disease", "resembles")
"""How a report goes: what it is stained with, where it is from, what it shows."""
NAMES = {"category": "Process", "disease": "Lesion", "tissue": "Tissue", "organ": "Organ", "stain": "Stain"}
MEASURES = {
    "nuclei_density": "Nuclear density",
    "nuclear_area": "Median nuclear area",
    "clear_space_share": "Clear space of the tissue",
    "chromogen_share": "Chromogen of the tissue",
}


def report(material: Material) -> Iterator[Conversation]:
    """A paragraph of up to seven sentences, in the order of a report, a limit at its end."""
    for number, record in enumerate(material.in_turn("report", material.histology)):
        draw = material.draw("report", number)
        asked = Asked(ask("report", draw, framed=draw.random() < 0.5), (record,))
        said = _paragraph(material, asked, draw)
        if said is not None:
            yield Conversation("report", (said,), (record.picture,), sources_of([record]))


def fields(material: Material) -> Iterator[Conversation]:
    """One line a finding, as synoptic reports have it."""
    for number, record in enumerate(material.in_turn("fields", material.histology)):
        draw = material.draw("fields", number)
        asked = Asked(ask("fields", draw, framed=draw.random() < 0.5), (record,))
        told = _in_order(material.grounding.facts(asked))
        lines = [line for fact in told.facts if (line := _line(material, asked, fact, draw))]
        lines += standing(material, asked, "grade", draw) if draw.random() < 0.5 else []
        answer = "\n".join(lines)
        if len(lines) > 1 and material.grounding.objection(asked, answer) is None:
            lines_before = material.grounding.facts(asked).lines
            said = Exchange(asked.question, answer, lines_before, told.abstains)
            yield Conversation("fields", (said,), (record.picture,), sources_of([record]))


def summary(material: Material) -> Iterator[Conversation]:
    """A report, then its short version: of the picture's own findings, with the report in the conversation."""
    for number, record in enumerate(material.in_turn("summary", material.histology)):
        draw = material.draw("summary", number)
        first = _paragraph(material, Asked(ask("report", draw, framed=False), (record,)), draw)
        if first is None:
            continue
        pasted = draw.random() < 0.4
        question = ask("summary", draw, framed=not pasted)
        if pasted:
            asked = Asked(f"{question}\n{first.answer}", (record,))
        else:
            asked = Asked(question, (record,), history=(first,))
        said = exchange(material, asked, draw, most=draw.choice((1, 1, 2)), lead=2)
        if said is not None and len(said.answer) < len(first.answer):
            exchanges = (said,) if pasted else (first, said)
            yield Conversation("summary", exchanges, (record.picture,), sources_of([record]))


def _paragraph(material: Material, asked: Asked, draw: random.Random) -> Exchange | None:
    told = material.grounding.facts(asked)
    last = standing(material, asked, draw.choice(("grade", "advice")), draw) if draw.random() < 0.6 else []
    said = exchange(material, asked, draw, told=_in_order(told), most=draw.choice((4, 5, 6, 7)), lead=3, last=last)
    return None if said is None else Exchange(said.question, said.answer, told.lines, told.abstains)


def _in_order(told: Told) -> Told:
    """The facts as a report has them; the others behind, as they came."""

    def place(fact: Fact) -> int:
        kind = fact.finding.name.partition(" ")[0] if fact.finding else ""
        return ORDER.index(kind) if kind in ORDER else len(ORDER)

    return Told(tuple(sorted(told.facts, key=place)), told.choice, told.abstains)


def _line(material: Material, asked: Asked, fact: Fact, draw: random.Random) -> str | None:
    """`Organ: consistent with colon (0.97).`, or the fact in words where no such line stands."""
    finding = fact.finding
    line = None
    if finding is not None and fact.kind in ("class", "unclassified"):
        name = NAMES.get(finding.name.partition(" ")[0], "")
        text = re.sub(r"^(?:By its colours the stain|The \w+|What is seen) ", "", fact.text).removeprefix("is ")
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
