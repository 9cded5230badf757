"""What every builder makes stands before the copilot's own checker, copies its figures and keeps its sources."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import pytest

from copilot.instructions.grounding import CopilotGrounding
from copilot.terms import MARKER
from instruction_data.build import Built, build
from instruction_data.builders import BUILDERS
from instruction_data.checks import HeldOut, faults, letters, numbers, run_checks, schema, supported
from instruction_data.conversation import Conversation
from instruction_data.knowledge import load_knowledge
from instruction_data.material import Material

from .made_records import records

TRIES = 16
FEWEST = {"choice": 6, "verdict": 3, "case_text": 0}
"""Conversations out of sixteen tries, half of them where nothing is said."""


@pytest.fixture(scope="module")
def material() -> Material:
    knowledge = load_knowledge()
    return Material(records(), knowledge, CopilotGrounding(knowledge), 7)


@pytest.fixture(scope="module")
def made(material: Material) -> Mapping[str, list[Conversation]]:
    return {name: [one for one in islice(make(material), TRIES) if one] for name, make in BUILDERS.items()}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_builder_brings_conversations_of_sound_form(name: str, made: Mapping[str, list[Conversation]]) -> None:
    assert len(made[name]) >= FEWEST.get(name, TRIES // 2)
    for one in made[name]:
        assert one.builder == name
        assert not list(faults(one)), one
    assert numbers(made[name]).holds, numbers(made[name]).told
    assert schema(made[name]).holds


@pytest.mark.parametrize("name", BUILDERS)
def test_every_answer_stands_before_the_checker(
    name: str, made: Mapping[str, list[Conversation]], material: Material
) -> None:
    """Judged again from nothing but the records and what is written, as it is read back."""
    again = [Conversation.from_json(one.as_json()) for one in made[name]]
    check = supported(again, material.records, material.grounding)
    assert check.holds, check.told


def test_no_answer_about_a_picture_gives_the_result_of_a_marker(made: Mapping[str, list[Conversation]]) -> None:
    for name in ("question", "dialogue", "several", "choice", "verdict", "report", "fields", "summary", "guard"):
        for exchange in (exchange for one in made[name] if one.pictures for exchange in one.exchanges):
            cited = [fact for fact in exchange.facts if MARKER.search(fact)]
            for sentence in exchange.answer.split(". "):
                if MARKER.search(sentence) and "positive" in sentence.lower():
                    assert any(sentence.rstrip(".").lower() in fact.lower() for fact in cited), sentence


def test_the_right_option_of_an_item_stands_at_every_letter_as_often(made: Mapping[str, list[Conversation]]) -> None:
    items: dict[str, list[Conversation]] = {}
    for one in made["choice"]:
        items.setdefault(one.item, []).append(one)
    whole = [one for own in items.values() for one in own if len(own) >= 4][:10]
    complete = [own for own in items.values() if len(own) in (4, 6) and own[0].exchanges[0].letter]
    assert complete
    assert whole
    for own in complete[:-1] or complete:
        if len(own) == 6 or len({one.exchanges[0].letter for one in own}) == 4:
            assert letters(own, 0.001).holds
        right = {option_of(one) for one in own}
        assert len(right) == 1


def option_of(one: Conversation) -> str:
    exchange = one.exchanges[0]
    return next(line for line in exchange.question.splitlines() if line.startswith(f"{exchange.letter}) "))[3:]


def test_what_shows_no_tissue_is_refused(made: Mapping[str, list[Conversation]], material: Material) -> None:
    empty = {record.picture.id for record in material.records if not record.usable}
    shown = [one for one in made["guard"] if {picture.id for picture in one.pictures} & empty]
    assert shown
    for one in shown:
        assert one.exchanges[0].abstains
        assert not any(word in one.answers.lower() for word in ("favours", "consistent with", "suggest", "looks like"))
    for name in ("question", "report", "choice", "describe"):
        assert not [one for one in made[name] if {picture.id for picture in one.pictures} & empty]


RECIPE = {
    "valid": 0.2,
    "builders": {"question": 12, "choice": 24, "verdict": 8, "guard": 10, "knowledge": 12, "describe": 8, "scope": 6},
    "limits": {
        "near_repeats": 0.1, "letters": 0.05, "verdicts": 0.0, "unanswerable": [0.05, 0.6],
        "distinct": {"questions": 0.2, "answers": 0.1},
    },
    "licence": {
        name: {"terms": "permissive", "licence": "CC0", "attribution": "nobody"}
        for name in ("atlas", "bcss", "knowledge", "own words")
    },
}  # fmt: skip


def built(material: Material) -> Built:
    return build(RECIPE, material, HeldOut(frozenset({"atlas/none"})), lambda *_: None)


def test_a_build_passes_its_checks_and_twice_is_the_same(material: Material) -> None:
    first = built(material)
    assert not first.failed, [check.told for check in first.failed]
    again = built(Material(records(), material.knowledge, CopilotGrounding(material.knowledge), 7))
    assert [one.as_json() for one in first.conversations] == [one.as_json() for one in again.conversations]
    other = built(Material(records(), material.knowledge, material.grounding, 8))
    assert [one.id for one in other.conversations] != [one.id for one in first.conversations]


def test_a_group_that_is_held_out_fails_the_build(material: Material) -> None:
    first = built(material)
    group = next(one.groups[0] for one in first.conversations if one.groups)
    limits: Mapping[str, Any] = RECIPE["limits"]  # type: ignore[assignment]
    held_out = HeldOut(frozenset({group}))
    checks = run_checks(first.conversations, held_out, {}, limits, material.records, material.grounding)
    assert {check.name for check in checks if not check.holds} >= {"held-out groups", "licences"}
