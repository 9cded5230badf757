"""The words in which a question and its findings are put to a language model: one form, learned and used alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from .conversation import Conversation

SYSTEM = (
    "You help a pathologist. State the findings you are given in short, plain, exact sentences. "
    "Never add a number, an organ, a diagnosis or a marker that was not given."
)
REMEMBERED = 2
"""Earlier exchanges that a prompt repeats, without their findings."""


class Turn(TypedDict):
    """One turn of a chat, as chat templates know it."""

    role: Literal["system", "user", "assistant"]
    content: str


def with_findings(facts: Sequence[str], question: str) -> str:
    """The user's turn: the findings as a list, then the question; the bare question where there are none."""
    if not facts:
        return question
    listed = "\n".join(f"- {fact}" for fact in facts)
    return f"Findings:\n{listed}\n\nQuestion: {question}\nAnswer from the findings only."


def dialogue(history: Sequence[tuple[str, str]], turn: str) -> list[Turn]:
    """The chat of a turn: system, the last exchanges as (question, answer), then the user's turn."""
    chat: list[Turn] = [{"role": "system", "content": SYSTEM}]
    for question, answer in history[-REMEMBERED:]:
        chat += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*chat, {"role": "user", "content": turn}]


def chats(conversation: Conversation) -> list[list[Turn]]:
    """One chat for each exchange, as the copilot would put it, with the answer as last turn to learn."""
    found: list[list[Turn]] = []
    earlier: list[tuple[str, str]] = []
    for exchange in conversation.exchanges:
        asked = dialogue(earlier, with_findings(exchange.facts, exchange.question))
        found.append([*asked, {"role": "assistant", "content": exchange.answer}])
        earlier.append((exchange.question, exchange.answer))
    return found
