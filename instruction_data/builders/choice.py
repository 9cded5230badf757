"""Multiple choice: each item comes with its right option at every letter, so that no letter is worth guessing.

What is right is what the findings take, and only where the picture's label agrees; where they take none the answer
says so. Without findings (a quarter of the items) it is the label alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from ..answering import exchange
from ..conversation import Conversation, Exchange
from ..grammar import say
from ..grounding import Asked, Told
from ..material import Made, Material, sources_of
from ..phrases.questions import RULES as QUESTIONS
from ..phrases.questions import ask
from ..record import Record

LETTERS = "ABCDE"
ASPECTS = ("organ", "organ", "category", "category", "stain", "tissue")
SPOKEN = {
    "HE": "H&E",
    "IHC": "immunohistochemistry",
    "normal": "normal tissue",
    "malignant": "malignant tumour",
    "pre-malignant": "pre-malignant lesion",
    "inflammatory/infectious": "inflammation or infection",
}
BLIND = 0.25
"""Share of items without findings: the picture alone."""
UNSETTLED = 0.15
"""Share of items that are kept where the findings take no option."""


def choice(material: Material) -> Made:
    """Items of three or four options; three in all six orders, four with the right one at each letter."""
    pool = [one for one in material.histology if one.is_plain]
    classes = {aspect: sorted({r.label(aspect) for r in pool if r.label(aspect)}) for aspect in set(ASPECTS)}
    for number, record in enumerate(material.in_turn("choice", pool)):
        draw = material.draw("choice", number)
        aspect = draw.choice([name for name in ASPECTS if record.label(name)] or ["stain"])
        right = record.label(aspect)
        wrong = [name for name in classes[aspect] if name != right]
        count = draw.choice((3, 4))
        if not right or len(wrong) < count - 1:
            yield None
            continue
        options = [SPOKEN.get(name, name) for name in (right, *draw.sample(wrong, count - 1))]
        item = _item(material, record, aspect, options, f"choice/{number}", draw)
        yield from item
        if not item:
            yield None


def _item(
    material: Material, record: Record, aspect: str, options: Sequence[str], item: str, draw: random.Random
) -> list[Conversation]:
    """The item's conversations, one an order; none of them unless all can be answered alike."""
    question = ask(aspect, draw, framed=False)
    blind, letter_only = draw.random() < BLIND, draw.random() < 0.4
    closing = say(QUESTIONS, "in order" if letter_only or blind else "option order", draw)
    keep_open = draw.random() < UNSETTLED
    said: list[Exchange] = []
    for order in _orders(options, draw):
        lettered = tuple(f"{letter}) {option}" for letter, option in zip(LETTERS, order, strict=False))
        text = f"{question}\n" + "\n".join(lettered) + f"\n{closing}"
        asked = Asked(text, (record,), options=lettered, by="labels" if blind else "findings")
        told = material.grounding.facts(asked)
        right = order.index(options[0])
        if told.choice != right and not (told.choice is None and keep_open and not blind):
            return []
        answered = _answered(material, asked, told, letter_only or blind, draw)
        if answered is None:
            return []
        said.append(answered)
    sources = sources_of([record])
    return [Conversation("choice", (one,), (record.picture,), sources, item=item) for one in said]


def _orders(options: Sequence[str], draw: random.Random) -> list[list[str]]:
    """Every order of three options; of four the right one at each letter, the others as they fall."""
    if len(options) <= 3:
        return [list(order) for order in permutations(options)]
    orders = []
    for position in range(len(options)):
        rest = draw.sample(list(options[1:]), len(options) - 1)
        orders.append([*rest[:position], options[0], *rest[position:]])
    return orders


def _answered(material: Material, asked: Asked, told: Told, letter_only: bool, draw: random.Random) -> Exchange | None:
    """The letter alone, or a sentence that names the option; a sentence where none is taken."""
    if told.choice is None:
        return exchange(material, asked, draw, told=told, most=draw.choice((1, 2)), lead=1)
    letter = LETTERS[told.choice]
    facts = told.lines if asked.by == "findings" else ()
    if letter_only:
        said = draw.choice((letter, letter, asked.options[told.choice]))
        return Exchange(asked.question, said, facts, letter=letter, options=asked.options)
    taken = tuple(fact for fact in told.facts if fact.kind == "choice")
    ordered = Told((*taken, *(fact for fact in told.facts if fact not in taken)), told.choice)
    made = exchange(material, asked, draw, told=ordered, most=draw.choice((1, 1, 2)), lead=1)
    return None if made is None else replace(made, facts=facts, abstains=False, letter=letter)
