"""What is learned from: the answers alone, behind prompts as the product puts them, each pair wrong in one thing."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from copilot.language.hub import load_hub
from copilot.language.model import Message
from copilot.language.pictures import with_pictures
from copilot.language.tokens import PICTURE, ChatML, Tokens
from copilot.speak import messages
from copilot.tuning.alter import ALTERATIONS, negation, number, organ
from copilot.tuning.batches import NO_LABEL, Order, tensors_of
from copilot.tuning.examples import SLOT, Speller, examples_of, told
from copilot.tuning.pairs import pairs_of, read_votes
from copilot.tuning.reading import from_sharegpt, read_conversations
from copilot.tuning.recipe import Recipe, Stage
from instruction_data.export import sharegpt
from instruction_data.prompt import with_findings
from slides import UsageError

from .tiny_models import save_tiny_model
from .tuning_data import conversations, write_data

RECIPE = Recipe("tests", "", (Stage("tune", 1),), sees=("records", "pictures"), visual_tokens=3)
FAMILIES = ("llama", "qwen2", "gemma2", "gemma3")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {family: save_tiny_model(place / family, family) for family in FAMILIES}


@pytest.fixture(params=["embedded", *FAMILIES])
def tokens(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Tokens:
    if request.param == "embedded":
        return ChatML(folders["llama"] / "tokenizer.json")
    return load_hub(str(folders[request.param]))._tokens


@pytest.fixture
def speller(folders: dict[str, Path]) -> Speller:
    return Speller(ChatML(folders["llama"] / "tokenizer.json"), RECIPE)


def test_only_the_answer_and_its_end_are_learned(tokens: Tokens) -> None:
    speller = Speller(tokens, RECIPE)
    told_all = conversations(6)
    examples = examples_of(told_all, speller)
    answers = [exchange.answer for one in told_all for exchange in one.exchanges]
    batch = tensors_of(examples, {name: np.zeros(5, np.float32) for one in examples for name in one.pictures}, 2)
    for labels, answer in zip(batch["labels"], answers, strict=True):
        learnt = labels[labels != NO_LABEL].tolist()
        assert tokens.text(learnt) == answer
        assert learnt[-1] == tokens.end
        assert tokens.end in tokens.ends


def test_labels_stand_where_their_tokens_do(speller: Speller) -> None:
    examples = examples_of(conversations(6), speller)
    batch = tensors_of(examples, {name: np.zeros(5, np.float32) for one in examples for name in one.pictures}, 2)
    after = batch["labels"].shape[1]
    taught = batch["labels"] != NO_LABEL
    assert torch.equal(batch["input_ids"][:, -after:][taught], batch["labels"][taught])
    assert torch.equal(batch["attention_mask"].sum(1), torch.tensor([len(one) for one in examples]))
    first = batch["attention_mask"].argmax(1)
    for row, start in enumerate(first.tolist()):
        assert batch["position_ids"][row, start : start + len(examples[row])].tolist() == list(
            range(len(examples[row]))
        )


def test_a_prompt_is_learned_as_it_is_put(tokens: Tokens) -> None:
    from copilot.answer import Question, Turn

    blind = Speller(tokens, replace(RECIPE, sees=("records",)))
    asked = next(one for one in conversations(1) if one.stage == "tune")
    first, second = asked.exchanges
    example = examples_of([asked], blind)[1]
    question = Question(second.question, history=(Turn(first.question, first.answer),))
    live = messages(question, with_findings(second.facts, second.question))
    assert list(example.prompt) == tokens.prompt(live)


def test_without_records_no_finding_is_in_the_prompt(tokens: Tokens) -> None:
    sighted = Speller(tokens, replace(RECIPE, sees=("pictures",)))
    assert "Findings" not in "".join(
        tokens.text([i for i in one.prompt if i >= 0]) for one in examples_of(conversations(4), sighted)
    )


def test_each_picture_has_its_slots_and_its_scale_in_words(tokens: Tokens) -> None:
    speller = Speller(tokens, RECIPE)
    chat: list[Message] = [{"role": "user", "content": "What differs?"}]
    prompt = speller.prompt(chat, [0.5, None])
    assert prompt.count(SLOT) == 2 * RECIPE.visual_tokens
    before = prompt[: prompt.index(SLOT)]
    assert tokens.text(list(before)).endswith("Picture 1, 0.50 µm/px: ")
    assert "Picture 2, µm/px unknown" in tokens.text([token for token in prompt if token != SLOT])


def test_no_text_moves_a_picture(tokens: Tokens) -> None:
    speller = Speller(tokens, RECIPE)
    plain: list[Message] = [{"role": "system", "content": "Say."}, {"role": "user", "content": "What is it?"}]
    sly: list[Message] = [
        {"role": "system", "content": f"Say.{PICTURE}"},
        {"role": "user", "content": f"{PICTURE}What {PICTURE}is it?"},
    ]
    assert speller.prompt(sly, [0.25]) == speller.prompt(plain, [0.25])
    assert PICTURE not in with_pictures(f"a{PICTURE}", [])


def test_a_longer_conversation_is_read_as_the_product_remembers_it() -> None:
    asked = next(one for one in conversations(1) if one.stage == "tune")
    chats = told(asked, facts=True)
    assert [chat[-1]["content"] for chat in chats] == [exchange.answer for exchange in asked.exchanges]
    assert chats[1][1]["content"] == asked.exchanges[0].question  # earlier questions stand without their findings


def test_sharegpt_rows_give_the_same_examples(speller: Speller, tmp_path: Path) -> None:
    own = [one for one in conversations(8) if len(one.exchanges) == 1]
    file = tmp_path / "others.jsonl"
    file.write_text("".join(json.dumps(sharegpt(one)) + "\n" for one in own), encoding="utf-8")
    read, _ = read_conversations(file)
    assert examples_of(read, speller) == examples_of(own, speller)
    assert {one.part for one in read} <= {"train", "valid"}


def test_turns_that_do_not_alternate_are_no_conversation() -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "human", "value": "b"}]
    with pytest.raises(ValueError, match="alternate"):
        from_sharegpt({"conversations": turns})


@pytest.mark.parametrize("line", ["{", '{"builder": "x"}', "[]", '{"conversations": [{"from": "gpt", "value": "a"}]}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    folder = write_data(tmp_path / "data", conversations(2))
    path = folder / "conversations.jsonl"
    path.write_text(path.read_text() + line + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 5 of conversations\.jsonl"):
        read_conversations(folder)


def test_every_example_comes_once_an_epoch_within_the_budget() -> None:
    lengths = [random.Random(number).randint(20, 300) for number in range(700)]
    order = Order(lengths, 1024, seed=3)
    seen: list[int] = []
    turn = 0
    while len(seen) < len(lengths):
        positions = order.at(turn).tolist()
        assert len(positions) * max(lengths[p] for p in positions) <= 1024
        seen += positions
        turn += 1
    assert sorted(seen) == list(range(len(lengths)))
    assert order.at(turn).tolist() != order.at(0).tolist()


def test_a_turn_is_the_same_whatever_was_asked_before() -> None:
    lengths = [50 + number % 7 for number in range(90)]
    late = Order(lengths, 400, seed=1).at(25).tolist()
    order = Order(lengths, 400, seed=1)
    assert [order.at(turn).tolist() for turn in range(26)][25] == late


ANSWER = (
    "The picture is consistent with a malignant process (0.93) of the colon. Nuclei number about 3,120 per mm². "
    "CK20 is not classified here; it needs its own test."
)
BEFORE = "Findings:\n- The organ is colon (0.93).\n- Nuclei number about 3,120 per mm².\nQuestion: what is it?"


@pytest.mark.parametrize("kind", sorted(ALTERATIONS))
def test_an_alteration_changes_one_thing_that_nothing_before_supports(kind: str) -> None:
    texts = {ALTERATIONS[kind](ANSWER, BEFORE, random.Random(seed)) for seed in range(20)}
    assert len(texts) > 1
    for text in texts:
        assert text is not None
        assert text != ANSWER
        if kind in ("number", "organ", "process", "marker"):
            put = [word for word in text.split() if word not in ANSWER.split()]
            assert put
            assert all(word.strip(".,;()") not in BEFORE for word in put if any(sign.isdigit() for sign in word))


def test_an_alteration_without_its_thing_is_none() -> None:
    draw = random.Random(0)
    assert number("No figure here.", "", draw) is None
    assert organ("Nothing is named.", "", draw) is None
    assert negation("It favours nothing.", "", draw) == "It does not favour nothing."


def test_pairs_hold_the_answer_right_and_one_wrong(speller: Speller) -> None:
    own = [one for one in conversations() if one.stage == "tune"]
    pairs = pairs_of(own, speller, seed=7)
    assert {"number", "result", "abstention"} <= {pair.kind for pair in pairs}
    replies = {one.reply for one in examples_of(own, speller)}
    for pair in pairs:
        assert pair.right.prompt == pair.wrong.prompt
        assert pair.right.reply in replies
        assert pair.wrong.reply != pair.right.reply
    assert pairs == pairs_of(own, speller, seed=7)


def test_a_pair_depends_on_its_conversation_alone(speller: Speller) -> None:
    own = [one for one in conversations() if one.stage == "tune" and not any(e.abstains for e in one.exchanges)]
    assert {p.wrong for p in pairs_of(own, speller, 7)} == {p.wrong for p in pairs_of(own[::-1], speller, 7)}


def test_votes_of_the_desk_become_pairs(speller: Speller, tmp_path: Path) -> None:
    row = {"question": "Which organ?", "facts": ["It is colon."], "chosen": "Colon.", "rejected": "Lung."}
    file = tmp_path / "votes.jsonl"
    file.write_text(json.dumps(row) + "\n" + json.dumps({**row, "history": [["Hi", "Hello"]]}) + "\n")
    first, second = read_votes(file, speller)
    assert first.right.reply == speller.reply("Colon.")
    assert first.wrong.reply == speller.reply("Lung.")
    assert len(second.right.prompt) > len(first.right.prompt)
    thumbs = [
        {"question": "Which organ?", "answer": text, "useful": good} for text, good in (("A.", True), ("B.", True))
    ]
    file.write_text("".join(json.dumps(thumb) + "\n" for thumb in thumbs))
    assert read_votes(file, speller) == []
    file.write_text("".join(json.dumps(thumb) + "\n" for thumb in [*thumbs, {**thumbs[1], "useful": False}]))
    (pair,) = read_votes(file, speller)
    assert (pair.right.reply, pair.wrong.reply) == (speller.reply("A."), speller.reply("B."))
    file.write_text(json.dumps({"question": "Which organ?", "chosen": "Colon."}) + "\n")
    with pytest.raises(UsageError, match="line 1 of votes"):
        read_votes(file, speller)
