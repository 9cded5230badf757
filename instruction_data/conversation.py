"""A conversation to learn from: questions about pictures, and answers that their findings, labels or texts carry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Stage = Literal["align", "tune"]
"""`align`: a picture and what its labels say, for a projector. `tune`: the conversation as the copilot has it."""
Part = Literal["train", "valid"]
Verdict = Literal["", "yes", "no"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture by name; its pixels stay where they are.

    `id` finds it again in the data folder, `source` is the set, `group` the patient or what stands for one,
    `mpp` its µm/px, None where no one states it.
    """

    id: str
    source: str
    group: str
    mpp: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {"id": self.id, "source": self.source, "group": self.group, "mpp": self.mpp}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Picture:
        """The picture that `as_json` wrote."""
        return cls(row["id"], row["source"], row["group"], row["mpp"])


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer.

    `facts` are the lines that stand before the question in the prompt, as `instruction_data.prompt` frames them.
    `abstains` is True where the answer says that the question cannot be answered. `letter` is the right letter of
    a question with lettered options, `verdict` the right word of one that is answered by yes or no. `context` and
    `options` came with the question beside its words, as a request and a list come beside a question at the desk:
    what they bring about stands in the facts.
    """

    question: str
    answer: str
    facts: tuple[str, ...] = ()
    abstains: bool = False
    letter: str = ""
    verdict: Verdict = ""
    context: str | None = None
    options: tuple[str, ...] = ()

    @property
    def is_bare(self) -> bool:
        """True for an answer that is a letter, or an option as it was given, and no sentence."""
        return bool(self.letter) and (self.answer == self.letter or self.answer in self.options)

    def with_facts(self, facts: tuple[str, ...]) -> Exchange:
        """The same question and answer behind these lines."""
        return replace(self, facts=facts)

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "question": self.question,
            "answer": self.answer,
            "facts": list(self.facts),
            "abstains": self.abstains,
            "letter": self.letter,
            "verdict": self.verdict,
            "context": self.context,
            "options": list(self.options),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Exchange:
        """The exchange that `as_json` wrote."""
        return cls(
            row["question"],
            row["answer"],
            tuple(row["facts"]),
            row["abstains"],
            row["letter"],
            row["verdict"],
            row["context"],
            tuple(row["options"]),
        )


@dataclass(frozen=True, slots=True)
class Conversation:
    """Exchanges about the same pictures, in order, with the builder that made them and the sources they rest on.

    `item` names what several conversations share (one question in other orders of its options): they stay
    together in one part.
    """

    builder: str
    exchanges: tuple[Exchange, ...]
    pictures: tuple[Picture, ...] = ()
    sources: tuple[str, ...] = ()
    stage: Stage = "tune"
    item: str = ""
    part: Part = "train"

    @property
    def id(self) -> str:
        """Sixteen hex digits of what is said and seen; the same content has the same id."""
        said = [
            [picture.id for picture in self.pictures],
            [[e.question, e.answer, list(e.facts)] for e in self.exchanges],
        ]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:16]

    @property
    def groups(self) -> tuple[str, ...]:
        """The patients behind the pictures, each once."""
        return tuple(dict.fromkeys(picture.group for picture in self.pictures))

    @property
    def answers(self) -> str:
        """All answers, one a line."""
        return "\n".join(exchange.answer for exchange in self.exchanges)

    def within(self, part: Part) -> Conversation:
        """The same conversation in this part."""
        return replace(self, part=part)

    def as_json(self) -> dict[str, Any]:
        """Plain types only; what `from_json` reads."""
        return {
            "id": self.id,
            "builder": self.builder,
            "stage": self.stage,
            "part": self.part,
            "item": self.item,
            "pictures": [picture.as_json() for picture in self.pictures],
            "sources": list(self.sources),
            "exchanges": [exchange.as_json() for exchange in self.exchanges],
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Conversation:
        """The conversation that `as_json` wrote."""
        return cls(
            row["builder"],
            tuple(Exchange.from_json(one) for one in row["exchanges"]),
            tuple(Picture.from_json(one) for one in row["pictures"]),
            tuple(row["sources"]),
            row["stage"],
            row["item"],
            row["part"],
        )
