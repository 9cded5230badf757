"""A conversation keeps its content through JSON, and its prompts are those of the copilot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from copilot.answer import Checked, Question, Turn
from copilot.check import Ground
from copilot.language.model import Message
from copilot.speak import speak
from copilot.statements import Statement
from instruction_data.conversation import Conversation, Exchange, Picture
from instruction_data.export import sharegpt
from instruction_data.prompt import SYSTEM, chats, with_findings

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=40)
PICTURES = st.builds(Picture, TEXT, TEXT, TEXT, st.none() | st.floats(0.1, 4))
EXCHANGES = st.builds(
    Exchange,
    TEXT,
    TEXT,
    st.lists(TEXT, max_size=3).map(tuple),
    st.booleans(),
    st.sampled_from(["", "A", "B"]),
    st.sampled_from(["", "yes", "no"]),
    st.none() | TEXT,
    st.lists(TEXT, max_size=3).map(tuple),
)
CONVERSATIONS = st.builds(
    Conversation,
    TEXT,
    st.lists(EXCHANGES, min_size=1, max_size=4).map(tuple),
    st.lists(PICTURES, max_size=3).map(tuple),
    st.lists(TEXT, max_size=3).map(tuple),
    st.sampled_from(["align", "tune"]),
    TEXT,
    st.sampled_from(["train", "valid"]),
)


@given(CONVERSATIONS)
def test_a_conversation_comes_back_from_json_as_it_was(one: Conversation) -> None:
    assert Conversation.from_json(json.loads(json.dumps(one.as_json()))) == one


@given(CONVERSATIONS, CONVERSATIONS)
def test_the_same_content_has_the_same_id_and_no_other(one: Conversation, other: Conversation) -> None:
    same = (one.exchanges, one.pictures) == (other.exchanges, other.pictures)
    assert one.id == one.within("valid").id
    if same:
        assert one.id == other.id
    if [(e.question, e.answer, e.facts) for e in one.exchanges] != [
        (e.question, e.answer, e.facts) for e in other.exchanges
    ]:
        assert one.id != other.id


@given(CONVERSATIONS)
def test_each_exchange_is_learned_once_with_its_own_findings_and_the_last_two_before_it(one: Conversation) -> None:
    found = chats(one)
    assert len(found) == len(one.exchanges)
    for number, (chat, exchange) in enumerate(zip(found, one.exchanges, strict=True)):
        assert chat[0] == {"role": "system", "content": SYSTEM}
        assert chat[-1] == {"role": "assistant", "content": exchange.answer}
        assert chat[-2]["content"] == with_findings(exchange.facts, exchange.question)
        earlier = one.exchanges[max(0, number - 2) : number]
        assert [turn["content"] for turn in chat[1:-2]] == [text for e in earlier for text in (e.question, e.answer)]


@given(CONVERSATIONS)
def test_sharegpt_marks_every_picture_once_and_alternates(one: Conversation) -> None:
    row = sharegpt(one)
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"] * len(one.exchanges)
    assert row["conversations"][0]["value"].startswith("<image>\n" * len(row["image"]))
    assert [turn["value"] for turn in row["conversations"][1::2]] == [e.answer for e in one.exchanges]


class Listening:
    """A language model that keeps what it is asked and says nothing."""

    name, sha256 = "listening", ""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int, halted: Callable[[], bool]) -> Iterator[str]:
        self.heard = [*messages]
        return iter(())

    def choose(
        self, messages: Sequence[Message], said: str, wordings: Sequence[str], *, halted: Callable[[], bool]
    ) -> Iterator[str]:
        return iter((wordings[0],))


def test_the_prompt_that_is_learned_is_the_one_the_copilot_puts() -> None:
    facts = ("The stain is consistent with H&E (0.98).", "This rests on one tissue field.")
    exchanges = tuple(Exchange(f"Question {n}?", f"Answer {n}.", facts) for n in range(4))
    learned = chats(Conversation("question", exchanges))[-1][:-1]
    listening = Listening()
    history = tuple(Turn(e.question, e.answer) for e in exchanges[:-1])
    ground = Ground((), (), Question(exchanges[-1].question, history=history))
    statements = [Statement((fact,)) for fact in facts]
    events = list(speak(statements, ground, listening, wording="free", halted=lambda: False))  # type: ignore[arg-type]
    assert any(isinstance(event, Checked) for event in events)
    assert listening.heard == learned
