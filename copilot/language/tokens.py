"""Between text and tokens: prompts, replies, and text that grows token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from slides.errors import SetupError

from .model import Message

PICTURE = "\ufffc"
"""Stands in a message where the visual tokens of a picture go."""

_CUT = "\ufffd"  # what decoding gives for a character whose last bytes are still to come


class Tokens(Protocol):
    """A tokenizer with its chat template.

    Attributes
    ----------
    ends : tokens at which a reply is over
    end : the one of them that closes a reply in the chat template
    """

    ends: frozenset[int]
    end: int

    def prompt(self, messages: Sequence[Message], pictures: Sequence[Sequence[int]] = ()) -> list[int]:
        """Tokens of the conversation, up to where the assistant's reply starts.

        The signs `PICTURE` in the messages become the tokens `pictures`, in order; one too many is left out.
        """
        ...

    def reply(self, text: str) -> tuple[list[int], list[int]]:
        """Tokens of a reply, and after each of them how many characters of `text` are complete."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """Text of some tokens, control tokens left out."""
        ...


class ChatML:
    """The embedded model's tokens: `<|im_start|>role`, content, `<|im_end|>`.

    Control tokens are placed by number and content is split as plain text, so nothing that a question,
    a report or a slide's metadata says can open a turn of its own.
    """

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.encode_special_tokens = True
        self._start, self._end, nothing = map(self._control, ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
        self.ends, self.end = frozenset({self._end, nothing}), self._end

    def prompt(self, messages: Sequence[Message], pictures: Sequence[Sequence[int]] = ()) -> list[int]:
        ids: list[int] = []
        slots = iter(pictures)
        for message in messages:
            turn = encode_around(f"{message['role']}\n{message['content']}", self._encode, slots)
            ids += [self._start, *turn, self._end, *self._encode("\n")]
        return [*ids, self._start, *self._encode("assistant\n")]

    def reply(self, text: str) -> tuple[list[int], list[int]]:
        encoding = self._tokenizer.encode(text)
        return encoding.ids, complete_characters(encoding.offsets, len(text))

    def text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids)))

    def _control(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise SetupError(f"the language model's tokenizer lacks {token}: run `pathcopilot doctor --prepare`")
        return int(number)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids


def encode_around(text: str, encode: Callable[[str], list[int]], slots: Iterator[Sequence[int]]) -> list[int]:
    """Tokens of a text whose signs `PICTURE` are the next of the slots; the text between them is split by itself."""
    first, *others = text.split(PICTURE)
    ids = list(encode(first))
    for piece in others:
        ids += [*next(slots, ()), *encode(piece)]
    return ids


def complete_characters(spans: Sequence[tuple[int, int]], length: int) -> list[int]:
    """After each token, how many characters stand; a character split over tokens counts at its last one."""
    nexts = [*(start for start, _ in spans[1:]), length]
    return [min(end, following) for (_, end), following in zip(spans, nexts, strict=False)]


class Detokenizer:
    """Turns tokens into pieces of text, holding back characters whose bytes are not all there.

    Text is read off a window of the last tokens, since what a token says can depend on its neighbours
    (the space that SentencePiece drops at the start of a text).
    """

    def __init__(self, text: Callable[[Sequence[int]], str]) -> None:
        self._text = text
        self._ids: list[int] = []
        self._window = 0
        self._shown = 0

    def push(self, token: int) -> str:
        """The text that this token completes, often empty within a character."""
        self._ids.append(token)
        return "" if self._pending().endswith(_CUT) else self.flush()

    def flush(self) -> str:
        """What is still held back, at the end of a text."""
        piece = self._pending()
        self._window, self._shown = self._shown, len(self._ids)
        return piece

    def _pending(self) -> str:
        before = self._text(self._ids[self._window : self._shown])
        return self._text(self._ids[self._window :])[len(before) :]
