"""Each check holds of data that keep its rule, and fails on the smallest breach of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from instruction_data import checks
from instruction_data.checks import HeldOut, Licence
from instruction_data.conversation import Conversation, Exchange, Picture
from instruction_data.grammar import seeded

FACT = "The picture favours a malignant process (0.87)."
GOOD = Conversation(
    "question",
    (Exchange("Is this malignant?", "It favours a malignant process (0.87).", (FACT,)),),
    (Picture("bcss/1", "bcss", "bcss/one"),),
    ("bcss",),
)
LICENCES = {"bcss": Licence("permissive", "CC0", "Amgad et al. 2019")}


def said(**changes: object) -> Conversation:
    """The good conversation with its exchange changed."""
    return replace(GOOD, exchanges=(replace(GOOD.exchanges[0], **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": " "},
        {"question": ""},
        {"answer": "It favours <image> a malignant process."},
        {"answer": "It favours <|im_end|> a malignant process."},
        {"answer": "A tab\tin it."},
        {"question": "What is {this}?"},
        {"answer": "It is None."},
        {"answer": "Malignant. " * 200},
        {"letter": "B"},
        {"letter": "C", "question": "Which?\nA) colon\nB) liver", "answer": "C"},
        {"verdict": "yes"},
    ],
)
def test_a_text_at_fault_fails_the_schema(changes: dict[str, object]) -> None:
    assert checks.schema([GOOD]).holds
    assert not checks.schema([GOOD, said(**changes)]).holds


def test_a_picture_without_its_source_fails_the_schema() -> None:
    assert not checks.schema([replace(GOOD, sources=("own words",))]).holds
    assert not checks.schema([replace(GOOD, sources=())]).holds


@pytest.mark.parametrize("figure", ["0.88", "0.8", "87", "0.870"])
def test_a_figure_that_was_not_given_fails(figure: str) -> None:
    assert checks.numbers([GOOD]).holds
    assert not checks.numbers([said(answer=f"It favours a malignant process ({figure}).")]).holds


def test_figures_of_earlier_exchanges_and_of_the_question_may_be_said_again() -> None:
    later = Exchange("At 12 % you said?", "It was 0.87, at 12 %.")
    assert checks.numbers([replace(GOOD, exchanges=(*GOOD.exchanges, later))]).holds


def test_a_conversation_twice_fails_and_one_item_in_other_orders_does_not() -> None:
    assert checks.duplicates([GOOD], 0.0).holds
    assert not checks.duplicates([GOOD, GOOD], 0.5).holds
    orders = [
        replace(said(question=f"Which of these is it?\nA) {a}\nB) {b}"), item="choice/1")
        for a, b in (("colon", "liver"), ("liver", "colon"))
    ]
    assert checks.duplicates(orders, 0.0).holds


def test_nearly_the_same_words_about_the_same_picture_count_as_a_repeat() -> None:
    draw = seeded(1, "words")
    text = " ".join(f"word{draw.randint(0, 99)}" for _ in range(80))
    pair = [said(question=text), said(question=f"{text} now")]
    assert not checks.duplicates(pair, 0.4).holds
    assert checks.duplicates(pair, 0.5).holds


def test_a_held_out_group_text_or_picture_fails() -> None:
    def alike(names: Sequence[str]) -> Sequence[str]:
        return [name for name in names if name == "bcss/1"]

    assert checks.leakage([GOOD], HeldOut(frozenset({"bcss/two"}), frozenset({"Another text."}))).holds
    assert not checks.leakage([GOOD], HeldOut(frozenset({"bcss/one"}))).holds
    assert not checks.leakage([GOOD], HeldOut(texts=frozenset({FACT}))).holds
    assert not checks.leakage([GOOD], HeldOut(alike=alike)).holds


def test_a_group_or_an_item_in_both_parts_fails() -> None:
    other = replace(said(question="And now?"), pictures=(Picture("bcss/2", "bcss", "bcss/one"),))
    assert checks.parts([GOOD, other]).holds
    assert not checks.parts([GOOD, other.within("valid")]).holds
    items = [replace(said(question=f"{n}?"), pictures=(), item="same") for n in range(2)]
    assert not checks.parts([items[0], items[1].within("valid")]).holds


def lettered(letter: str, options: int = 3) -> Conversation:
    question = "Which?\n" + "\n".join(f"{name}) option" for name in "ABCD"[:options])
    return said(question=question, answer=letter, letter=letter)


def test_letters_are_balanced_for_each_number_of_options() -> None:
    even = [lettered(letter) for letter in "ABC"] + [lettered(letter, 4) for letter in "ABCD"]
    assert checks.letters(even, 0.0).holds
    assert not checks.letters([*even, lettered("A")], 0.02).holds
    assert not checks.letters([lettered(letter, 4) for letter in "ABC"], 0.02).holds


def test_yes_and_no_are_balanced() -> None:
    yes, no = (said(answer=f"{word}.", verdict=word) for word in ("yes", "no"))
    assert checks.verdicts([yes, no], 0.0).holds
    assert not checks.verdicts([yes, no, yes], 0.1).holds


@pytest.mark.parametrize(("abstaining", "holds"), [(0, False), (2, True), (8, False)])
def test_the_share_of_unanswerable_lies_between_its_bounds(abstaining: int, holds: bool) -> None:
    many = [said(abstains=number < abstaining) for number in range(10)]
    assert checks.unanswerable(many, 0.1, 0.4).holds is holds


def test_a_source_that_is_unknown_or_not_permissive_fails() -> None:
    assert checks.licence([GOOD], LICENCES).holds
    assert not checks.licence([GOOD], {}).holds
    assert not checks.licence([GOOD], {"bcss": Licence("noncommercial", "CC BY-NC", "")}).holds


def test_the_same_sentence_again_and_again_fails_diversity() -> None:
    draw = seeded(3, "various")
    various = [said(question=" ".join(f"w{draw.randint(0, 999)}" for _ in range(9))) for _ in range(20)]
    assert checks.diversity(various, {"questions": 0.5, "answers": 0.01}).holds
    assert not checks.diversity([GOOD] * 20, {"questions": 0.5, "answers": 0.01}).holds
