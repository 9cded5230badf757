"""What every builder draws on: records, tables, the copilot's grounding, and seeded turns."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from .conversation import Conversation, Exchange
from .grammar import seeded
from .grounding import Grounding
from .knowledge import Knowledge
from .record import Record

KNOWLEDGE, WORDS = "knowledge", "own words"
"""Sources that are no pictures: the knowledge tables, and sentences of this package."""
TURNS = 24
"""Turns that a set of single tiles has among the cases."""


@dataclass(frozen=True, slots=True)
class Material:
    """The sources of a build. `verbatim` is the share of facts that an answer says as they stand in the prompt."""

    records: tuple[Record, ...]
    knowledge: Knowledge
    grounding: Grounding
    seed: int
    verbatim: float = 0.25
    turns: dict[str, int] = field(default_factory=dict)

    def draw(self, *names: str | int) -> random.Random:
        """A generator of this build that depends on the names alone."""
        return seeded(self.seed, *names)

    @property
    def histology(self) -> tuple[Record, ...]:
        """Usable records of tissue as it is, not blurred."""
        return tuple(
            one
            for one in self.records
            if one.usable and one.altered != "blurred" and one.label("stain") not in ("not histology", "cytology")
        )

    def in_turn(self, builder: str, records: Sequence[Record]) -> Iterator[Record]:
        """The records again and again, case by case in turn, so that neither a patient nor a set fills a builder."""
        by_group: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_group[_turn_of(record)].append(record)
        groups = sorted(by_group)
        self.draw(builder, "groups").shuffle(groups)
        for group in groups:
            self.draw(builder, group).shuffle(by_group[group])
            by_group[group].sort(key=lambda one: one.altered != "sheet")  # what shows most of a slide comes first
        round_number = 0
        while groups:
            for group in groups:
                own = by_group[group]
                yield own[round_number % len(own)]
            round_number += 1


def _turn_of(record: Record) -> str:
    """The case of a whole slide; single tiles, of which a set may count each as a group, share some turns a set."""
    if record.case:
        return record.picture.group
    return f"{record.picture.source}/{zlib.crc32(record.picture.group.encode()) % TURNS}"


Made = Iterator[Conversation | None]
Builder = Callable[[Material], Made]
"""Conversations, None for a try that came to nothing, without end or until the source is used up; the build takes as
many as the recipe wants."""


def sources_of(records: Sequence[Record], *more: str) -> tuple[str, ...]:
    """The sources behind a conversation, each once: of its pictures, and others."""
    return tuple(dict.fromkeys([*(record.picture.source for record in records), *more]))


def conversation_of(
    builder: str, said: Exchange | None, records: Sequence[Record], *more: str, item: str = ""
) -> Conversation | None:
    """A conversation of one exchange about these pictures; None where there is no exchange.

    Its sources are those of the pictures and `more`; where there are neither, our own words.
    """
    if said is None:
        return None
    pictures = tuple(record.picture for record in records)
    return Conversation(builder, (said,), pictures, sources_of(records, *more) or (WORDS,), item=item)
