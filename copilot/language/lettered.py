"""Choosing by letter, for models that give no likelihood of a text that is put to them."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from slides.errors import UsageError

from .model import Message

LETTERS = string.ascii_uppercase


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
