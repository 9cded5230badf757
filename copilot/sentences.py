"""Cuts a stream of text into sentences as they are finished."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

ABBREVIATIONS = frozenset(
    {
        "e.g", "i.e", "cf", "ca", "approx", "resp", "incl", "vs", "fig", "figs", "ref", "refs", "al", "dr", "prof",
        "st", "sp", "spp", "max", "min", "med", "dept", "ed", "eds", "vol", "pp", "p", "h", "e",
    }
)  # fmt: skip
BEFORE_A_NUMBER = frozenset({"no", "nos", "nr", "eq", "sec", "ch"})
"""Abbreviations only in front of a number: `No. 3`, but `No. It is not.` is two sentences."""

_END = re.compile(r"([.!?…]+)([\"'”’)\]]*)(\s+)(?=\S)|(\s*\n+\s*)(?=\S)")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]\s+|\(?\d{1,2}[.)]\s+)+")
_LAST_WORD = re.compile(r"([\wÀ-ÿ.&-]+)$")


def split_sentences(stream: Iterable[str]) -> Iterator[str]:
    """Sentences of the text that `stream` brings in pieces, each as soon as the next one begins.

    Numbers (`0.93`), units (`38 µm.`), abbreviations (`e.g.`, `No. 3`), file names (`a.svs`) and names such as
    `H. pylori` do not end a sentence; a line break does. List marks are dropped, white space
    becomes one space. How the text is cut into pieces makes no difference.
    """
    held = ""
    for piece in stream:
        held += piece
        while (end := _first_end(held)) is not None:
            sentence, held = held[:end], held[end:]
            if tidy := _tidy(sentence):
                yield tidy
    if tidy := _tidy(held):
        yield tidy


def _first_end(text: str) -> int | None:
    """Position just behind the first sentence that is certainly complete, or None."""
    start = mark.end() if (mark := _LIST_MARK.match(text)) else 0
    for match in _END.finditer(text, start):
        if match[4] is not None or _ends(text[start : match.start()], match[1], text[match.end() :]):
            return match.end()
    return None


def _ends(before: str, stop: str, after: str) -> bool:
    if stop != ".":
        return stop[-1] in "!?" or not after[0].islower()
    if after[0].islower():
        return False
    word = found[1].lower() if (found := _LAST_WORD.search(before)) else ""
    if word in BEFORE_A_NUMBER:
        return not after[0].isdigit()
    return word not in ABBREVIATIONS


def _tidy(sentence: str) -> str:
    return " ".join(_LIST_MARK.sub("", sentence).split())
