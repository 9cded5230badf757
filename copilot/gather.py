"""Everything an answer may draw on, gathered from what was seen before the first word is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slides import Evidence

from .answer import Question
from .check import Ground
from .choose import Choice, choose_option
from .differential import conflicts, differential
from .plan import Plan
from .say import Material
from .settle import entries, settle
from .statements import Seen
from .wording import chosen

if TYPE_CHECKING:
    from instruction_data.knowledge import Knowledge

    from .language.model import LanguageModel


def gather(
    question: Question,
    todo: Plan,
    seen: Sequence[Seen],
    evidence: Sequence[Evidence],
    *,
    knowledge: Knowledge,
    language: LanguageModel | None,
) -> tuple[Material, Ground, Choice | None]:
    """What may be said: observations, conflicts with the context, the choice, what would settle it."""
    observations = [s.observation for s in seen]
    told = list(evidence)
    choice = None
    statement = None
    if question.options and observations:
        choice = choose_option(question.options, observations, question, language=language, knowledge=knowledge)
        statement, finding = chosen(question.options, choice, len(told))
        told.append(Evidence(observations[0].slide, observations[0].region, observations[0].mpp, finding))
    candidates = differential(observations, context=question.context, knowledge=knowledge) if observations else ()
    settled = settle(
        knowledge,
        candidates,
        observations,
        context=question.context,
        asked=todo.wants("tests", "immunophenotype"),
    )
    named = entries(knowledge, question.text) if todo.wants("knowledge", "tests", "immunophenotype") else None
    cited = settled.cited + (named.cited if named else ())
    material = Material(
        seen=tuple(seen),
        conflicts=conflicts(observations, question.context) if question.context else (),
        settling=settled.statements,
        choice=statement,
        entries=named.statements if named else (),
    )
    return material, Ground(tuple(told), cited, question, tuple(observations)), choice
