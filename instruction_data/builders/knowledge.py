"""Text without a picture: diagnoses, markers, staining figures and rules of the tables, quoted word for word."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

from ..conversation import Conversation, Exchange
from ..grounding import Asked, Passage
from ..knowledge import Entity, Knowledge, Marker, Rate
from ..material import KNOWLEDGE, Made, Material
from ..phrases.questions import ask

TABLES = "knowledge tables"
DISTRACTORS = 2
"""Most further passages that stand beside the one asked for: the right one has to be found."""
Put = tuple[str, tuple[Passage, ...], tuple[str, ...]]
"""A question, the passages before it, and what its answer quotes."""


def knowledge(material: Material) -> Made:
    """Entities, markers, figures, rules and pairs in turn, each item once with each way to ask that is drawn."""
    tables = material.knowledge
    makers = (_entity, _marker, _rate, _rule, _between, _rate)
    for number in count():
        draw = material.draw("knowledge", number)
        made = makers[number % len(makers)](tables, draw)
        if made is None:
            yield None
            continue
        question, passages, quoted = made
        asked = Asked(question, passages=passages)
        told = material.grounding.facts(asked)
        lines = tuple(dict.fromkeys(fact.text for fact in told.facts if fact.kind == "cited"))
        answer = " ".join(quoted) if quoted else _first_cited(lines)
        if not answer or material.grounding.objection(asked, answer) is not None:
            yield None
            continue
        item = f"knowledge/{number % len(makers)}/{quoted[0] if quoted else answer}"
        yield Conversation("knowledge", (Exchange(question, answer, lines),), (), (KNOWLEDGE,), item=item)


def _first_cited(lines: Sequence[str]) -> str:
    return lines[0] if lines else ""


def _entity(tables: Knowledge, draw: random.Random) -> Put:
    entity = draw.choice(tables.diagnoses)
    return ask("entity", draw, name=_named(entity, draw)), (), ()


def _named(entity: Entity, draw: random.Random) -> str:
    return draw.choice((entity.name, entity.name, *[name for name in entity.synonyms if len(name) > 3]))


def _marker(tables: Knowledge, draw: random.Random) -> Put:
    marker = draw.choice(list(tables.markers.values()))
    return ask("marker", draw, name=marker.name), (), ()


def _rate(tables: Knowledge, draw: random.Random) -> Put:
    """A sourced figure, beside figures of the same marker or diagnosis."""
    sourced = [rate for rate in tables.rates.values() if rate.sourced and not tables.entities[rate.entity].is_group]
    rate = draw.choice(sourced)
    near = [one for one in sourced if one is not rate and (one.entity == rate.entity or one.marker == rate.marker)]
    others = draw.sample(near, min(draw.randint(0, DISTRACTORS), len(near)))
    passages = [_passage(tables, one) for one in draw.sample([rate, *others], 1 + len(others))]
    entity, marker = tables.entities[rate.entity], tables.markers[rate.marker]
    question = ask("rate", draw, marker=marker.name, name=entity.name)
    return question, tuple(passages), (_passage(tables, rate).text,)


def _passage(tables: Knowledge, rate: Rate) -> Passage:
    entity, marker = tables.entities[rate.entity], tables.markers[rate.marker]
    source = "; ".join(tables.sources[id].citation for id in rate.sources) or TABLES
    return Passage(f"{marker.name} in {_in_sentence(entity)}: {rate.words()}.", source, (marker.name, entity.name))


def _rule(tables: Knowledge, draw: random.Random) -> Put:
    rule = draw.choice(tables.rules)
    others = [one for one in tables.rules if one is not rule and one.kind == rule.kind]
    chosen = draw.sample([rule, *draw.sample(others, draw.randint(0, DISTRACTORS))], 1)
    passages = [Passage(_ruled(one.when, one.then), one.source) for one in dict.fromkeys((rule, *chosen))]
    draw.shuffle(passages)
    return ask("rule", draw, when=rule.when), tuple(passages), (_ruled(rule.when, rule.then),)


def _ruled(when: str, then: str) -> str:
    return f"When {when[:1].lower() + when[1:] if not when[1:2].isupper() else when}: {then.rstrip('.')}."


def _between(tables: Knowledge, draw: random.Random) -> Put | None:
    """Two look-alikes and the marker whose sourced figures lie furthest apart."""
    entity = draw.choice([one for one in tables.diagnoses if tables.lookalikes(one.id)])
    other = draw.choice(tables.lookalikes(entity.id))
    apart: list[tuple[float, Marker, Rate, Rate]] = []
    for id in tables.markers_of(entity.id):
        mine, its = tables.rate(entity.id, id), tables.rate(other.id, id)
        if mine is not None and its is not None and mine.sourced and its.sourced:
            apart.append((abs(mine.mean - its.mean), tables.markers[id], mine, its))
    if not apart:
        return None
    gap, marker, mine, its = max(apart, key=lambda row: (row[0], row[1].id))
    if gap < 0.3:
        return None
    text = (
        f"{marker.name} would help to separate them: {mine.words()} in {_in_sentence(entity)}; "
        f"{its.words()} in {_in_sentence(other)}."
    )
    source = "; ".join(tables.sources[id].citation for id in dict.fromkeys((*mine.sources, *its.sources)))
    names = f"{entity.name} and {other.name}"
    return ask("between", draw, names=names), (Passage(text, source, (marker.name,)),), (text,)


def _in_sentence(entity: Entity) -> str:
    name = entity.name
    return name if name[1:2].isupper() or "'" in name.split()[0] else name[:1].lower() + name[1:]
