"""Choosing by letter, for models that give no likelihood of a text that is put to them."""

from __future__ import annotations

import math
import re
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from slides.errors import SetupError, UsageError

from .model import Message

LETTERS = string.ascii_uppercase
TOP = 20
"""The most likelihoods of a token that such models report."""


class Lettered(ABC):
    """The part of a `LanguageModel` that scores and chooses, by the letter that the model replies with."""

    name: str

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[float]:
        """Log-likelihood of each continuation's letter among all of them.

        Raises `SetupError` when the model reports no likelihoods.
        """
        logprobs = self._reply(ask_for_a_letter(messages, "", continuations), likelihoods=True)[1]
        first_token = first_token_likelihoods(logprobs)
        if not first_token:
            raise SetupError(
                f"{self.name} reports no likelihoods (logprobs): options need another language model, such as embedded"
            )
        return letter_likelihoods(first_token, len(continuations))

    def choose(
        self,
        messages: Sequence[Message],
        said: str,
        wordings: Sequence[str],
        *,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Streams the wording whose letter the model gives, word by word; the first where it gives none."""
        if not wordings:
            raise UsageError("nothing to choose from: give at least one wording")
        chosen = 0
        if len(wordings) > 1 and not halted():
            reply = self._reply(ask_for_a_letter(messages, said, wordings), likelihoods=False)[0]
            chosen = letter_in(reply, len(wordings)) or 0
        for piece in words(wordings[chosen]):
            if halted():
                return
            yield piece

    @abstractmethod
    def _reply(self, messages: Sequence[Message], *, likelihoods: bool) -> tuple[str, Any]:
        """The model's short reply and, if asked for and reported, OpenAI's `logprobs` object with `TOP` tokens."""


def ask_for_a_letter(messages: Sequence[Message], said: str, wordings: Sequence[str]) -> list[Message]:
    """The conversation with one more turn that lists the wordings and asks for the letter of the best."""
    if len(wordings) > len(LETTERS):
        raise UsageError(f"at most {len(LETTERS)} choices can be put to this language model")
    listed = "\n".join(f"{letter}. {wording}" for letter, wording in zip(LETTERS, wordings, strict=False))
    begun = f"The answer so far: {said.strip()}\n\n" if said.strip() else ""
    asked = f"{begun}How should the answer go on?\n{listed}\n\nReply with one letter only."
    *earlier, last = messages
    if last["role"] == "user":
        return [*earlier, {"role": "user", "content": f"{last['content']}\n\n{asked}"}]
    return [*messages, {"role": "user", "content": asked}]


def letter_in(reply: str, count: int) -> int | None:
    """Index of the first of the first `count` letters that stands alone in the reply, None where there is none."""
    words = "".join(sign if sign.isalnum() else " " for sign in reply).split()
    return next((LETTERS.index(word) for word in words if len(word) == 1 and word in LETTERS[:count]), None)


def letter_likelihoods(first_token: Mapping[str, float], count: int) -> list[float]:
    """Log-likelihood of each letter among the first `count`, from those of the likeliest first tokens.

    `first_token` maps token text to log-likelihood. A letter beyond the reported ones is at most as likely as
    the least of them, and takes that value. The probabilities of the letters are scaled to sum to 1.
    """
    least = min(first_token.values())
    chances = [
        sum(math.exp(value) for token, value in first_token.items() if token.strip(" .)(") == letter) or math.exp(least)
        for letter in LETTERS[:count]
    ]
    return [math.log(chance / sum(chances)) for chance in chances]


def first_token_likelihoods(logprobs: Any) -> dict[str, float]:
    """The likeliest first tokens in OpenAI's `logprobs` object, with their log-likelihoods; empty without it."""
    try:
        return {item["token"]: float(item["logprob"]) for item in logprobs["content"][0]["top_logprobs"]}
    except (KeyError, IndexError, TypeError, ValueError):
        return {}


def words(text: str) -> list[str]:
    """The text cut before each space, for a stream of whole words."""
    return re.findall(r"\s*\S+|\s+$", text)
