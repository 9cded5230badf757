"""The audit log: who did what to which case, each entry chained to the one before by its hash.

The chain shows that an entry was altered, left out or put in between; it cannot show that the newest were cut off,
nor stop someone who may write the database from making the whole chain anew. Keep the last hash elsewhere for that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from .database import hold
from .tables import audit

FIRST = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log; `subject` is a case, slide hash or certificate, `details` plain types."""

    number: int
    at: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]
    hash: str


def now() -> str:
    """This second in UTC, as it is written everywhere in the store."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def append(connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, Any]) -> Entry:
    """Adds an entry inside the caller's transaction: what it tells of and the entry stand or fall together."""
    hold(connection)
    last = connection.execute(select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)).first()
    number, previous = (last.number + 1, last.hash) if last else (1, FIRST)
    told = json.dumps(dict(details), ensure_ascii=False, sort_keys=True)
    at = now()
    digest = _hash(previous, number, at, actor, action, subject, told)
    connection.execute(
        insert(audit).values(
            number=number,
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            details=told,
            previous=previous,
            hash=digest,
        )
    )
    return Entry(number, at, actor, action, subject, details, digest)


def entries(connection: Connection, subject: str | None = None) -> list[Entry]:
    """The log in order, or what it says about one subject."""
    query = select(audit).order_by(audit.c.number)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    return [
        Entry(row.number, row.at, row.actor, row.action, row.subject, json.loads(row.details), row.hash)
        for row in connection.execute(query)
    ]


def first_broken(connection: Connection) -> int | None:
    """Number of the first entry that does not follow from the one before it, None when the whole chain holds."""
    previous, expected = FIRST, 1
    for row in connection.execute(select(audit).order_by(audit.c.number)):
        digest = _hash(previous, row.number, row.at, row.actor, row.action, row.subject, row.details)
        if row.number != expected or row.previous != previous or row.hash != digest:
            return expected
        previous, expected = row.hash, expected + 1
    return None


def _hash(*parts: str | int) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
