"""What would settle the differential, and what the tables know of the things a question names; each with its source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from instruction_data.knowledge import Entity, Knowledge, Marker
from vision_encoder.observation import Observation

from .ancillary import suggest_tests
from .certainty import certainty
from .check import Cited
from .differential import Candidate
from .meaning import organs_in
from .statements import Statement, listed
from .test_plan import PlannedTest, TestPlan

TEXTBOOK = "knowledge tables: textbook knowledge in own words, unchecked"
MOST_CANDIDATES = 4
STANDS_OUT = 1.25
"""How much likelier than the next the last of the leading candidates must be."""
EPONYMS = frozenset(
    [
        "Arias-Stella",
        "Barrett",
        "Burkitt",
        "Candida",
        "Crohn",
        "Ewing",
        "Graves",
        "Hashimoto",
        "Helicobacter",
        "Hodgkin",
        "IgA",
        "Kaposi",
        "Kikuchi",
        "Merkel",
        "Mycobacterium",
        "Pneumocystis",
        "Sertoli-Leydig",
        "Spitz",
        "T-lymphoblastic",
        "Toxoplasma",
        "Whipple",
        "Wilson",
    ]
)
LONGEST_NAME = 5
"""Words of the longest name that is looked for in a question."""
ORDINARY = frozenset(["arms", "flow", "gram", "he", "levels", "mash", "nut", "past", "pole", "read"])
"""Codes of the tables that are words as well: a name only in capitals, as in READ, rectal adenocarcinoma."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Statements from the tables, and the same texts as citations for the checker."""

    statements: tuple[Statement, ...] = ()
    cited: tuple[Cited, ...] = ()


def settle(
    knowledge: Knowledge,
    candidates: Sequence[Candidate],
    observations: Sequence[Observation],
    *,
    context: str | None,
    asked: bool = False,
) -> Settled:
    """Which test separates the leading candidates best; up to three where the question asks for tests.

    Nothing where neither a finding that stands nor a diagnosis in the request carries the differential.
    """
    asked_about = _named_entities(knowledge, context or "", organs_in(context or ""))
    if asked_about:
        named = [(entity.id, 1.0 / len(asked_about)) for entity in asked_about]
    elif _kind_stands(observations):
        named = [(candidate.entity_id, candidate.probability) for candidate in _leading(candidates)]
    else:
        return Settled()
    if len(named) == 1:  # one diagnosis stands out: what it is confused with is what there is to settle
        likes = knowledge.lookalikes(named[0][0])[: MOST_CANDIDATES - 1]
        named += [(like.id, named[0][1] / (1 + len(likes))) for like in likes]
    if len(named) < 2:
        return Settled()
    plan = suggest_tests(knowledge, named, context=context, limit=4)
    if not plan.tests and not asked_about:  # a picture alone is no ground for "no test is needed"
        return Settled()
    return planned(plan, "request" if asked_about else "picture", most=3 if asked else 1)


def planned(plan: TestPlan, origin: str, *, most: int = 3) -> Settled:
    """A plan's differential, which its `origin` gave, and up to `most` of its tests as statements."""
    said = [Cited(_considered(plan, origin), TEXTBOOK, tuple(c.entity.id for c in plan.candidates))]
    said += [_test(test, plan) for test in plan.tests[:most]]
    if not plan.tests:
        said.append(Cited(plan.headline, TEXTBOOK))
    return _settled(said)


def _kind_stands(observations: Sequence[Observation]) -> bool:
    """True where a finding says what kind of process it is."""
    found = [item.finding for seen in observations for item in seen.evidence]
    kinds = [finding for finding in found if finding.name.partition(" ")[0] in ("category", "disease")]
    return any(certainty(kind.probability or 0.0, abstained=kind.abstained) != "not classified" for kind in kinds)


