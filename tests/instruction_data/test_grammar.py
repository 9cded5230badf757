"""Rules give many sentences, the same ones for the same seed, and nothing of the rules' own signs."""

from __future__ import annotations

import random
import re

import pytest

from instruction_data.grammar import Rules, read_rules, say, seeded, tidy
from instruction_data.phrases.questions import RULES as QUESTIONS

TABLES = ("answers", "questions", "labels", "contexts", "claims")


@pytest.mark.parametrize("table", TABLES)
def test_every_rule_can_be_said_and_leaves_no_sign_of_the_grammar(table: str) -> None:
    rules = QUESTIONS if table == "questions" else read_rules(table)
    slots = set(re.findall(r"\{(\w+)\}", str(rules)))
    values = dict.fromkeys(slots, "7")
    for name in rules:
        for number in range(60):
            said = say(rules, name, seeded(number, name), **values)
            assert not re.search(r"[\[\]{}|]|<\w+>|  | [.,;?]", said), said


@pytest.mark.parametrize("table", TABLES)
def test_every_reference_of_a_rule_is_a_rule(table: str) -> None:
    rules = QUESTIONS if table == "questions" else read_rules(table)
    named = {name for templates in rules.values() for text in templates for name in re.findall(r"<(\w+)>", text)}
    assert named <= set(rules)


@pytest.mark.parametrize("intent", ["describe", "organ", "category", "stain", "immunophenotype", "tests", "report"])
def test_an_intent_is_asked_in_at_least_fifty_ways(intent: str) -> None:
    rules = read_rules("questions")
    said = {say(rules, intent, seeded(number, intent), marker="Ki-67") for number in range(400)}
    assert len(said) >= 50


def test_the_same_seed_says_the_same_and_another_says_other_things() -> None:
    rules = read_rules("questions")
    first = [say(rules, "describe", seeded(7, number)) for number in range(30)]
    assert first == [say(rules, "describe", seeded(7, number)) for number in range(30)]
    assert first != [say(rules, "describe", seeded(8, number)) for number in range(30)]


def test_alternatives_nest_and_values_are_not_read_as_rules() -> None:
    rules: Rules = {"start": ["[a [b|c]|d] {value} <end>"], "end": ["[x|y]."]}
    said = {say(rules, "start", random.Random(number), value="[q|r] <end>") for number in range(200)}
    assert said == {f"{head} [q|r] <end> {tail}." for head in ("A b", "A c", "D") for tail in "xy"}


def test_a_text_is_tidied_line_by_line() -> None:
    assert tidy("  the organ ,  seen \n stain :  H&E .") == "The organ, seen\nStain: H&E."
