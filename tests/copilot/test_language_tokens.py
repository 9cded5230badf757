"""Tokens, trees and pieces of text: nothing is lost, nothing is said twice, no character is cut."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from copilot.language.convert import find_gguf
from copilot.language.embedded import load_embedded
from copilot.language.tokens import ChatML, Detokenizer, complete_characters
from copilot.language.trie import common_prefix, to_decide, token_trie
from slides import SetupError

REPLIES = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def tokens() -> ChatML:
    try:
        find_gguf()
    except SetupError as error:
        pytest.skip(str(error))
    model = load_embedded()
    assert isinstance(model._tokens, ChatML)
    return model._tokens


@given(REPLIES)
def test_every_continuation_is_a_path_of_the_tree(replies: list[list[int]]) -> None:
    nodes = token_trie(replies)
    for choice, reply in enumerate(replies):
        place = 0
        for token in reply:
            place = nodes[place].children[token]
            assert choice in nodes[place].choices
        assert choice in nodes[place].ends
    assert len(nodes) == 1 + len({tuple(reply[: n + 1]) for reply in replies for n in range(len(reply))})


@given(REPLIES)
def test_what_decides_holds_every_parting_and_what_leads_to_it(replies: list[list[int]]) -> None:
    nodes = token_trie(replies)
    needed = to_decide(nodes)
    assert {place for place, node in enumerate(nodes) if node.parts} <= set(needed)
    assert all(nodes[place].parent in needed for place in needed if place)
    assert all(nodes[place].parent < place for place in range(1, len(nodes)))


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_a_common_prefix_is_common_and_the_longest(first: list[int], second: list[int]) -> None:
    length = common_prefix(first, second)
    assert first[:length] == second[:length]
    assert length in (len(first), len(second)) or first[length] != second[length]


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_pieces_join_to_the_text_and_cut_no_character(tokens: ChatML, text: str) -> None:
    ids, complete = tokens.reply(text)
    assume(tokens.text(ids) == text)  # the vocabulary has no token for the first byte of unassigned planes
    pieces = Detokenizer(tokens.text)
    said = [pieces.push(token) for token in ids]
    assert "".join([*said, pieces.flush()]) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in said)
    assert complete == sorted(complete)
    assert not text or complete[-1] == len(text)


def test_a_character_split_over_tokens_counts_at_the_last_of_them() -> None:
    assert complete_characters([(0, 2), (2, 3), (2, 3), (3, 5)], 5) == [2, 2, 3, 5]
    assert complete_characters([], 0) == []


def test_digits_are_single_tokens(tokens: ChatML) -> None:
    ids, _ = tokens.reply("There are 3120 nuclei, 0.91.")
    texts = [tokens.text([token]) for token in ids]
    assert [text.strip() for text in texts if text.strip().isdigit()] == list("3120091")
