"""What people think of answers, kept as lines that `pathcopilot tune --votes` reads.

A thumb says whether an answer was useful; a preference says which of two wordings of the same findings is better. A
line holds the question, the findings as they were put into words, the conversation before, and the answers: never the
name of a slide or a case.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from .exchange import Exchange

FILE = "votes.jsonl"


class Votes:
    """A file of votes that grows by whole lines; None keeps nothing, and the page then asks for no vote."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()

    @property
    def kept(self) -> bool:
        """Whether votes are kept."""
        return self._file is not None

    def thumb(self, exchange: Exchange, useful: bool) -> None:
        """Keeps that an answer was useful, or was not; the last word about an answer counts."""
        if exchange.answer is not None:
            self._add(_prompt(exchange) | {"answer": exchange.answer.text, "useful": useful})

    def prefer(self, chosen: Exchange, rejected: Exchange) -> None:
        """Keeps that one answer is better than another to the same question about the same findings."""
        if chosen.answer is not None and rejected.answer is not None:
            self._add(_prompt(chosen) | {"chosen": chosen.answer.text, "rejected": rejected.answer.text})

    def _add(self, row: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps(row, ensure_ascii=False) + "\n"
        with self._lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _prompt(exchange: Exchange) -> dict[str, Any]:
    assert exchange.answer is not None
    return {
        "question": exchange.question,
        "facts": list(exchange.answer.facts),
        "history": [[turn.question, turn.answer] for turn in exchange.history],
    }
