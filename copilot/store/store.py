"""The store itself: everything that outlives a process, by case and by a slide's content hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from sqlalchemy import ColumnElement, Connection, Table, and_, insert, select, update

from slides import UsageError

from . import log, tables
from .database import Database, hold
from .place import data_folder, load_key, pseudonym, store_url

Status = Literal["to read", "released", "audit", "recalled", "read"]
"""`audit`: below the threshold and drawn for review. `recalled`: a person took the release back. `read`: signed out."""

Settle = Callable[[str, "Placed | None"], "Placed | None"]


class CertificateStopped(UsageError):
    """Raised when cases are to be released under a certificate that was stopped meanwhile."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One case of the worklist.

    `score` in [0, 1] or None; `certificate` is the hash of the one it was released or drawn under; `record` holds
    plain types for whoever shows it (slides by hash, fields, classes); its `hashes` are those of the case's slides.
    """

    case: str
    status: Status
    score: float | None
    reason: str
    certificate: str | None
    record: Mapping[str, Any]
    at: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """The truth about one case after it was read.

    `missed`: it was positive and below the threshold. `sampled`: it was drawn for the audit, or not below it, so
    that its review did not depend on its truth.
    """

    case: str
    positive: bool
    missed: bool
    sampled: bool
    at: str = ""


class Store:
    """A case store. Every method is one transaction; when it returns, what it wrote is on the disk.

    Several processes and threads may use one store at once. Slides are named by their content hash
    (`Slide.fingerprint`), cases by a pseudonym; no path, file name or patient's identifier is ever stored.

    Parameters
    ----------
    place : a SQLAlchemy URL or a file; None for `PATHCOPILOT_STORE`, else the user's data folder
    key : file with the secret of the pseudonyms; beside a SQLite file by default, else in the user's data folder

    Every method raises `SetupError` when the store cannot be used, with one line that says what to do.
    """

    def __init__(self, place: str | Path | None = None, *, key: Path | None = None) -> None:
        self._database = Database(store_url(place))
        file = self._database.engine.url.database if self._database.engine.dialect.name == "sqlite" else None
        self._key = load_key(key or (Path(file).with_suffix(".key") if file else data_folder() / "store.key"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    # Cases and slides ------------------------------------------------------------------------------------------

    def case_id(self, patient: str) -> str:
        """The pseudonym of a patient's identifier; nothing is written."""
        return pseudonym(self._key, patient)

    def add_slide(self, slide: str, case: str | None = None, facts: Mapping[str, Any] | None = None) -> None:
        """Makes a slide known by its hash, in a case (made when new), with facts such as size, µm/px and scanner.

        A slide that is known keeps its case unless another is given; its facts are replaced where they are given.
        """

        def job(connection: Connection) -> None:
            if case is not None:
                _add_case(connection, case)
            given = {"case_id": case, "facts": None if facts is None else dict(facts)}
            known = {name: value for name, value in given.items() if value is not None}
            there = tables.slides.c.hash == slide
            if connection.scalar(select(tables.slides.c.hash).where(there)) is None:
                fresh = {"facts": {}, "hash": slide, "added": log.now()} | known
                connection.execute(insert(tables.slides).values(**fresh))
            elif known:
                connection.execute(update(tables.slides).where(there).values(**known))

        self._database.write(job)

    def case_of(self, slide: str) -> str | None:
        """The case that a slide belongs to, None when it is not known or in none."""
        where = tables.slides.c.hash == slide
        found: str | None = self._database.read(lambda c: c.scalar(select(tables.slides.c.case_id).where(where)))
        return found

    def slides_of(self, case: str) -> tuple[str, ...]:
        """Hashes of the slides of a case, in the order in which they came."""
        query = (
            select(tables.slides.c.hash)
            .where(tables.slides.c.case_id == case)
            .order_by(tables.slides.c.added, tables.slides.c.hash)
        )
        return tuple(self._database.read(lambda connection: list(connection.scalars(query))))

    # What was seen ---------------------------------------------------------------------------------------------

    def memory(self, slide: str, kind: str, made_by: str) -> bytes | None:
        """What was remembered of a slide under a kind, by exactly this maker; None when nothing was.

        `made_by` is the joined hash of everything that the content depends on (encoder, heads, settings): another
        version finds nothing, so it never reuses what an older one made.
        """
        query = select(tables.memory.c.payload).where(_is(tables.memory, slide=slide, kind=kind, made_by=made_by))
        found = self._database.read(lambda connection: connection.scalar(query))
        return None if found is None else bytes(found)

    def remember(self, slide: str, kind: str, payload: bytes, made_by: str) -> None:
        """Keeps bytes under (slide, kind, maker) in place of what was there."""
        key = {"slide": slide, "kind": kind, "made_by": made_by}
        self._database.write(lambda c: _put(c, tables.memory, key, {"payload": payload, "at": log.now()}))

    def findings(self, slide: str, made_by: str, view: str = "whole") -> Mapping[str, Any] | None:
        """The record of what was found in a view of a slide by exactly this maker, None when there is none."""
        query = select(tables.findings.c.record).where(_is(tables.findings, slide=slide, view=view, made_by=made_by))
        found: Mapping[str, Any] | None = self._database.read(lambda connection: connection.scalar(query))
        return found

    def keep_findings(self, slide: str, record: Mapping[str, Any], made_by: str, view: str = "whole") -> None:
        """Keeps a record of plain types; `view` is `whole` or the region's `x,y,width,height`."""
        key = {"slide": slide, "view": view, "made_by": made_by}
        self._database.write(lambda c: _put(c, tables.findings, key, {"record": dict(record), "at": log.now()}))

    def converse(self, slide: str, question: str, answer: Mapping[str, Any]) -> None:
        """Adds one exchange to the conversation about a slide."""
        values = {"slide": slide, "question": question, "answer": dict(answer), "at": log.now()}
        self._database.write(lambda connection: connection.execute(insert(tables.conversations).values(**values)))

    def conversation(self, slide: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Questions and answers about a slide, oldest first."""
        table = tables.conversations
        query = select(table.c.question, table.c.answer).where(table.c.slide == slide).order_by(table.c.number)
        return self._database.read(lambda c: [(row.question, row.answer) for row in c.execute(query)])

    # Certificates ----------------------------------------------------------------------------------------------

    def keep_certificate(self, digest: str, record: Mapping[str, Any], actor: str) -> None:
        """Keeps a certificate by its hash and logs it; a known one is left as it is."""

        def job(connection: Connection) -> None:
            table = tables.certificates
            if connection.scalar(select(table.c.hash).where(table.c.hash == digest)) is None:
                connection.execute(insert(table).values(hash=digest, record=dict(record), at=log.now()))
                log.append(connection, actor, "certificate kept", digest, {})

        self._database.write(job)

    def certificate(self, digest: str) -> tuple[Mapping[str, Any], str | None] | None:
        """A certificate's record and why it was stopped (None while it stands); None for one that is not here."""
        table = tables.certificates
        query = select(table.c.record, table.c.stopped).where(table.c.hash == digest)
        row = self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else (row.record, row.stopped)

    def stop_certificate(self, digest: str, why: str, actor: str) -> None:
        """Ends a certificate for good, and takes back every release under it that a person has not settled.

        A second stop is nothing.
        """

        def job(connection: Connection) -> None:
            table = tables.certificates
            standing = _is(table, hash=digest) & table.c.stopped.is_(None)
            if not connection.execute(update(table).where(standing).values(stopped=why)).rowcount:
                return
            log.append(connection, actor, "certificate stopped", digest, {"reason": why})
            under = _is(tables.worklist, certificate=digest, status="released")
            for (case,) in connection.execute(select(tables.worklist.c.case_id).where(under)).all():
                _set(connection, case, status="to read", reason=why)
                log.append(connection, actor, "release withdrawn", case, {"reason": why, "certificate": digest})

        self._database.write(job)

    # The worklist ----------------------------------------------------------------------------------------------

    def place(self, rows: Sequence[Placed], actor: str) -> list[Placed]:
        """Puts cases on the worklist and logs each release, each draw for the audit and each release withdrawn.

        A case that a person recalled keeps that status, and one that was signed out does while no slide is added.
        Returns the rows as they now stand.
        """
        given = {row.case: row for row in rows}
        return self.settle(list(given), lambda case, _before: given[case], actor)

    def settle(self, cases: Sequence[str], decide: Settle, actor: str, *, under: str | None = None) -> list[Placed]:
        """As `place`, with rows that are decided on what is known: `decide(case, row or None)`, None to leave it.

        No other process changes a case between the question and the answer. Raises `CertificateStopped` when the
        certificate `under` was stopped.
        """

        def job(connection: Connection) -> list[Placed]:
            hold(connection)
            table = tables.certificates
            stopped = connection.scalar(select(table.c.stopped).where(table.c.hash == under)) if under else None
            if stopped is not None:
                raise CertificateStopped(f"it was stopped: {stopped}")
            rows = [row for case in cases if (row := decide(case, _find(connection, case))) is not None]
            return [_place(connection, row, actor) for row in rows]

        return self._database.write(job)

    def worklist(self) -> list[Placed]:
        """Every case: without a score first, then by score, highest first."""
        query = select(tables.worklist)
        rows = self._database.read(lambda connection: [_placed(row) for row in connection.execute(query)])
        return sorted(rows, key=lambda row: (row.score is not None, -(row.score or 0.0), row.case))

    def case(self, case: str) -> Placed | None:
        """One case of the worklist."""
        query = select(tables.worklist).where(tables.worklist.c.case_id == case)
        row = self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else _placed(row)

    def override(self, case: str, status: Literal["recalled", "read"], reason: str, actor: str) -> Placed:
        """A person takes a release back, or signs a case out; the reason is logged.

        Raises `UsageError` without a reason, or for a case that is not on the worklist.
        """
        why = " ".join(reason.split())
        if not why:
            raise UsageError("say why: an override needs a reason")

        def job(connection: Connection) -> Placed:
            before = _find(connection, case)
            if before is None:
                raise UsageError("no such case is on the worklist: rank its slides first")
            _set(connection, case, status=status, reason=before.reason)
            action = "release overridden" if status == "recalled" else "signed out"
            log.append(connection, actor, action, case, {"reason": why, "from": before.status})
            return _found(connection, case)

        return self._database.write(job)

    # Reviews for the audit of releases -------------------------------------------------------------------------

    def review(self, certificate: str, reviews: Sequence[Review], actor: str) -> int:
        """Adds the truth about cases, once a case and certificate, and logs each; returns how many were new."""

        def job(connection: Connection) -> int:
            table, new = tables.reviews, 0
            for item in reviews:
                here = _is(table, certificate=certificate, case_id=item.case)
                if connection.scalar(select(table.c.number).where(here)) is not None:
                    continue
                _add_case(connection, item.case)
                told = {"positive": item.positive, "missed": item.missed, "sampled": item.sampled}
                connection.execute(
                    insert(table).values(certificate=certificate, case_id=item.case, at=log.now(), **told)
                )
                log.append(connection, actor, "reviewed", item.case, told | {"certificate": certificate})
                new += 1
            return new

        return self._database.write(job)

    def reviews(self, certificate: str) -> list[Review]:
        """Reviews under a certificate in the order in which they came."""
        table = tables.reviews
        query = select(table).where(table.c.certificate == certificate).order_by(table.c.number)

        def job(connection: Connection) -> list[Review]:
            rows = connection.execute(query)
            return [Review(row.case_id, row.positive, row.missed, row.sampled, row.at) for row in rows]

        return self._database.read(job)

    # The audit log ---------------------------------------------------------------------------------------------

    def note(self, actor: str, action: str, subject: str, details: Mapping[str, Any]) -> None:
        """Adds an entry of its own to the audit log."""
        self._database.write(lambda connection: log.append(connection, actor, action, subject, details))

    def audit_log(self, subject: str | None = None) -> list[log.Entry]:
        """The log in order, or what it says about one case, slide or certificate."""
        return self._database.read(lambda connection: log.entries(connection, subject))

    def first_broken_entry(self) -> int | None:
        """Number of the first entry whose hash does not follow from the one before; None when the chain holds."""
        return self._database.read(log.first_broken)


def open_store(place: str | Path | None = None) -> Store:
    """The store at a place, or at the user's own; see `Store`."""
    return Store(place)


def _is(table: Table, **values: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in values.items()))


