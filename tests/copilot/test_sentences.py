"""Laws of the sentence splitter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.check import split_sentences

CASES = {
    "It is 0.93. The next one.": ["It is 0.93.", "The next one."],
    "See e.g. Melanoma and i.e. this.": ["See e.g. Melanoma and i.e. this."],
    "Fields are 38 µm. They vary.": ["Fields are 38 µm.", "They vary."],
    "Look at No. 3 first. Then go on.": ["Look at No. 3 first.", "Then go on."],
    "No. It is not.": ["No.", "It is not."],
    "H. pylori is not seen. E. coli neither.": ["H. pylori is not seen.", "E. coli neither."],
    "CMU-1.svs was read. It is sharp.": ["CMU-1.svs was read.", "It is sharp."],
    "1. The stain is H&E. 2. The organ is colon.": ["The stain is H&E.", "The organ is colon."],
    "- one\n- two": ["one", "two"],
    "Is it? Yes! Good.": ["Is it?", "Yes!", "Good."],
    'He said "this." Then left.': ['He said "this."', "Then left."],
    "It favours (0.87; set: a, b). Next": ["It favours (0.87; set: a, b).", "Next"],
    "Wait… and go. Then… Stop.": ["Wait… and go.", "Then…", "Stop."],
    "  \n ": [],
    "cut off in the mid": ["cut off in the mid"],
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_sentences_end_where_they_end(text: str) -> None:
    assert list(split_sentences([text])) == CASES[text]


@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(0, 60), max_size=8))
def test_how_the_stream_is_cut_makes_no_difference(text: str, cuts: list[int]) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert list(split_sentences(pieces)) == list(split_sentences([text]))


def test_a_sentence_comes_as_soon_as_the_next_begins() -> None:
    given_so_far: list[str] = []

    def stream():  # type: ignore[no-untyped-def]
        for piece in ("The stain is H&E. ", "T", "he organ"):
            given_so_far.append(piece)
            yield piece

    sentences = split_sentences(stream())
    assert next(sentences) == "The stain is H&E."
    assert len(given_so_far) == 2
