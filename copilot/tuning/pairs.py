"""Pairs of a right and a wrong answer to one prompt: made by rule from conversations, or voted at the desk."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from instruction_data.conversation import Conversation, Exchange
from slides.errors import UsageError

from .alter import ALTERATIONS
from .examples import Example, Speller, told

ABSTENTION, VOTE = "abstention", "vote"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replies to one prompt; `kind` says what is wrong with the second."""

    right: Example
    wrong: Example
    kind: str

    def __len__(self) -> int:
        return 2 * max(len(self.right), len(self.wrong))


def pairs_of(conversations: Sequence[Conversation], speller: Speller, seed: int) -> list[Pair]:
    """At most one pair an answer; which of the alterations that fit is drawn by the conversation alone.

    Where an answer abstains, its rival is one to a like question about another picture, with all its figures.
    """
    assured = [
        (conversation, exchange.answer)
        for conversation in conversations
        for exchange in conversation.exchanges
        if not exchange.abstains and any(sign.isdigit() for sign in exchange.answer)
    ]
    found: list[Pair] = []
    for conversation in conversations:
        scales = [picture.mpp for picture in conversation.pictures]
        shown = tuple(picture.id for picture in conversation.pictures) if speller.sees_pictures else ()
        chats = told(conversation, facts=speller.sees_records)
        for number, (exchange, chat) in enumerate(zip(conversation.exchanges, chats, strict=True)):
            draw = random.Random(f"{seed}/{conversation.id}/{number}")
            altered = _altered(conversation, number, assured, draw)
            if altered is None:
                continue
            kind, text = altered
            prompt = speller.prompt(chat[:-1], scales)
            right = Example(prompt, speller.reply(exchange.answer), shown)
            found.append(Pair(right, replace(right, reply=speller.reply(text)), kind))
    return found


def _altered(
    conversation: Conversation, number: int, assured: Sequence[tuple[Conversation, str]], draw: random.Random
) -> tuple[str, str] | None:
    exchange = conversation.exchanges[number]
    before = "\n".join(_said_before(conversation.exchanges, number))
    if exchange.abstains and draw.random() < 0.5:
        rivals = [
            answer
            for other, answer in assured
            if other.builder == conversation.builder and other.id != conversation.id and answer not in before
        ]
        if rivals:
            return ABSTENTION, draw.choice(rivals)
    kinds = [kind for kind in ALTERATIONS if kind != "result" or conversation.pictures]
    for kind in draw.sample(kinds, len(kinds)):
        text = ALTERATIONS[kind](exchange.answer, before, draw)
        if text is not None and text != exchange.answer:
            return kind, text
    return None


def _said_before(exchanges: Sequence[Exchange], number: int) -> Iterator[str]:
    for exchange in exchanges[:number]:
        yield from (exchange.question, exchange.answer)
    yield from (*exchanges[number].facts, exchanges[number].question)


def read_votes(path: Path, speller: Speller) -> list[Pair]:
    """Pairs of a file of JSON lines, one vote each.

    A line holds `question`, and may hold `facts` (the findings as they were put) and `history` (earlier question and
    answer in turn). A preference holds `chosen` and `rejected`. A thumb holds `answer` and `useful`; an answer found
    useful and one found not useful to the same prompt make a pair, the last thumb about an answer counts.

    Raises
    ------
    UsageError : no such file, or a line that is no vote
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path.name or path}: name a JSON Lines file of votes in UTF-8") from error
    preferred, thumbs = list[Pair](), dict[str, dict[str, bool]]()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
                if "useful" in row:
                    prompt = {name: row.get(name, []) for name in ("question", "facts", "history")}
                    _vote(prompt | {"chosen": row["answer"], "rejected": ""}, speller)  # refused here if malformed
                    thumbs.setdefault(json.dumps(prompt), {})[str(row["answer"])] = bool(row["useful"])
                else:
                    preferred.append(_vote(row, speller))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UsageError(
                    f"line {number} of {path.name} is no vote: it needs question, and chosen and rejected, or answer "
                    "and useful"
                ) from error
    return preferred + [_vote(row, speller) for row in _opposed(thumbs)]


def _opposed(thumbs: dict[str, dict[str, bool]]) -> Iterator[dict[str, Any]]:
    """A preference for each useful answer over each that was not, of one prompt."""
    for prompt, answers in thumbs.items():
        for chosen in (answer for answer, useful in answers.items() if useful):
            for rejected in (answer for answer, useful in answers.items() if not useful):
                yield json.loads(prompt) | {"chosen": chosen, "rejected": rejected}


def _vote(row: dict[str, Any], speller: Speller) -> Pair:
    earlier = [Exchange(str(question), str(answer)) for question, answer in row.get("history", [])]
    asked = Exchange(str(row["question"]), str(row["chosen"]), tuple(map(str, row.get("facts", []))))
    chat = told(Conversation(VOTE, (*earlier, asked)), facts=speller.sees_records)[-1]
    right = Example(speller.prompt(chat[:-1], ()), speller.reply(asked.answer))
    return Pair(right, replace(right, reply=speller.reply(str(row["rejected"]))), VOTE)
