"""Guesses at the next words from what was read before, for a network to try several at once.

An answer about findings repeats much of them. Where its last words stood before, those that followed there are likely
to follow again (prompt lookup, a form of speculative decoding: Leviathan et al. 2023, Saxena 2023). A pass over eight
tokens costs little more than one over two, and a guess is only kept where the network would have said the same.
"""

from __future__ import annotations

from collections.abc import Sequence

WORDS, LONGEST, PAUSE = 5, 8, 4
"""Tokens that must agree; the most that are guessed; tokens without a guess after one that was wrong at once."""


class Lookup:
    """The places in one growing text where each run of five tokens ended last."""

    def __init__(self) -> None:
        self._behind: dict[tuple[int, ...], int] = {}
        self._read = WORDS
        self._quiet_until = 0

    def guess(self, text: Sequence[int]) -> list[int]:
        """Up to eight tokens that may follow the text, which has only grown since the last call; none of a picture."""
        for place in range(self._read, len(text)):
            self._behind[tuple(text[place - WORDS : place])] = place
        self._read = max(self._read, len(text))
        start = self._behind.get(tuple(text[-WORDS:]))
        if start is None or len(text) < self._quiet_until:
            return []
        found = list(text[start : start + LONGEST])
        return found[: next((at for at, token in enumerate(found) if token < 0), len(found))]

    def judged(self, text: Sequence[int], right: int) -> None:
        """How many tokens of the last guess were right, `text` as it was when it was made."""
        if right == 0:
            self._quiet_until = len(text) + PAUSE
