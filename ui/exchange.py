"""One question and its answer as the page shows them, built from the engine's events."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal

from copilot.answer import Answer, Checked, Claim, Done, Event, Found, Looking, Saying, Turn
from slides import Evidence, Region

from .places import Places

Box = tuple[int, int, int, int]


class Exchange:
    """A question about one slide and what has come of it so far; thread-safe.

    Parameters
    ----------
    number : its place in the slide's conversation, from 0
    slide, whole : key and extent of the slide asked about
    regions : boxes asked about, level-0 pixels; none means the whole slide
    history : the conversation before, as the question took it along
    again : number of the exchange that this one says in other words, None for a question of its own

    Attributes
    ----------
    vote : what the person thinks of it: "up", "down", or None
    """

    def __init__(
        self,
        number: int,
        slide: str,
        whole: Region,
        question: str,
        regions: Sequence[Region] = (),
        context: str | None = None,
        history: Sequence[Turn] = (),
        again: int | None = None,
    ) -> None:
        self.number = number
        self.history = tuple(history)
        self.again = again
        self.vote: Literal["up", "down"] | None = None
        self.slide = slide
        self.question = question
        self.regions = tuple(regions)
        self.context = context
        self.halt = threading.Event()
        self._places = Places(whole, self.regions)
        self._progress: dict[str, Any] = {"what": "", "done": 0, "total": 0}
        self._fields_seen = 0
        self._evidence: dict[int, Evidence] = {}
        self._claims: list[Claim] = []
        self._saying = ""
        self._answer: Answer | None = None
        self._error: str | None = None
        self._changed = threading.Condition()
        self._version = 0

    def take(self, event: Event) -> None:
        """Takes in one event of the engine."""
        with self._changed:
            match event:
                case Looking(what, done, total):
                    self._progress = {"what": what, "done": done, "total": total}
                    self._fields_seen = max(self._fields_seen, done)
                case Found(index, evidence):
                    self._evidence[index] = evidence
                case Saying(text):
                    self._saying += text
                case Checked(claim):
                    self._claims.append(claim)
                    if claim.status != "struck":
                        self._saying = ""
                    self._letter(claim)
                case Done(answer):
                    self._finish(answer)
            self._version += 1
            self._changed.notify_all()

    def fail(self, reason: str) -> None:
        """Ends the exchange with one line that says what to do."""
        with self._changed:
            self._error = reason
            self._version += 1
            self._changed.notify_all()

    def wait(self, version: int, timeout: float) -> int:
        """The present version, as soon as it differs from `version` or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout)
            return self._version

    @property
    def over(self) -> bool:
        """True when nothing more will come."""
        return self._answer is not None or self._error is not None

    @property
    def answer(self) -> Answer | None:
        """The finished answer, None while it is on its way or when it failed."""
        return self._answer

    def turn(self) -> Turn | None:
        """The exchange as later questions remember it; None without an answer, or for the same in other words."""
        return None if self._answer is None or self.again is not None else Turn(self.question, self._answer.text)

    def as_props(self) -> dict[str, Any]:
        """Plain types for the page. Every text in it is data: the page sets it as text, never as markup."""
        with self._changed:
            evidence = [self._evidence[index] for index in sorted(self._evidence)]
            order = sorted(self._evidence)
            return {
                "number": self.number,
                "again": self.again,
                "vote": self.vote,
                "slide": self.slide,
                "question": self.question,
                "context": self.context,
                "regions": [list(region.xywh) for region in self.regions],
                "progress": dict(self._progress),
                "sentences": [self._sentence(claim) for claim in self._claims if claim.status != "struck"],
                "saying": self._saying.lstrip(),
                "struck": [
                    {"text": claim.text, "reason": claim.reason or ""}
                    for claim in self._claims
                    if claim.status == "struck"
                ],
                "places": self._places.as_props(),
                "figures": [
                    figure(item) | {"letters": self._places.letters(item)}
                    for _, item in zip(order, evidence, strict=True)
                ],
                "notes": list(self._answer.notes) if self._answer else [],
                "seconds": self._seconds(),
                "model": self._model(),
                "abstained": bool(self._answer and self._answer.abstained),
                "stopped": bool(self._answer and self._answer.stopped),
                "stopping": self.halt.is_set(),
                "error": self._error,
                "over": self.over,
            }

    def _finish(self, answer: Answer) -> None:
        self._answer = answer
        self._claims = list(answer.claims)
        self._evidence = dict(enumerate(answer.evidence))
        self._saying = ""
        for claim in self._claims:
            self._letter(claim)

    def _letter(self, claim: Claim) -> None:
        if claim.status != "struck":
            for item in self._cited(claim):
                self._places.mark(item)

    def _cited(self, claim: Claim) -> list[Evidence]:
        return [self._evidence[index] for index in claim.evidence if index in self._evidence]

    def _sentence(self, claim: Claim) -> dict[str, Any]:
        letters = [letter for item in self._cited(claim) for letter in self._places.letters(item)]
        return {
            "text": claim.text,
            "status": claim.status,
            "letters": list(dict.fromkeys(letters)),
            "sources": list(claim.sources),
        }

    def _seconds(self) -> dict[str, float] | None:
        if self._answer is None:
            return None
        return {"first": round(self._answer.timings.first_token, 1), "total": round(self._answer.timings.total, 1)}

    def _model(self) -> dict[str, str] | None:
        if self._answer is None:
            return None
        return {"language": self._answer.model.language, "encoder": self._answer.model.encoder}


def figure(evidence: Evidence) -> dict[str, Any]:
    """One row of figures: what was found, how sure, the 90 % set, how like known tissue."""
    finding = evidence.finding
    return {
        "name": finding.name.replace("_", " "),
        "label": finding.label,
        "value": finding.value,
        "unit": finding.unit,
        "interval": list(finding.interval) if finding.interval else None,
        "probability": finding.probability,
        "set": list(finding.prediction_set),
        "novelty": finding.novelty,
        "abstained": finding.abstained,
        "reason": finding.reason,
        "scope": finding.scope,
        "source": finding.source,
        "mpp": evidence.mpp,
    }
