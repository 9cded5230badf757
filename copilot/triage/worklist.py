"""Slides in the order in which they should be read: what cannot be scored, then the worst; and what is released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vision_encoder.observation import Observation

from ..quoting import quoted
from .exact import positives_needed
from .scorer import Sight, sight_of

Group = Literal["cannot be scored: read first", "scored"]
SENSITIVITY, CONFIDENCE = 0.90, 0.95


@dataclass(frozen=True, slots=True)
class Row:
    """One slide of the worklist.

    `score` is the calibrated probability that what was seen is malignant or pre-malignant, None where it
    cannot be had; `alternatives` is the 90 % set of the kind of process. `released` only under a valid certificate;
    `drawn` for one that would be, and is sampled back for review. `case` is the case's pseudonym, where there is one.
    """

    slide: str
    group: Group
    score: float | None
    alternatives: tuple[str, ...]
    reason: str
    evidence: tuple[str, ...]
    not_seen: tuple[str, ...]
    released: bool = False
    drawn: bool = False
    case: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "slide": self.slide,
            "case": self.case,
            "group": self.group,
            "score": None if self.score is None else round(self.score, 4),
            "set": list(self.alternatives),
            "released": self.released,
            "audit": self.drawn,
            "reason": self.reason,
            "evidence": list(self.evidence),
            "not_seen": list(self.not_seen),
        }


@dataclass(frozen=True, slots=True)
class Worklist:
    """The rows in reading order and the statement that goes with them.

    `certificate` is the summary of the one that was given, with `valid` and, where it is not, `refused`.
    """

    rows: tuple[Row, ...]
    certificate: Mapping[str, Any] | None = field(default=None)

    @property
    def statement(self) -> str:
        """What the order, and a release, is worth."""
        if self.certificate is not None and self.certificate["valid"]:
            released = sum(row.released for row in self.rows)
            return (
                f"{released} of {len(self.rows)} slides are released: {self.certificate['statement']}. That is all it "
                f"says: of positive patients like those of {self.certificate['data']['name']} at least that share "
                "stays on the list. Slides drawn for the audit are read like all others."
            )
        needed = positives_needed(SENSITIVITY, CONFIDENCE)
        why = "there is no certificate for this laboratory"
        if self.certificate is not None:
            why = f"the certificate is not valid here: {self.certificate['refused']}"
        return (
            f"This is an order of reading. No slide is released and every slide has to be read: {why}. "
            f"One for sensitivity {SENSITIVITY:.2f} at {100 * CONFIDENCE:.0f} % confidence "
            f"(one-sided) needs at least {needed} positive cases of its own without a miss, "
            f"{positives_needed(SENSITIVITY, CONFIDENCE, 1)} with one miss. "
            "The order is as good as the classifier of the kind of process: see docs/model_cards/heads.md."
        )

    def as_json(self) -> dict[str, Any]:
        """Plain types only; `slides` in reading order."""
        return {
            "slides": [row.as_json() for row in self.rows],
            "certificate": None if self.certificate is None else dict(self.certificate),
            "positives_needed": {
                "sensitivity": SENSITIVITY,
                "confidence": CONFIDENCE,
                "misses_0": positives_needed(SENSITIVITY, CONFIDENCE),
                "misses_1": positives_needed(SENSITIVITY, CONFIDENCE, 1),
            },
            "statement": self.statement,
        }

    def markdown(self) -> str:
        """The worklist as a table, the statement above it."""
        head = "| | slide | malignant or pre-malignant | 90 % set | why | not looked at |\n|---|---|---|---|---|---|\n"
        lines = []
        for place, row in enumerate(self.rows, 1):
            score = "cannot be scored: read first" if row.score is None else f"{row.score:.2f}"
            mark = " (released)" if row.released else " (audit: read)" if row.drawn else ""
            cells = (
                str(place),
                quoted(row.slide) + mark,
                score,
                ", ".join(row.alternatives),
                "; ".join(filter(None, (quoted(row.reason), *(quoted(e) for e in row.evidence)))),
                "; ".join(quoted(note) for note in row.not_seen),
            )
            lines.append(f"| {' | '.join(cells)} |")
        return f"## Worklist\n\n{self.statement}\n\n{head}" + "\n".join(lines) + "\n"


def rank(observations: Sequence[Observation]) -> Worklist:
    """One row a slide, in reading order; nothing is released.

    First what cannot be scored (unreadable, no tissue, blurred, unlike the calibration tissue, outside the
    scope of the classifier), in the order given; then by score, highest first. A slide seen in several views
    is as bad as its worst one, and cannot be scored if one of them cannot.
    """
    by_slide: dict[str, list[Sight]] = {}
    for seen in observations:
        by_slide.setdefault(seen.slide, []).append(sight_of(seen))
    rows = []
    for sights in by_slide.values():
        worst = min(sights, key=lambda sight: (sight.score is not None, -(sight.score or 0.0)))
        not_seen = tuple(dict.fromkeys(note for sight in sights for note in sight.not_seen))
        rows.append(row_of(worst, not_seen=not_seen))
    return Worklist(in_order(rows))


def row_of(sight: Sight, *, not_seen: tuple[str, ...] | None = None, **more: Any) -> Row:
    """The row of a slide; `more` are fields of `Row` that triage decides."""
    return Row(
        sight.slide,
        "cannot be scored: read first" if sight.score is None else "scored",
        sight.score,
        sight.alternatives if sight.score is not None else (),
        more.pop("reason", sight.why),
        tuple(f"see {', '.join(str(edge) for edge in box)}" for box in sight.fields[:3]),
        sight.not_seen if not_seen is None else not_seen,
        **more,
    )


def in_order(rows: Sequence[Row]) -> tuple[Row, ...]:
    """What cannot be scored in the order given, then by score, highest first."""
    return tuple(sorted(rows, key=lambda row: (row.score is not None, -(row.score or 0.0))))
