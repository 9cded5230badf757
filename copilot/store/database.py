"""The database behind the store: opened, laid out, and written in transactions that are whole or not at all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, select, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from slides import SetupError, UsageError

from . import tables

T = TypeVar("T")

BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""

TRIES = 40

_FORBIDDEN = "the audit log is only ever added to"
_LOCK = 0x70617468  # any number: every process that makes tables or adds to the log takes the same one


class Database:
    """An open database with the store's tables.

    Raises `UsageError` for a URL that names no database, `SetupError` when it cannot be opened, its driver is
    missing, or it was laid out by another version.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.name = self.engine.url.render_as_string(hide_password=True)
        if self.engine.dialect.name == "sqlite":
            self.name = Path(self.engine.url.database or ":memory:").name
        try:
            found = self.write(_lay_out)
            if found != str(tables.VERSION):
                raise SetupError(
                    f"the case store {self.name} was laid out by another version of pathcopilot: name another"
                )
        except SetupError:
            self.engine.dispose()
            raise

    def read(self, job: Callable[[Connection], T]) -> T:
        """What a job finds in one consistent view of the database; raises `SetupError` when it cannot be read."""
        try:
            with self.engine.connect().execution_options(reads=True) as connection:
                return job(connection)
        except SQLAlchemyError as error:
            raise SetupError(_why(self.name, error)) from None

    def write(self, job: Callable[[Connection], T]) -> T:
        """Runs a job in one transaction; when it returns, everything is on the disk.

        A job that loses a race to another process is run again from its start. Raises `SetupError` when the
        database cannot be written.
        """
        for left in reversed(range(TRIES)):
            try:
                with self.engine.begin() as connection:
                    return job(connection)
            except (IntegrityError, OperationalError) as error:
                if not left or not _passing(error):
                    raise SetupError(_why(self.name, error)) from None
            except SQLAlchemyError as error:
                raise SetupError(_why(self.name, error)) from None
            time.sleep(random.uniform(0.002, 0.05))
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Gives its connections back."""
        self.engine.dispose()


def hold(connection: Connection) -> None:
    """Makes other writers of the log wait until this transaction ends; SQLite's writers wait by themselves."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _lay_out(connection: Connection) -> str | None:
    """Makes the tables where there are none; returns the version of the layout that is there."""
    hold(connection)
    if not inspect(connection).has_table(tables.about.name):
        tables.metadata.create_all(connection)
        for statement in _guards(connection.dialect.name):
            connection.execute(text(statement))
        connection.execute(insert(tables.about).values(name="layout", value=str(tables.VERSION)))
    return connection.scalar(select(tables.about.c.value).where(tables.about.c.name == "layout"))


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except (ArgumentError, NoSuchModuleError):
        raise UsageError("the case store is named by a file, or a URL such as postgresql://HOST/DATABASE") from None
    except ModuleNotFoundError as error:
        raise SetupError(
            f"the case store's driver {error.name} is not installed: pip install 'pathcopilot[postgresql]'"
        ) from None
    if engine.dialect.name == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            folder = Path(parsed.database).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SetupError(
                    f"the folder {folder.name} of the case store cannot be made: {error.strerror}: name another"
                ) from None
        _as_sqlite_should(engine)
    return engine


def _as_sqlite_should(engine: Engine) -> None:
    """WAL, so that readers and a writer do not wait for each other; every commit synced; writers in turn."""

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver would begin by itself, and too late for a writer's turn
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {round(1000 * BUSY_SECONDS)}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _guards(dialect: str) -> tuple[str, ...]:
    """What makes the database itself refuse a change of the audit log, where its dialect is known."""
    if dialect == "sqlite":
        return tuple(
            f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit "
            f"BEGIN SELECT RAISE(ABORT, '{_FORBIDDEN}'); END"
            for change in ("UPDATE", "DELETE")
        )
    if dialect == "postgresql":
        return (
            "CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_FORBIDDEN}'; END $$",
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit "
            "FOR EACH ROW EXECUTE FUNCTION audit_stays()",
            "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit EXECUTE FUNCTION audit_stays()",
        )
    return ()


def _passing(error: DBAPIError) -> bool:
    """Whether an error may be gone at the next try: a lost race or a lock, not a missing database."""
    words = str(error.orig).lower()
    return isinstance(error, IntegrityError) or any(
        word in words for word in ("locked", "busy", "deadlock", "serializ", "server closed", "terminating")
    )


def _why(name: str, error: SQLAlchemyError) -> str:
    """One line without the statement and its values."""
    cause = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
    return f"the case store {name} cannot be used: {cause}: check that it is there and may be written"
