"""A session: the next unknown, a commitment, the reveal. What is not revealed cannot be read from what is shown."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from slides import Size, UsageError, open_slide

from .cases import Case
from .hints import STEPS, hints
from .progress import Progress
from .score import Commitment, Score, same, score

if TYPE_CHECKING:
    from instruction_data.knowledge import Knowledge

Kind = Literal["unknown", "second opinion"]
DOUBT = 4
"""Every fourth case comes with the opinion of a machine that may be wrong."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a trainee sees before committing: no name of a file, no diagnosis, no place."""

    case: str
    task: str
    kind: Kind
    size: Size
    mpp: float | None
    opinion: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        told: dict[str, Any] = {"case": self.case, "task": self.task, "kind": self.kind}
        return told | {"size": list(self.size), "mpp": self.mpp, "opinion": self.opinion}


@dataclass(frozen=True, slots=True)
class Reveal:
    """What is told after the commitment.

    Attributes
    ----------
    resisted : of a wrong opinion, whether the trainee's first diagnosis is another; None where it was right or absent
    apart : look-alikes of the truth, each with the tests that separate the two
    """

    case: Case
    score: Score
    errors: tuple[str, ...]
    resisted: bool | None
    apart: tuple[tuple[str, tuple[str, ...]], ...]
    due: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "case": self.case.id,
            "diagnosis": self.case.diagnosis,
            "places": [list(place.xywh) for place in self.case.places],
            "note": self.case.note,
            "localisation": self.score.localisation,
            "overlap": self.score.overlap,
            "differential": self.score.differential,
            "brier": self.score.brier,
            "right": self.score.right,
            "errors": list(self.errors),
            "resisted": self.resisted,
            "lookalikes": [{"name": name, "tests": list(tests)} for name, tests in self.apart],
            "due": None if self.due is None else self.due.isoformat(),
        }


@dataclass
class Session:
    """Cases in the order of need: due ones first, then new ones, then those that can wait.

    `seed` orders new cases and chooses the opinions; `now` is told, so that a session can be played again.
    """

    cases: Sequence[Case]
    progress: Progress
    knowledge: Knowledge
    seed: int = 0
    _asked: list[str] = field(default_factory=list)
    _open: tuple[Case, Shown, int] | None = None

    def next(self, now: datetime) -> Shown | None:
        """The next case, None when every one was asked in this session."""
        left = [case for case in self.cases if case.id not in self._asked]
        if not left:
            return None
        case = min(left, key=lambda one: self._need(one, now))
        self._asked.append(case.id)
        opinion = self._opinion(case) if len(self._asked) % DOUBT == 0 else None
        with open_slide(case.path) as slide:
            shown = Shown(
                case.id, case.task, "second opinion" if opinion else "unknown", slide.size, slide.mpp, opinion
            )
        self._open = (case, shown, 0)
        return shown

    def hint(self) -> tuple[str, str] | None:
        """The next hint, its step and its words; None when all three were given. It counts."""
        case, shown, given = self._on()
        if given == len(STEPS):
            return None
        self._open = (case, shown, given + 1)
        return STEPS[given], hints(case, shown.size, self.knowledge)[given]

    def commit(self, said: Commitment, now: datetime) -> Reveal:
        """Scores the open case and reveals it; raises `UsageError` when there is none."""
        case, shown, given = self._on()
        self._open = None
        found = score(case, said, self.knowledge)
        shown_errors = self.progress.record(self._topic(case), found, said.confidence, now, hints=given)
        resisted = None
        if shown.opinion is not None and not same(shown.opinion, case.diagnosis, self.knowledge):
            resisted = not same(said.diagnoses[0], shown.opinion, self.knowledge)
        return Reveal(case, found, shown_errors, resisted, self._apart(case), self.progress.due(self._topic(case)))

    def _on(self) -> tuple[Case, Shown, int]:
        if self._open is None:
            raise UsageError("no case is open: ask for the next one first")
        return self._open

    def _need(self, case: Case, now: datetime) -> tuple[int, float, float]:
        due = self.progress.due(self._topic(case))
        order = random.Random(f"{self.seed} {case.id}").random()
        if due is None:
            return 1, order, 0.0
        late = (due - now).total_seconds()
        return (0 if late <= 0 else 2), late, order

    def _topic(self, case: Case) -> str:
        entity = self.knowledge.find_entity(case.diagnosis)
        return entity.name if entity is not None else case.diagnosis.strip().lower()

    def _opinion(self, case: Case) -> str:
        """What the machine holds it for: the truth or a look-alike, as often the one as the other."""
        rng = random.Random(f"opinion {self.seed} {case.id}")
        entity = self.knowledge.find_entity(case.diagnosis)
        wrong = [one.name for one in self.knowledge.lookalikes(entity.id)] if entity is not None else []
        wrong = wrong or [other.diagnosis for other in self.cases if other.diagnosis != case.diagnosis]
        return rng.choice(sorted(set(wrong))) if wrong and rng.random() < 0.5 else case.diagnosis

    def _apart(self, case: Case) -> tuple[tuple[str, tuple[str, ...]], ...]:
        from instruction_data.knowledge.contrast import separating

        entity = self.knowledge.find_entity(case.diagnosis)
        if entity is None:
            return ()
        return tuple(
            (
                other.name,
                tuple(
                    self.knowledge.markers[test].name for test in separating(self.knowledge, entity.id, other.id)[:3]
                ),
            )
            for other in self.knowledge.lookalikes(entity.id)[:3]
        )
