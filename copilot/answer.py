"""What goes into the engine (questions) and what comes out (events, claims, answers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from slides import Evidence, Finding, Region, Slide
from vision_encoder.observation import Look

ClaimStatus = Literal["supported", "knowledge", "asked", "struck"]


@dataclass(frozen=True, slots=True)
class View:
    """A slide, or a part of one, that a question is about; `region` None means the whole slide."""

    slide: Slide
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier exchange of the conversation, plain text."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question in plain words about any number of views."""

    text: str
    views: tuple[View, ...] = ()
    context: str | None = None
    options: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of an answer and what it rests on.

    `evidence` holds indices into `Answer.evidence`; `sources` names knowledge entries
    (with citation); `reason` says why a struck claim was struck.
    """

    text: str
    status: ClaimStatus
    evidence: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "text": self.text,
            "status": self.status,
            "evidence": list(self.evidence),
            "sources": list(self.sources),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which weights answered."""

    language: str
    encoder: str
    weights_sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds: loading models, looking, until the first token shown, in all."""

    load: float = 0.0
    look: float = 0.0
    first_token: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One call that an agent made on the way to an answer.

    `status` is `done`, `failed` (the tool says why) or `refused` (not run: made before, or past a limit); `told` is
    what the agent's model read of it, `sha256` its hash; `evidence` holds the indices that it added.
    """

    number: int
    tool: str
    arguments: Mapping[str, Any]
    status: str
    told: str
    sha256: str
    evidence: tuple[int, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.arguments.items() if value)
        seen = f", evidence {self.evidence[0]} to {self.evidence[-1]}" if self.evidence else ""
        return f"step {self.number}: {self.tool.replace('_', ' ')} ({told}) {self.status}{seen}"

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {**asdict(self), "arguments": dict(self.arguments), "evidence": list(self.evidence)}


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer; every shown sentence is one of its claims."""

    claims: tuple[Claim, ...]
    evidence: tuple[Evidence, ...]
    abstained: bool
    model: ModelCard
    timings: Timings
    choice: int | None = None
    option_probabilities: tuple[float, ...] | None = None
    stopped: bool = False
    notes: tuple[str, ...] = field(default=())
    """Conditions of the slide and what was not looked at."""
    steps: tuple[Step, ...] = field(default=())
    """What an agent did before it answered; empty without one."""
    looks: tuple[Look, ...] = field(default=())
    """The reads of pixels that the findings rest on, in the order they were made."""
    facts: tuple[str, ...] = field(default=())
    """What there was to say, in plain words, as a language model is given it."""

    @property
    def text(self) -> str:
        """The sentences that stand, in order."""
        return " ".join(claim.text for claim in self.claims if claim.status != "struck")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings behind the answer, in order of evidence."""
        return tuple(item.finding for item in self.evidence)

    def as_json(self) -> dict[str, Any]:
        """The object that `pathcopilot ask --json` prints."""
        return {
            "answer": self.text,
            **({"steps": [step.as_json() for step in self.steps]} if self.steps else {}),
            "claims": [claim.as_json() for claim in self.claims],
            "evidence": [item.as_json() for item in self.evidence],
            "findings": [finding.as_json() for finding in self.findings],
            "abstained": self.abstained,
            "choice": self.choice,
            "option_probabilities": _rounded(self.option_probabilities),
            "stopped": self.stopped,
            "notes": list(self.notes),
            "looks": [look.as_json() for look in self.looks],
            "model": {
                "language": self.model.language,
                "encoder": self.model.encoder,
                "weights_sha256": dict(self.model.weights_sha256),
            },
            "timings_s": {
                "load": round(self.timings.load, 3),
                "look": round(self.timings.look, 3),
                "first_token": round(self.timings.first_token, 3),
                "total": round(self.timings.total, 3),
            },
        }


def _rounded(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [round(float(value), 4) for value in values]


@dataclass(frozen=True, slots=True)
class Looking:
    """Progress of looking: what is being looked at, `done` of `total` fields; `looks` are the reads that begin."""

    what: str
    done: int = 0
    total: int = 0
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One more piece of evidence; `index` is its place in `Answer.evidence`."""

    index: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Saying:
    """A piece of text to show now, already safe: only checked or slot-built words are said."""

    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A sentence is complete and judged; struck ones were never said."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Done:
    """The last event of every question, also after a stop."""

    answer: Answer


Event = Looking | Found | Saying | Checked | Done
