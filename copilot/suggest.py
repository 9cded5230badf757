"""From what was seen, or from named candidates, to a plan of ancillary tests."""

from __future__ import annotations

from collections.abc import Sequence

from instruction_data.knowledge import Knowledge, load_knowledge
from vision_encoder.observation import Observation

from .ancillary import suggest_tests
from .differential import differential
from .test_plan import TestPlan


def plan_tests(
    knowledge: Knowledge,
    observations: Sequence[Observation],
    *,
    context: str | None = None,
    given: Sequence[str] = (),
) -> TestPlan:
    """The plan for the differential that the observations and the context give; given candidates replace it."""
    candidates = differential(observations, context=context, given=given, knowledge=knowledge)
    named = [(candidate.entity_id, candidate.probability) for candidate in candidates]
    if given and not observations:
        named = [(name, 0.0) for name in given]
    return suggest_tests(knowledge, named, context=context)


def suggest_for(given: Sequence[str], *, context: str | None = None) -> TestPlan:
    """The plan between named candidates, without a slide and without loading any model."""
    return suggest_tests(load_knowledge(), [(name, 0.0) for name in given], context=context)
