"""A language model that does what the test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from copilot.language.model import Message


class ScriptedModel:
    """Streams `text` letter by letter; holds texts with `favourite` likeliest; chooses the last wording."""

    name, sha256 = "scripted", ""

    def __init__(self, text: str = "", favourite: str = "") -> None:
        self.text = text
        self.favourite = favourite

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.0,
        seed: int = 0,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        yield from self.text

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[float]:
        return [0.0 if self.favourite in text else -9.0 - 0.1 * len(text) for text in continuations]

    def choose(
        self,
        messages: Sequence[Message],
        said: str,
        wordings: Sequence[str],
        *,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        yield ""
        for letter in wordings[-1]:
            if halted():
                return
            yield letter
