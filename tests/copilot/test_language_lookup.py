"""Guessing the next words from what was read: the same text in fewer passes, and no more than may be said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.language.decoding import LocalModel
from copilot.language.lookup import LONGEST, PAUSE, WORDS, Lookup
from copilot.language.model import Message
from copilot.language.pictures import VisualTokens

QUESTION: list[Message] = [{"role": "user", "content": ""}]
VOCABULARY = 30


class Letters:
    """Tokens that are letters; the last one ends a text."""

    ends, end = frozenset([VOCABULARY - 1]), VOCABULARY - 1

    def __init__(self, prompt: Sequence[int]) -> None:
        self._prompt = list(prompt)

    def prompt(self, messages: Sequence[Message], pictures: Sequence[Sequence[int]] = ()) -> list[int]:
        return list(self._prompt)

    def reply(self, text: str) -> tuple[list[int], list[int]]:
        raise NotImplementedError

    def text(self, ids: Sequence[int]) -> str:
        return "".join(chr(97 + number) for number in ids)


class Ruled:
    """A network whose next token is a rule of the text so far; counts its passes and checks what it is fed."""

    context, visual = 10_000, VisualTokens()

    def __init__(self, rule: Callable[[Sequence[int]], int]) -> None:
        self.rule, self.ids, self.passes = rule, list[int](), 0

    @property
    def length(self) -> int:
        return len(self.ids)

    def extend(self, ids: Sequence[int], parents: Sequence[int], rows: Sequence[int], *, greedy: bool = False) -> Any:
        assert list(parents) == list(range(self.length - 1, self.length + len(ids) - 1))
        before = len(self.ids)
        self.ids += ids
        self.passes += 1
        logits = torch.zeros(len(rows), VOCABULARY)
        for place, row in enumerate(rows):
            logits[place, self.rule(self.ids[: before + row + 1])] = 1.0
        return logits

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        assert not path
        del self.ids[length:]


def plainly(rule: Callable[[Sequence[int]], int], prompt: Sequence[int], length: int) -> list[int]:
    text = list(prompt)
    while len(text) < len(prompt) + length and (token := rule(text)) != VOCABULARY - 1:
        text.append(token)
    return text[len(prompt) :]


def copier(text: Sequence[int]) -> int:
    """Goes on as the text did eleven tokens before, with a slip at every 23rd place."""
    return (text[-11] + (len(text) % 23 == 0)) % (VOCABULARY - 1)


@settings(deadline=None, max_examples=50)
@given(
    prompt=st.lists(st.integers(0, 5), min_size=12, max_size=60),
    step=st.integers(2, 12),
    modulus=st.integers(2, 29),
    length=st.integers(1, 60),
)
def test_the_text_is_that_of_one_token_a_pass(prompt: list[int], step: int, modulus: int, length: int) -> None:
    def rule(text: Sequence[int]) -> int:
        return VOCABULARY - 1 if len(text) % 53 == 0 else (text[-step] * 3 + text[-1]) % modulus

    for chosen in (rule, copier):
        network = Ruled(chosen)
        model = LocalModel("ruled", "", network, Letters(prompt))
        text = "".join(model.stream(QUESTION, max_new_tokens=length))
        assert text == Letters([]).text(plainly(chosen, prompt, length))
        assert model._cached == network.ids
        assert network.passes <= length


def test_what_repeats_takes_fewer_passes() -> None:
    network = Ruled(copier)
    list(LocalModel("copier", "", network, Letters(range(11))).stream(QUESTION, max_new_tokens=90))
    assert network.passes < 45


def test_a_sampled_text_is_not_guessed_at() -> None:
    network = Ruled(copier)
    model = LocalModel("copier", "", network, Letters(range(11)))
    text = "".join(model.stream(QUESTION, max_new_tokens=40, temperature=0.5, seed=1))
    assert network.passes >= len(text) > 10


def test_a_stop_ends_a_guessed_run_within_one_token() -> None:
    network = Ruled(lambda text: text[-11])
    stream = LocalModel("copier", "", network, Letters(range(11))).stream(
        QUESTION, max_new_tokens=90, halted=lambda: stopped
    )
    stopped = False
    for _ in range(20):
        next(stream)
    stopped = True
    assert list(stream) == []


def test_a_guess_is_what_followed_and_holds_no_picture() -> None:
    lookup, run = Lookup(), list(range(1, WORDS + 1))
    text = [*run, 14, 15, -7, -8, 16, *run]
    assert lookup.guess(text) == [14, 15]
    lookup.judged(text, 0)
    assert lookup.guess([*text, 14]) == []
    later = [*text, *range(20, 20 + PAUSE), *run]
    assert lookup.guess(later)[:2] == [20, 21]
    assert len(lookup.guess(later)) <= LONGEST
    assert Lookup().guess([1] * WORDS) == []


@pytest.mark.parametrize("room", [1, 2, 3])
def test_no_more_is_said_than_was_asked_for(room: int) -> None:
    network = Ruled(copier)
    text = "".join(
        LocalModel("copier", "", network, Letters(list(range(11)) * 3)).stream(QUESTION, max_new_tokens=room)
    )
    assert len(text) == room
