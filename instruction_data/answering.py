"""An answer from the facts of a question: which are said, in which words, and that the checker lets each stand."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .conversation import Exchange
from .grammar import capital, say
from .grounding import Asked, Fact, Kind, Told
from .material import Material
from .phrases.answers import RULES, joined, reworded

TRIES = 8
LONGEST = 95
"""Words of an answer: what is left out the copilot says by its template."""
SAID: dict[Kind, float] = {"measure": 0.7, "likeness": 0.6, "coverage": 0.5, "note": 0.25, "cited": 0.9}
"""How often a fact that was not asked for is said, by kind; others always, while there is room."""
ASKED_FOR = 2
"""Facts at the head that answer the question itself and are always said."""


def exchange(
    material: Material,
    asked: Asked,
    draw: random.Random,
    *,
    told: Told | None = None,
    most: int | None = None,
    first: Sequence[str] = (),
    last: Sequence[str] = (),
    lead: int = ASKED_FOR,
) -> Exchange | None:
    """The question with its facts and an answer from them; None where there is nothing to say.

    Parameters
    ----------
    told : the facts, where they are known already
    most : sentences from facts, drawn between 2 and 5 where None
    first, last : sentences before and behind; one that the checker strikes is left out
    lead : facts at the head that are never left out
    """
    told = told or material.grounding.facts(asked)
    sentences = [one for one in first if material.grounding.objection(asked, one) is None]
    room = most if most is not None else draw.choice((2, 3, 3, 4, 4, 5))
    facts: list[str] = []
    words = sum(len(one.split()) for one in sentences)
    for position, fact in enumerate(told.facts):
        if room <= 0 or words > LONGEST:
            break
        if position >= lead and draw.random() > SAID.get(fact.kind, 1.0):
            continue
        sentence = worded(material, asked, fact, draw)
        if sentence is None:
            continue
        facts.append(sentence)
        words += len(sentence.split())
        room -= 1
    behind = [one for one in last if material.grounding.objection(asked, one) is None]
    answer = _together(material, asked, (sentences, facts, behind), draw)
    if answer is None:
        return None
    lines, abstains = told.lines, told.abstains
    return Exchange(asked.question, answer, lines, abstains, context=asked.context, options=asked.options)


def worded(material: Material, asked: Asked, fact: Fact, draw: random.Random) -> str | None:
    """The fact in words that stand: its line, or other words that the checker accepts; None where none does."""
    if fact.kind != "cited" and draw.random() >= material.verbatim:
        for _ in range(TRIES):
            sentence = capital(reworded(fact, draw))
            if material.grounding.objection(asked, sentence) is None:
                return sentence
    return fact.text if material.grounding.objection(asked, fact.text) is None else None


def standing(material: Material, asked: Asked, rule: str, draw: random.Random, **values: str) -> list[str]:
    """One sentence of a rule of `phrases.answers` that stands, in a list; empty where no draw does."""
    for _ in range(TRIES):
        sentence = say(RULES, rule, draw, **values)
        if material.grounding.objection(asked, sentence) is None:
            return [sentence]
    return []


def _together(
    material: Material, asked: Asked, parts: tuple[list[str], list[str], list[str]], draw: random.Random
) -> str | None:
    """What stands before, the facts, what stands behind, as one text that stands as a whole."""
    before, facts, behind = parts
    for _ in range(TRIES):
        text = " ".join([*before, *([joined(facts, draw)] if facts else []), *behind])
        if text and material.grounding.objection(asked, text) is None:
            return text
    plain = " ".join([*before, *facts, *behind])
    return plain if plain and material.grounding.objection(asked, plain) is None else None
