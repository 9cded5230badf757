"""From conversations to what is learned: the tokens of a prompt, as the product would put it, and of its answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from instruction_data.conversation import Conversation
from instruction_data.prompt import chats

from ..language.model import Message
from ..language.pictures import with_pictures
from ..language.tokens import PICTURE, Tokens
from .recipe import Recipe

SLOT = -1
"""In a prompt, the place of one visual token."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the reply to learn, in tokens; the reply ends with the token that closes it.

    `pictures` name what the slots of the prompt show, in order, an equal number of slots each.
    """

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    pictures: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply)


class Speller:
    """Puts chats into tokens, for one base and one recipe."""

    def __init__(self, tokens: Tokens, recipe: Recipe) -> None:
        self._tokens = tokens
        self._slots = (SLOT,) * recipe.visual_tokens
        self.sees_records = "records" in recipe.sees
        self.sees_pictures = "pictures" in recipe.sees

    def prompt(self, chat: Sequence[Message], scales: Sequence[float | None]) -> tuple[int, ...]:
        """Tokens of a chat that ends with the user's turn, pictures in front of that turn where they are seen."""
        shown = scales if self.sees_pictures else ()
        turns: list[Message] = [{**turn, "content": turn["content"].replace(PICTURE, "")} for turn in chat]
        turns[-1]["content"] = with_pictures(turns[-1]["content"], shown)
        return tuple(self._tokens.prompt(turns, [self._slots] * len(shown)))

    def reply(self, text: str) -> tuple[int, ...]:
        """Tokens of a reply and the one that closes it."""
        return (*self._tokens.reply(text)[0], self._tokens.end)


def examples_of(conversations: Iterable[Conversation], speller: Speller) -> list[Example]:
    """One example for each answer of the conversations, in their order."""
    found = []
    for conversation in conversations:
        scales = [picture.mpp for picture in conversation.pictures]
        shown = tuple(picture.id for picture in conversation.pictures) if speller.sees_pictures else ()
        found += [
            Example(speller.prompt(chat[:-1], scales), speller.reply(chat[-1]["content"]), shown)
            for chat in told(conversation, facts=speller.sees_records)
        ]
    return found


def told(conversation: Conversation, *, facts: bool) -> list[list[Message]]:
    """The chats of a conversation, each with its answer last; without `facts` the findings are left out."""
    if not facts:
        bare = tuple(replace(exchange, facts=()) for exchange in conversation.exchanges)
        conversation = replace(conversation, exchanges=bare)
    return [[{"role": turn["role"], "content": turn["content"]} for turn in chat] for chat in chats(conversation)]
