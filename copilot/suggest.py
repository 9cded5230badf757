"""From what was seen, or from named candidates, to a plan of ancillary tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from instruction_data.knowledge import Knowledge, load_knowledge, stated_results
from slides import UsageError
from vision_encoder.observation import Observation

from .ancillary import Result, suggest_tests
from .differential import differential
from .quoting import one_line
from .test_plan import TestPlan

PANEL = 6
"""Most tests of a plan, unless somebody says otherwise."""


def plan_tests(
    knowledge: Knowledge,
    observations: Sequence[Observation],
    *,
    context: str | None = None,
    given: Sequence[str] = (),
    known_results: Mapping[str, Result] | None = None,
    limit: int = PANEL,
) -> TestPlan:
    """The plan for the differential that the observations and the context give; given candidates replace it."""
    candidates = differential(observations, context=context, given=given, knowledge=knowledge)
    named = [(candidate.entity_id, candidate.probability) for candidate in candidates]
    if given and not observations:
        named = [(name, 0.0) for name in given]
    return suggest_tests(knowledge, named, context=context, known_results=known_results, limit=limit)


def suggest_for(
    given: Sequence[str],
    *,
    context: str | None = None,
    known_results: Mapping[str, Result] | None = None,
    limit: int = PANEL,
) -> TestPlan:
    """The plan between named candidates, without a slide and without loading any model."""
    named = [(name, 0.0) for name in given]
    return suggest_tests(load_knowledge(), named, context=context, known_results=known_results, limit=limit)


def parse_results(knowledge: Knowledge, given: Sequence[str]) -> dict[str, Result]:
    """Marker id → result, from texts such as `CK20=positive`, `MLH1=lost`, `p53=wild type`.

    Raises `UsageError` for a text of another form, a marker that the tables do not hold, or a result that decides
    nothing (focal, pending).
    """
    found: dict[str, Result] = {}
    for text in given:
        name, sign, value = text.partition("=")
        marker = knowledge.find_marker(name.strip())
        if not sign or not value.strip():
            raise UsageError(
                f'a result is written MARKER=RESULT, for instance "CK20=positive", not {one_line(text, 60)}'
            )
        if marker is None:
            raise UsageError(f"“{one_line(name, 60)}” names no test of the tables: write it as on the stain's label")
        read = [r for r in stated_results(knowledge, f"{marker.name} {value}") if r.marker == marker.id]
        if not read or read[0].value is None:
            why = f" ({read[0].reason})" if read and read[0].reason else ""
            words = "lost or retained" if marker.result == "loss" else f"{marker.result} or negative"
            raise UsageError(f"{marker.name}: “{one_line(value, 60)}” is no result to weigh{why}: say {words}")
        found[marker.id] = read[0].value
    return found
