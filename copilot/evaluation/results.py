"""What a suite gives: figures beside their baselines, and the questions that went wrong, word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vision_encoder.benchmark.intervals import rounded

from .figures import Figure

SHOWN = 12
"""Failures a suite keeps in full."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that went wrong: the picture's name, what was asked, what was answered, why it counts."""

    picture: str
    question: str
    answer: str
    why: str

    def as_json(self) -> dict[str, str]:
        """Plain types only."""
        return {"picture": self.picture, "question": self.question, "answer": self.answer, "why": self.why}


@dataclass(frozen=True)
class Measured:
    """The outcome of one suite.

    `questions` were asked about pictures of `groups` groups. `figures` are of the copilot, `baselines` of what
    does not look (or of the heads alone) on the same questions; `details` holds plain values for the JSON.
    """

    questions: int
    groups: int
    figures: Mapping[str, Figure]
    baselines: Mapping[str, Figure] = field(default_factory=dict)
    failures: Sequence[Failure] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain types; at most `SHOWN` failures, and how many there were."""
        return {
            "questions": self.questions,
            "groups": self.groups,
            "figures": {name: figure.as_json() for name, figure in self.figures.items()},
            "baselines": {name: figure.as_json() for name, figure in self.baselines.items()},
            "failures": [failure.as_json() for failure in self.failures[:SHOWN]],
            "failures_in_all": len(self.failures),
            "details": rounded(dict(self.details)),
            "notes": list(self.notes),
        }
