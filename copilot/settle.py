"""What would settle the differential, and what the tables know of the things a question names; each with its source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from instruction_data.knowledge import Entity, Knowledge, Marker

from .ancillary import suggest_tests
from .check import Cited
from .differential import Candidate
from .statements import Statement, listed
from .test_plan import PlannedTest, TestPlan

TEXTBOOK = "knowledge tables: textbook knowledge in own words, unchecked"
MOST_CANDIDATES = 4
LONGEST_NAME = 5
"""Words of the longest name that is looked for in a question."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Statements from the tables, and the same texts as citations for the checker."""

    statements: tuple[Statement, ...] = ()
    cited: tuple[Cited, ...] = ()


def settle(
    knowledge: Knowledge, candidates: Sequence[Candidate], *, context: str | None, asked: bool = False
) -> Settled:
    """Which test separates the leading candidates best; up to three where the question asks for tests."""
    leading = candidates[:MOST_CANDIDATES]
    if len(leading) < 2:
        return Settled()
    plan = suggest_tests(knowledge, [(c.entity_id, c.probability) for c in leading], context=context, limit=4)
    said = [Cited(_considered(plan), TEXTBOOK, tuple(c.entity.id for c in plan.candidates))]
    said += [_test(test, plan) for test in plan.tests[: 3 if asked else 1]]
    if not plan.tests:
        said.append(Cited(plan.headline, TEXTBOOK))
    return _settled(said)


def entries(knowledge: Knowledge, text: str) -> Settled:
    """What the tables say of the markers and diagnoses that a question names."""
    said = [Cited(_marker(m), TEXTBOOK, (m.id, m.name)) for m in _named_markers(knowledge, text)]
    said += [Cited(_entity(e, knowledge), TEXTBOOK, (e.id, e.name)) for e in _named_entities(knowledge, text)]
    return _settled(said)


def _settled(said: Sequence[Cited]) -> Settled:
    return Settled(tuple(Statement((c.text,), sources=(c.source,)) for c in said), tuple(said))


def _considered(plan: TestPlan) -> str:
    names = [candidate.entity.name for candidate in plan.candidates]
    return f"With this picture the differential to settle is {listed(names)}."


def _test(test: PlannedTest, plan: TestPlan) -> Cited:
    most, least = test.cell(test.most), test.cell(test.least)
    figures = [
        f"{'no figure' if cell.rate is None else cell.rate.words()} in {cell.entity.name}" for cell in (most, least)
    ]
    text = f"{test.marker.name} would help to separate them: {figures[0]}, {figures[1]}."
    ids = dict.fromkeys(id for cell in (most, least) if cell.rate is not None for id in cell.rate.sources)
    source = "; ".join(plan.sources[id].citation for id in ids) or "no source: typical behaviour, textbook knowledge"
    return Cited(text, source, (test.marker.id, test.marker.name, test.most.id, test.least.id))


def _marker(marker: Marker) -> str:
    return f"{marker.name} ({marker.kind}) shows {marker.shows.rstrip('.')}; mind: {marker.pitfalls.rstrip('.')}."


def _entity(entity: Entity, knowledge: Knowledge) -> str:
    likes = listed([other.name for other in knowledge.lookalikes(entity.id)[:4]])
    seen = ", ".join(entity.keywords)
    return f"{entity.name}: {seen}" + (f"; it is confused with {likes}." if likes else ".")


def _spans(text: str) -> list[str]:
    """Runs of words of a text, longest first."""
    words = re.findall(r"[\w&/+-]+", text)
    return [
        " ".join(words[i : i + n])
        for n in range(min(LONGEST_NAME, len(words)), 0, -1)
        for i in range(len(words) - n + 1)
    ]


def _named_markers(knowledge: Knowledge, text: str) -> list[Marker]:
    found = {m.id: m for span in _spans(text) if len(span) > 1 and (m := knowledge.find_marker(span)) is not None}
    return list(found.values())[:3]


def _named_entities(knowledge: Knowledge, text: str) -> list[Entity]:
    found = {e.id: e for span in _spans(text) if len(span) > 3 and (e := knowledge.find_entity(span)) is not None}
    return list(found.values())[:2]
