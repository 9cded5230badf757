"""The worklist behind the desk: open slides ranked as cases, releases under a certificate, and what people decide."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from copilot.answer import Looking, View
from copilot.store import Store, open_store
from copilot.store.store import Placed
from copilot.triage.audit import LIMIT, judge
from copilot.triage.certificate import Certificate, read_certificate
from copilot.triage.grouping import group
from copilot.triage.labels import Table, read_table
from copilot.triage.release import Decision, triage
from copilot.triage.review import review_of, settle
from copilot.triage.scorer import HeadScorer, Scorer, Sight, look_once
from copilot.triage.worklist import Worklist
from slides import PathcopilotError, SetupError, Slide, UsageError
from vision_encoder.observation import Observation

from .exchange import Exchange
from .models import Engine, log
from .rack import Rack

FIELDS_SHOWN = 5
LOG_SHOWN = 6
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Ranked:
    """What the page says once the slides are ranked; the cases themselves are shown below it."""

    worklist: Worklist

    def markdown(self) -> str:
        """One line."""
        rows = self.worklist.rows
        released, drawn = sum(row.released for row in rows), sum(row.drawn for row in rows)
        told = f"{len(rows)} slides ranked, {released} released, {drawn} drawn for the audit."
        return (
            told if self.worklist.certificate is not None else f"{len(rows)} slides ranked; every one has to be read."
        )


class Cases:
    """The desk's cases; thread-safe.

    Parameters
    ----------
    rack : the open slides
    store : where cases and the audit log are kept; without one nothing outlives the process, and nothing is released
    certificate : allows releases; needs a store
    patients : which slides belong together; without it each slide is a case
    slide_model : folder of a model of whole slides that scores in the place of the head
    """

    def __init__(
        self,
        rack: Rack,
        store: Store | None = None,
        certificate: Certificate | None = None,
        patients: Table | None = None,
        slide_model: Path | None = None,
    ) -> None:
        self.store = store
        self._rack = rack
        self._certificate = certificate if store is not None else None
        self._patients = patients
        self._slide_model = slide_model
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[str, ...]] = {}
        self._unsaved: list[Placed] = []
        self._recalled = False
        self._worklist: Worklist | None = None

    def rank(self, engine: Engine, tell: Tell) -> Ranked:
        """Looks at every open slide, or remembers it, and puts the cases in order; `tell` may raise to stop it."""
        scorer = scorer_of(engine, self._slide_model)
        sights: list[Sight] = []
        shelves = self._rack.shelves
        for number, shelf in enumerate(shelves, 1):
            tell(f"slide {number} of {len(shelves)}")
            sights.append(self._look(scorer, shelf.key, shelf.name, tell))
        if self.store is None:
            cases = {f"case-{shelf.key}": [sight] for shelf, sight in zip(shelves, sights, strict=True)}
        else:
            cases = group(self._rack.paths, sights, self._patients, self.store)
        worklist, decisions = triage(cases, self._certificate, scorer, self.store, actor())
        key_of = {id(sight): shelf.key for shelf, sight in zip(shelves, sights, strict=True)}
        loose = [decision for decision in decisions if self.store is None or _loose(decision)]
        with self._lock:
            for sight in sights:
                self._shelve(sight.fingerprint, key_of[id(sight)])
            self._worklist = worklist
            self._unsaved = [_unsaved(decision, key_of) for decision in loose]
        return Ranked(worklist)

    def recall(self) -> bool:
        """Finds the open slides that the store knows already, opening each; once. True when it found some now."""
        with self._lock:
            before, self._recalled = self._recalled, True
        if before or self.store is None or not (known := {row.case for row in self.store.worklist()}):
            return False
        for shelf in self._rack.shelves:
            try:
                fingerprint = self._rack.slide(shelf.key).fingerprint
            except PathcopilotError:
                continue
            if self.store.case_of(fingerprint) in known:
                with self._lock:
                    self._shelve(fingerprint, shelf.key)
        return bool(self._keys)

    def override(self, case: str, status: Literal["recalled", "read"], reason: str) -> None:
        """A person takes a release back, or signs a case out; raises `UsageError` without a reason or a store."""
        self._kept().override(case, status, reason, actor())

    def sign_out(self, case: str, positive: bool) -> None:
        """A person has read a case: it leaves the list, and its truth counts for the audit of the certificate."""
        store = self._kept()
        placed = store.case(case)
        if placed is None:
            raise UsageError("no such case is on the worklist: rank its slides first")
        certificate = self._certificate
        if certificate is not None and certificate.sha256 in placed.record.get("under", {}):
            store.review(certificate.sha256, [review_of(placed, certificate, positive=positive)], actor())
            settle(certificate, store, actor())
        store.override(case, "read", "read as positive" if positive else "read as not positive", actor())

    def keep(self, exchange: Exchange) -> None:
        """Keeps a finished question and answer with its slide, where there is a store; the slide's name is left out."""
        if self.store is None or exchange.answer is None:
            return
        told = exchange.answer.as_json()
        record = {name: told[name] for name in ("answer", "claims", "findings", "abstained", "stopped", "model")}
        record["evidence"] = [{k: v for k, v in item.items() if k != "slide"} for item in told["evidence"]]
        record["regions"] = [list(region.xywh) for region in exchange.regions]
        try:
            self.store.converse(self._rack.slide(exchange.slide).fingerprint, exchange.question, record)
        except PathcopilotError as error:  # the answer stands; that it was not kept is for whoever runs the desk
            log.warning("a conversation was not kept: %s", error)

    def as_props(self) -> dict[str, Any]:
        """Plain types for the page: the certificate, and the cases of the open slides in reading order."""
        with self._lock:
            keys, unsaved, worklist = dict(self._keys), list(self._unsaved), self._worklist
        rows = [*unsaved, *(() if self.store is None else self.store.worklist())]
        rows.sort(key=lambda row: (row.score is not None, -(row.score or 0.0)))
        cases = [self._case(row, keys) for row in rows]
        shown = [case for case in cases if case["slides"]]
        return {
            "certificate": self._certificate_props(worklist),
            "cases": shown,
            "kept": self.store is not None,
            "unranked": len(self._rack.shelves) - sum(len(case["slides"]) for case in shown),
        }

    def _look(self, scorer: Scorer, key: str, name: str, tell: Tell) -> Sight:
        try:
            return look_once(scorer, self._rack.slide(key), self.store, tell, name)
        except PathcopilotError as error:
            return Sight(name, None, None, str(error).rstrip("."))

    def _kept(self) -> Store:
        if self.store is None:
            raise UsageError("no case store is open: start the desk with one (--store)")
        return self.store

    def _shelve(self, fingerprint: str | None, key: str) -> None:
        """Remembers where a content lies in the rack; several files may hold the same."""
        if fingerprint is not None:
            self._keys[fingerprint] = tuple(dict.fromkeys((*self._keys.get(fingerprint, ()), key)))

    def _case(self, row: Placed, keys: dict[str, tuple[str, ...]]) -> dict[str, Any]:
        names = self._rack.names
        slides = []
        for slide in row.record.get("slides", ()):
            for key in [slide["key"]] if "key" in slide else keys.get(slide["hash"], ()):
                fields = slide["fields"][:FIELDS_SHOWN]
                told = {name: slide[name] for name in ("score", "why", "held", "alternatives")}
                slides.append({"key": key, "name": names[key], "fields": fields} | told)
        log = self.store.audit_log(row.case)[-LOG_SHOWN:] if self.store is not None and slides else []
        return {
            "id": row.case,
            "status": row.status,
            "score": row.score,
            "reason": row.reason,
            "slides": slides,
            "log": [
                {"at": entry.at[:16].replace("T", " "), "what": entry.action, "who": entry.actor}
                | {"why": str(entry.details.get("reason", ""))}
                for entry in log
            ],
        }

    def _certificate_props(self, worklist: Worklist | None) -> dict[str, Any] | None:
        certificate, store = self._certificate, self.store
        if certificate is None or store is None:
            return None
        told = certificate.summary()
        refused = None if worklist is None or worklist.certificate is None else worklist.certificate["refused"]
        stopped = store.certificate(certificate.sha256)
        if stopped is not None and stopped[1] is not None:
            refused = f"it was stopped: {stopped[1]}"
        verdict = judge(store.reviews(certificate.sha256), certificate.sensitivity, certificate.audit_share)
        audit = {"words": verdict.words, "limit": LIMIT, "share": certificate.audit_share}
        return told | {"refused": refused, "audit": audit}


