"""What builders need of the copilot, as a protocol: the facts it would put before a question, and what its checker lets
stand. The copilot is one floor up and hands its own in; no rule of it is written twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from slides import Finding

from .conversation import Exchange
from .record import Record

Kind = Literal[
    "class", "unclassified", "likeness", "measure", "coverage", "focus", "unusable", "note", "limit", "conflict",
    "choice", "comparison", "cited",
]  # fmt: skip
"""What a fact is: `class` one that stands, `unclassified` one that does not, `cited` a sentence of the tables."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that may be quoted word for word; `about` are the names that advice may take from it."""

    text: str
    source: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with all that comes with it. `by` says whether the pictures speak by findings or by labels."""

    question: str
    records: tuple[Record, ...] = ()
    context: str | None = None
    options: tuple[str, ...] = ()
    history: tuple[Exchange, ...] = ()
    passages: tuple[Passage, ...] = ()
    by: Literal["findings", "labels"] = "findings"


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the prompt. `wordings` say the same, the first is the line itself.

    `finding` is what it rests on, where it is one; `view` names its view where there are several; `word` is the
    certainty that a class is said with; `about` are the names of a cited sentence.
    """

    kind: Kind
    wordings: tuple[str, ...]
    finding: Finding | None = None
    view: str = ""
    word: str = ""
    about: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The line of the prompt."""
        return self.wordings[0]


@dataclass(frozen=True, slots=True)
class Told:
    """The facts of a question in the order they are put; `choice` is the option taken, None where none is.

    `abstains` is True where nothing that was looked for can be said.
    """

    facts: tuple[Fact, ...]
    choice: int | None = None
    abstains: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the prompt."""
        return tuple(fact.text for fact in self.facts)


class Grounding(Protocol):
    """The copilot, as far as its findings decide what may be said."""

    def facts(self, asked: Asked) -> Told:
        """What the copilot would put before this question."""
        ...

    def objection(self, asked: Asked, answer: str) -> str | None:
        """The first sentence of an answer that the checker strikes, with the reason; None where all stand."""
        ...
