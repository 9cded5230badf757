"""A PostgreSQL cluster of its own on a Unix socket, for the tests of the store."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


@contextmanager
def cluster() -> Iterator[str]:
    """The URL of an empty database, gone afterwards; skips with the reason where it cannot be had."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'pathcopilot[postgresql]'")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    user = _user()
    # a socket's path is at most 107 bytes, and the server's user must reach it: not below pytest's own folders
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        home = Path(folder)
        os.chmod(home, 0o755)
        data = home / "data"
        data.mkdir()
        if user is not None:
            shutil.chown(data, user)
            shutil.chown(home, user)

        def run(*command: str) -> None:
            subprocess.run(command, check=True, capture_output=True, timeout=60, user=user, cwd=home)

        run(str(binaries / "initdb"), "-D", str(data), "-U", "store", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-k {home} -c listen_addresses='' -c fsync=off"
        control = (str(binaries / "pg_ctl"), "-D", str(data), "-l", str(home / "log"), "-w")
        run(*control, "-o", options, "start")
        try:
            yield f"postgresql://store@/postgres?host={home}"
        finally:
            run(*control, "-m", "immediate", "stop")


def _user() -> str | None:
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    pytest.skip("PostgreSQL refuses to run as root, and there is no other user")
