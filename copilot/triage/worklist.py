"""Slides in the order in which they should be read: what cannot be scored, then the worst. None is released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slides import Finding
from vision_encoder.observation import Observation

from ..quoting import quoted
from .certificate import positives_needed

Group = Literal["cannot be scored: read first", "scored"]
SERIOUS = ("malignant", "pre-malignant")
SENSITIVITY, CONFIDENCE = 0.90, 0.95
# An abstention for one of these reasons leaves the probabilities calibrated: the order by them still means something.
UNSETTLED = ("does not settle it", "too seldom on held-out cases", "it speaks from")
LEAST_TISSUE = 0.001
"""Share of tissue below which a slide is as good as empty."""


@dataclass(frozen=True, slots=True)
class Row:
    """One slide of the worklist.

    `score` is the calibrated probability that what was seen is malignant or pre-malignant, None where it
    cannot be had; `alternatives` is the 90 % set of the kind of process.
    """

    slide: str
    group: Group
    score: float | None
    alternatives: tuple[str, ...]
    reason: str
    evidence: tuple[str, ...]
    not_seen: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "slide": self.slide,
            "group": self.group,
            "score": None if self.score is None else round(self.score, 4),
            "set": list(self.alternatives),
            "released": False,
            "reason": self.reason,
            "evidence": list(self.evidence),
            "not_seen": list(self.not_seen),
        }


@dataclass(frozen=True, slots=True)
class Worklist:
    """The rows in reading order and the statement that goes with them."""

    rows: tuple[Row, ...]

    @property
    def statement(self) -> str:
        """What the order is worth."""
        needed = positives_needed(SENSITIVITY, CONFIDENCE)
        return (
            "This is an order of reading. No slide is released and every slide has to be read: there is no "
            f"certificate for this laboratory. One for sensitivity {SENSITIVITY:.2f} at "
            f"{100 * CONFIDENCE:.0f} % confidence "
            f"(one-sided) needs at least {needed} positive cases of its own without a miss, "
            f"{positives_needed(SENSITIVITY, CONFIDENCE, 1)} with one miss. "
            "The order is as good as the classifier of the kind of process: see docs/model_cards/heads.md."
        )

    def as_json(self) -> dict[str, Any]:
        """Plain types only; `slides` in reading order."""
        return {
            "slides": [row.as_json() for row in self.rows],
            "certificate": None,
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
            cells = (
                str(place),
                quoted(row.slide),
                score,
                ", ".join(row.alternatives),
                "; ".join(filter(None, (quoted(row.reason), *(quoted(e) for e in row.evidence)))),
                "; ".join(quoted(note) for note in row.not_seen),
            )
            lines.append(f"| {' | '.join(cells)} |")
        return f"## Worklist\n\n{self.statement}\n\n{head}" + "\n".join(lines) + "\n"


def rank(observations: Sequence[Observation]) -> Worklist:
    """One row a slide, in reading order.

    First what cannot be scored (unreadable, no tissue, blurred, unlike the calibration tissue, outside the
    scope of the classifier), in the order given; then by score, highest first. A slide seen in several views
    is as bad as its worst one, and cannot be scored if one of them cannot.
    """
    by_slide: dict[str, list[Observation]] = {}
    for seen in observations:
        by_slide.setdefault(seen.slide, []).append(seen)
    rows = [_row(slide, views) for slide, views in by_slide.items()]
    return Worklist(tuple(sorted(rows, key=lambda row: (row.score is not None, -(row.score or 0.0)))))


def _row(slide: str, views: Sequence[Observation]) -> Row:
    unscored = [(view, reason) for view in views if (reason := _unscorable(view)) is not None]
    not_seen = tuple(dict.fromkeys(note for view in views for note in _not_seen(view)))
    if unscored:
        view, reason = unscored[0]
        return Row(slide, "cannot be scored: read first", None, (), reason, _evidence(view), not_seen)
    worst = max(views, key=_score)
    finding = _category(worst)
    assert finding is not None
    why = ", ".join(f"{name} {share:.2f}" for name, share in finding.distribution if name in SERIOUS)
    if finding.abstained:
        why += f"; not classified: {(finding.reason or '').rstrip('.')}"
    return Row(slide, "scored", _score(worst), finding.prediction_set, why, _evidence(worst), not_seen)


def _category(seen: Observation) -> Finding | None:
    found = seen.find("category")
    return found.finding if found else None


def _score(seen: Observation) -> float:
    finding = _category(seen)
    return sum(share for name, share in finding.distribution if name in SERIOUS) if finding else 0.0


def _unscorable(seen: Observation) -> str | None:
    """Why a view has no score, in one clause; None when it has one."""
    if not seen.usable:
        return (seen.reason or "nothing in it can be read").rstrip(".")
    tissue, focus = seen.find("tissue_share"), seen.find("focus")
    if tissue is not None and tissue.finding.value is not None and tissue.finding.value < LEAST_TISSUE:
        return "no tissue was found"
    if focus is not None and focus.finding.label == "blurred":
        return "the picture is out of focus"
    finding = _category(seen)
    if finding is None or not finding.distribution:
        return "no calibrated class of process is available for it"
    if finding.abstained and not any(words in (finding.reason or "") for words in UNSETTLED):
        return (finding.reason or "the tissue is unlike what the classifier was calibrated on").rstrip(".")
    return None


def _evidence(seen: Observation) -> tuple[str, ...]:
    found = seen.find("category")
    if found is None:
        return ()
    places = [field.xywh for field in found.fields[:3]] or [found.region.xywh]
    return tuple(f"see {', '.join(str(edge) for edge in place)}" for place in places)


def _not_seen(seen: Observation) -> tuple[str, ...]:
    unread = seen.fields_available - seen.fields_seen
    first = (f"{unread} of {seen.fields_available} fields",) if unread > 0 else ()
    return (*first, *seen.notes)
