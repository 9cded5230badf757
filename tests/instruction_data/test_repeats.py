"""Distinct n-grams are counted right, and near repeats are found without comparing all pairs."""

from __future__ import annotations

from itertools import combinations

import pytest

from instruction_data.grammar import seeded
from instruction_data.repeats import distinct, near_repeats, shingles


def sentences(count: int, seed: int) -> list[str]:
    draw = seeded(seed, "sentences")
    vocabulary = [f"word{number}" for number in range(120)]
    return [" ".join(draw.choices(vocabulary, k=24)) for _ in range(count)]


@pytest.mark.parametrize(
    ("texts", "n", "share"),
    [(["a b c"], 1, 1.0), (["a b", "a b"], 1, 0.5), (["a b a b"], 2, 2 / 3), (["one"], 2, 0.0), ([], 1, 0.0)],
)
def test_distinct_is_new_n_grams_by_all(texts: list[str], n: int, share: float) -> None:
    assert distinct(texts, n) == pytest.approx(share)


def test_near_repeats_are_those_that_comparing_all_pairs_finds() -> None:
    texts = sentences(80, 1)
    draw = seeded(2, "changed")
    for text in texts[:30]:
        words = text.split()
        words[draw.choice((0, len(words) - 1))] = "changed"  # one shingle of 22 is another
        texts.append(" ".join(words))
    sets = [shingles(text) for text in texts]
    wanted = [
        (i, j) for i, j in combinations(range(len(texts)), 2) if len(sets[i] & sets[j]) >= 0.9 * len(sets[i] | sets[j])
    ]
    assert len(wanted) >= 30
    assert list(near_repeats(texts)) == wanted


def test_a_text_repeats_itself_and_nothing_else() -> None:
    texts = sentences(20, 3)
    assert list(near_repeats([*texts, texts[4]])) == [(4, 20)]
    assert list(near_repeats([])) == []
