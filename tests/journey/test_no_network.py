"""No connection leaves the machine, whatever is asked: the whole way runs with sockets refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Runs `pathcopilot` with an audit hook that ends the process at the first look-up or connection, loopback apart.
GUARD = """
import os, sys
def refuse(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    elif event == "socket.connect":
        address = args[1]
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
    elif event == "urllib.Request":
        host = args[0]
    else:
        return
    if host not in ("127.0.0.1", "localhost", "::1", b"localhost", b"127.0.0.1", None):
        sys.stderr.write(f"CALLED OUT: {event} {host}\\n")
        sys.stderr.flush()
        os._exit(99)
sys.addaudithook(refuse)
from ui.command import main
sys.argv = ["pathcopilot", *sys.argv[1:]]
main()
"""


def guarded(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", GUARD, *arguments], capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize(
    "verb",
    [
        ["ask", "SLIDE", "--question", "what is this?", "--region", "600,500,700,600", "--json"],
        ["inspect", "SLIDE", "--json"],
        ["suggest", "--differential", "colorectal adenocarcinoma|lung adenocarcinoma", "--json"],
        ["triage", "SLIDE", "--json"],
        ["doctor", "--json"],
    ],
    ids=lambda verb: verb[0],
)
def test_no_verb_calls_out(verb: list[str], generated_slide: Path) -> None:
    done = guarded(*[str(generated_slide) if word == "SLIDE" else word for word in verb])
    assert "CALLED OUT" not in done.stderr
    assert done.returncode in (0, 2) if verb[0] == "doctor" else done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_the_guard_would_see_a_connection() -> None:
    code = GUARD.split("from ui.command")[0] + "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 99