@dataclass(frozen=True)
class Triage:
    """What the worklist of a desk goes by; see `Cases`."""

    store: Store | None = None
    certificate: Certificate | None = None
    patients: Table | None = None
    slide_model: Path | None = None

    def cases(self, rack: Rack) -> Cases:
        """The cases of a desk."""
        return Cases(rack, self.store, self.certificate, self.patients, self.slide_model)


def open_triage(
    store: str | None, certificate: Path | None, patients: Path | None, slide_model: Path | None = None
) -> Triage:
    """The store, certificate, patients and slide model that a command names; the model is read when slides are ranked.

    Where none of them is named and the user's own store cannot be used (a folder that may only be read), the desk
    ranks and keeps nothing. Raises `UsageError` for a file that is missing or none of its kind, `SetupError` for a
    store that cannot be used.
    """
    stated = None if certificate is None else read_certificate(certificate)
    table = None if patients is None else read_table(patients, labels=False)
    try:
        return Triage(open_store(store), stated, table, slide_model)
    except SetupError:
        if store is not None or stated is not None or table is not None:
            raise
        return Triage(slide_model=slide_model)


def scorer_of(engine: Engine, slide_model: Path | None = None) -> Scorer:
    """What scores slides with the weights of an engine; raises `SetupError` for a slide model of another encoder."""
    from vision_encoder.look import Eye  # it brings in torch, which the page does not wait for

    eye = getattr(engine, "eye", None)
    if isinstance(eye, Eye) and slide_model is not None:
        from copilot.triage.slide_scorer import load_scorer

        return load_scorer(eye, slide_model)
    if isinstance(eye, Eye):
        return HeadScorer.of(eye)

    def look(slide: Slide) -> Generator[Looking, None, Observation]:
        return engine.observe(View(slide), context=None, halted=lambda: False)

    return HeadScorer(look, {})


def actor() -> str:
    """Who the audit log names: the user that the desk runs as."""
    try:
        return f"desk: {getpass.getuser()}"[:64]
    except (OSError, KeyError):
        return "desk"


def _loose(decision: Decision) -> bool:
    """Whether no slide of a case opened, so that the store does not know it."""
    return not any(sight.fingerprint for sight in decision.sights)


def _unsaved(decision: Decision, key_of: Mapping[int, str]) -> Placed:
    slides = [
        {"key": key_of[id(sight)], "score": sight.score, "held": sight.held, "why": sight.why}
        | {"alternatives": list(sight.alternatives), "fields": [list(box) for box in sight.fields]}
        for sight in decision.sights
    ]
    return Placed(decision.case, decision.status, decision.score, decision.reason, None, {"slides": slides})