def _leading(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The candidates that stand out from the rest; none where many are as likely, since any cut would be arbitrary."""
    named = [candidate for candidate in candidates if candidate.entity_id]
    for count in range(min(MOST_CANDIDATES, len(named) - 1), 0, -1):
        if named[count - 1].probability >= STANDS_OUT * named[count].probability:
            return named[:count]
    return ()


def entries(knowledge: Knowledge, text: str) -> Settled:
    """What the tables say of the markers and diagnoses that a question names."""
    said = [Cited(_marker(m), TEXTBOOK, (m.id, m.name)) for m in _named_markers(knowledge, text)]
    said += [Cited(_entity(e, knowledge), TEXTBOOK, (e.id, e.name)) for e in _named_entities(knowledge, text)]
    return _settled(said)


def _settled(said: Sequence[Cited]) -> Settled:
    return Settled(tuple(Statement((c.text,), sources=(c.source,)) for c in said), tuple(said))


def _considered(plan: TestPlan, origin: str) -> str:
    names = "; ".join(_in_sentence(candidate.entity.name) for candidate in plan.candidates)
    return f"By the {origin}, the differential to settle is: {names}."


def _test(test: PlannedTest, plan: TestPlan) -> Cited:
    cells = (test.cell(test.most), test.cell(test.least))
    high, low = (
        f"{'no figure' if cell.rate is None else cell.rate.words()} in {_in_sentence(cell.entity.name)}"
        for cell in cells
    )
    ids = dict.fromkeys(id for cell in cells if cell.rate is not None for id in cell.rate.sources)
    source = "; ".join(plan.sources[id].citation for id in ids) or "no source: typical behaviour, textbook knowledge"
    about = (test.marker.id, test.marker.name, test.most.id, test.least.id)
    return Cited(f"{test.marker.name} would help to separate them: {high}; {low}.", source, about)


def _in_sentence(name: str) -> str:
    """A name as it stands inside a sentence: a capital that only begins it is dropped."""
    return name if name[1:2].isupper() or name.split()[0] in EPONYMS else f"{name[:1].lower()}{name[1:]}"


def _marker(marker: Marker) -> str:
    return f"{marker.name} shows: {marker.shows.rstrip('.')}. Mind: {marker.pitfalls.rstrip('.')}."


def _entity(entity: Entity, knowledge: Knowledge) -> str:
    likes = listed([other.name for other in knowledge.lookalikes(entity.id)[:4]])
    seen = ", ".join(entity.keywords)
    return f"{entity.name}: {seen}" + (f"; it is confused with {likes}." if likes else ".")


def _spans(text: str) -> list[str]:
    """Runs of words of a text, longest first, without single words that are codes only in capitals."""
    words = re.findall(r"[\w&/+-]+", text)
    spans = [
        " ".join(words[i : i + n])
        for n in range(min(LONGEST_NAME, len(words)), 0, -1)
        for i in range(len(words) - n + 1)
    ]
    return [span for span in spans if span.lower() not in ORDINARY or span.isupper()]


def _named_markers(knowledge: Knowledge, text: str) -> list[Marker]:
    found = {m.id: m for span in _spans(text) if len(span) > 1 and (m := knowledge.find_marker(span)) is not None}
    told = [
        marker for marker in found.values() if marker.kind != "routine"
    ]  # "on this H&E" asks about what else is named
    return (told or list(found.values()))[:3]


def _named_entities(knowledge: Knowledge, text: str, organs: frozenset[str] = frozenset()) -> list[Entity]:
    """Diagnoses that a text names; with one organ, a general name (carcinoma) is read as of that organ."""
    found: dict[str, Entity] = {}
    prefixes = [f"{organ} " for organ in organs] if len(organs) == 1 else []
    read: list[str] = []
    for span in _spans(text):
        if len(span) <= 3 or any(span in longer for longer in read):
            continue
        hits = (knowledge.find_entity(prefix + span) for prefix in prefixes if not organs & organs_in(span))
        entity = next((hit for hit in hits if hit is not None), None) or knowledge.find_entity(span)
        if entity is not None:
            read.append(span)
            found.setdefault(entity.id, entity)
    return list(found.values())[:2]