def _put(connection: Connection, table: Table, key: dict[str, str], values: dict[str, Any]) -> None:
    """Replaces a row, or adds it; a race with another process ends in an integrity error, and the job runs again."""
    if not connection.execute(update(table).where(_is(table, **key)).values(**values)).rowcount:
        connection.execute(insert(table).values(**key, **values))


def _add_case(connection: Connection, case: str) -> None:
    if connection.scalar(select(tables.cases.c.id).where(tables.cases.c.id == case)) is None:
        connection.execute(insert(tables.cases).values(id=case, added=log.now()))


def _place(connection: Connection, row: Placed, actor: str) -> Placed:
    before = _find(connection, row.case)
    status = before.status if before is not None and _stays(before, row) else row.status
    _add_case(connection, row.case)
    values = {
        "status": status,
        "score": row.score,
        "reason": row.reason,
        "certificate": row.certificate,
        "record": dict(row.record),
        "at": log.now(),
    }
    _put(connection, tables.worklist, {"case_id": row.case}, values)
    told = {"certificate": row.certificate, "score": row.score, "reason": row.reason}
    was = before.status if before else "to read"
    if status != was or (before is not None and before.certificate != row.certificate and status != "to read"):
        if status in ("released", "audit"):
            log.append(connection, actor, "released" if status == "released" else "drawn for audit", row.case, told)
        elif was == "released":
            log.append(connection, actor, "release withdrawn", row.case, told)
    return _found(connection, row.case)


def _stays(before: Placed, row: Placed) -> bool:
    """Whether what a person decided stands: a signed out case comes back when a slide is added."""
    added = set(row.record.get("hashes", ())) - set(before.record.get("hashes", ()))
    return before.status == "recalled" or (before.status == "read" and not added)


def _set(connection: Connection, case: str, *, status: Status, reason: str) -> None:
    values = {"status": status, "reason": reason, "at": log.now()}
    connection.execute(update(tables.worklist).where(tables.worklist.c.case_id == case).values(**values))


def _find(connection: Connection, case: str) -> Placed | None:
    row = connection.execute(select(tables.worklist).where(tables.worklist.c.case_id == case)).first()
    return None if row is None else _placed(row)


def _found(connection: Connection, case: str) -> Placed:
    found = _find(connection, case)
    assert found is not None
    return found


def _placed(row: Any) -> Placed:
    return Placed(row.case_id, row.status, row.score, row.reason, row.certificate, row.record, row.at)
