"""What a suite is given: the cases, a gallery that opens them, how many questions at most, and where progress goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..answer import Question, View
from .cases import Case, Gallery, at_full_power, spread_over_groups

T = TypeVar("T")
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """No progress."""


@dataclass(frozen=True)
class Bench:
    """Cases of held-out groups (none where there is no data), and the folder they are put in as files."""

    cases: Sequence[Case]
    gallery: Gallery
    limit: int | None = None
    progress: Progress = silent

    def at_most(self, usual: int | None) -> int | None:
        """The number of rows a suite takes: its usual one, or the limit where that is lower; None for all."""
        if self.limit is None or usual is None:
            return usual if self.limit is None else self.limit
        return min(usual, self.limit)

    def chosen(self, cases: Sequence[Case], usual: int | None, seed: int = 0) -> list[Case]:
        """At most that many of the cases, taken from the groups in turn."""
        return spread_over_groups(cases, lambda case: case.group, self.at_most(usual), seed)

    def histology(self) -> list[Case]:
        """The held-out pictures of stained tissue at the source's full magnification."""
        return at_full_power(self.cases)

    def view(self, case: Case) -> View:
        """The picture of a case, opened."""
        return self.gallery.view(case)

    def question(self, case: Case, text: str, context: str | None = None, options: Sequence[str] = ()) -> Question:
        """A question about one whole picture."""
        return Question(text, (self.view(case),), context, tuple(options))

    def each(self, what: str, rows: Sequence[T]) -> Iterator[T]:
        """The rows, with progress told."""
        for number, row in enumerate(rows, 1):
            yield row
            self.progress(what, number, len(rows))
