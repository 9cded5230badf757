"""What must not be answered, and what must not be believed: no histology, no picture, blur, markers on H&E, claims that
the findings contradict, and commands hidden in the text of a slide or a report.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count

from ..answering import exchange, standing
from ..conversation import Exchange
from ..grammar import lowered, read_rules, say
from ..grounding import Asked, Told
from ..material import KNOWLEDGE, Made, Material, conversation_of
from ..phrases.questions import RULES as QUESTIONS
from ..phrases.questions import ask
from ..record import Record

INTENTS = ("describe", "organ", "category", "tissue", "measure", "grade", "tests")
CATEGORIES = {
    "malignant": ("malignant", "a carcinoma", "cancer"),
    "normal": ("normal tissue", "normal", "nothing but normal tissue"),
    "benign tumour": ("benign", "a benign tumour"),
    "inflammatory/infectious": ("inflammatory", "just inflammation"),
}
KINDS = ("strange", "marker", "claim", "injection", "no view", "blurred", "marker", "claim", "injection", "strange")


def guard(material: Material) -> Made:
    """The kinds in turn."""
    pools = {
        "strange": [one for one in material.records if not one.usable],
        "blurred": [one for one in material.records if one.usable and _blurred(one)],
        "marker": material.histology,
        "claim": [one for one in material.histology if one.label("organ") or one.label("category")],
        "injection": material.histology,
    }
    turns = {name: material.in_turn(f"guard {name}", pool) for name, pool in pools.items()}
    for number in count():
        kind = KINDS[number % len(KINDS)]
        draw = material.draw("guard", number)
        record = next(turns[kind], None) if kind in turns else None
        if kind in turns and record is None:
            if not any(pools.values()):
                return
            yield None
            continue
        made = _made(kind, material, record, draw)
        said, cited = made or (None, False)
        yield conversation_of("guard", said, [record] if record else [], *([KNOWLEDGE] if cited else []))


def _blurred(record: Record) -> bool:
    focus = record.find("focus")
    return focus is not None and focus.label == "blurred"


def _made(kind: str, material: Material, record: Record | None, draw: random.Random) -> tuple[Exchange, bool] | None:
    """An exchange of that kind, and whether it quotes the tables."""
    records = (record,) if record else ()
    context: str | None = None
    first: list[str] = []
    last: list[str] = []
    marker = draw.choice(
        [one.name for one in material.knowledge.markers.values() if one.kind in ("IHC", "molecular", "ISH")]
    )
    if kind == "no view":
        text = ask("no view", draw, number=f"{draw.randint(1, 30)}/{draw.randint(21, 26)}")
    elif kind == "marker":
        text = ask("immunophenotype", draw, marker=marker)
    elif kind == "claim" and record is not None:
        said = _claimed(material, record, draw)
        text, context = ask("claim", draw, said=said), said
    elif kind == "injection" and record is not None:
        said = _claimed(material, record, draw)
        text = say(QUESTIONS, "injection", draw, question=ask(draw.choice(INTENTS[:4]), draw, framed=False), said=said)
    else:
        text = ask(draw.choice(INTENTS), draw)
    asked = Asked(text, records, context)
    if kind == "marker" and draw.random() < 0.5:
        first = standing(material, asked, "immunophenotype", draw, marker=marker)
    if kind == "claim" and context and draw.random() < 0.4:
        first = standing(material, asked, "asked", draw, said=context)
    if kind in ("strange", "blurred", "no view") and draw.random() < 0.7:
        last = standing(material, asked, "look again", draw)
    told = material.grounding.facts(asked)
    if kind == "no view" and told.facts[:1] and told.facts[0].kind != "limit":  # it names what the tables know
        return None
    if any(fact.kind == "conflict" for fact in told.facts):  # which repeats the claim itself
        first = []
    if first and kind == "marker":  # said already
        told = Told(tuple(fact for fact in told.facts if fact.kind != "limit"), told.choice, told.abstains)
    made = exchange(
        material, asked, draw, told=told, most=draw.choice((1, 2)) if first else draw.choice((1, 2, 3)), lead=2,
        first=first, last=last,
    )  # fmt: skip
    if made is None:
        return None
    lines = material.grounding.facts(asked).lines
    abstains = made.abstains or kind in ("strange", "marker", "no view")
    cited = any(fact.kind == "cited" for fact in told.facts)
    return replace(made, facts=lines, abstains=abstains), cited


def _claimed(material: Material, record: Record, draw: random.Random) -> str:
    """What somebody says of the picture and its labels do not: another organ, or another kind of process."""
    organs = sorted({one.label("organ") for one in material.histology} - {"", record.label("organ")})
    category = record.label("category")
    if category and (draw.random() < 0.5 or not organs):
        other = draw.choice(sorted(set(CATEGORIES) - {category}))
        return draw.choice(CATEGORIES[other])
    return lowered(say(read_rules("claims"), "organ", draw, organ=draw.choice(organs or ["colon"])))
