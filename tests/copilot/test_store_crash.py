"""A writer that is killed at any moment loses nothing that was acknowledged, and leaves a store that can be read."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from copilot.store import Store

KILLS = 20
WRITER = """
import sys
from pathlib import Path
from copilot.store.store import Placed, Store
store, number = Store(Path(sys.argv[1])), int(sys.argv[2])
while True:
    number += 1
    store.remember(f"{number:040d}", "features", bytes([number % 251]) * 200_000, "maker")
    store.place([Placed(f"case-{number}", "released", 0.1, "below", "c" * 64, {"slides": [number]})], "writer")
    print(number, flush=True)
"""


def test_twenty_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    place, moments, last = tmp_path / "store.sqlite3", random.Random(5), 0
    for _ in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place), str(last)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline())]  # it is under way; the moment of the kill is then any
        time.sleep(moments.uniform(0.0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
        writer.wait(10)
        last = acknowledged[-1]
        with Store(place) as store:
            for number in acknowledged:
                assert store.memory(f"{number:040d}", "features", "maker") == bytes([number % 251]) * 200_000
            cases = {row.case for row in store.worklist()}
            assert {f"case-{number}" for number in range(1, last + 1)} <= cases
            assert {entry.subject for entry in store.audit_log()} == cases  # both, or neither
            assert store.first_broken_entry() is None
        with sqlite3.connect(place) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
