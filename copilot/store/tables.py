"""The tables of the store. No column holds a patient's name or number, a path or a file's name."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = 1
"""Of the layout: a store of another is refused, never guessed at."""

metadata = MetaData()

_CASE, _HASH, _TIME = String(64), String(64), String(32)

about = Table(
    "about",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("id", _CASE, primary_key=True),
    Column("added", _TIME, nullable=False),
)

slides = Table(
    "slides",
    metadata,
    Column("hash", _HASH, primary_key=True),
    Column("case_id", _CASE, ForeignKey("cases.id"), index=True),
    Column("facts", JSON, nullable=False),
    Column("added", _TIME, nullable=False),
)

memory = Table(
    "memory",
    metadata,
    Column("slide", _HASH, primary_key=True),
    Column("kind", String(255), primary_key=True),
    Column("made_by", String(128), primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("at", _TIME, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("slide", _HASH, primary_key=True),
    Column("view", String(64), primary_key=True),
    Column("made_by", String(128), primary_key=True),
    Column("record", JSON, nullable=False),
    Column("at", _TIME, nullable=False),
)

worklist = Table(
    "worklist",
    metadata,
    Column("case_id", _CASE, ForeignKey("cases.id"), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("score", Float),
    Column("reason", Text, nullable=False),
    Column("certificate", _HASH),
    Column("record", JSON, nullable=False),
    Column("at", _TIME, nullable=False),
)

conversations = Table(
    "conversations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("slide", _HASH, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("at", _TIME, nullable=False),
    Index("conversations_of_a_slide", "slide", "number"),
)

certificates = Table(
    "certificates",
    metadata,
    Column("hash", _HASH, primary_key=True),
    Column("record", JSON, nullable=False),
    Column("stopped", Text),
    Column("at", _TIME, nullable=False),
)

reviews = Table(
    "reviews",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("certificate", _HASH, nullable=False),
    Column("case_id", _CASE, ForeignKey("cases.id"), nullable=False),
    Column("positive", Boolean, nullable=False),
    Column("missed", Boolean, nullable=False),
    Column("sampled", Boolean, nullable=False),
    Column("at", _TIME, nullable=False),
    Index("one_review_of_a_case", "certificate", "case_id", unique=True),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", _TIME, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", _HASH, nullable=False),
    Column("hash", _HASH, nullable=False),
    Index("entries_of_a_subject", "subject", "number"),
)
