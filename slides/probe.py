"""A first look at a file in a child process with limits on memory, processor and wall time.

Readers of whole-slide files are C libraries that meet whatever a user brings; a crash, a bomb or an endless loop
in the child is one sentence here. `python -m slides.probe PATH` is that child: one JSON object on stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any

from . import errors
from .errors import SlideDamaged, SlideError, SlideRefused

MEMORY_LIMIT = 3 * 2**29
"""Bytes of address space of the child: 1.5 GiB, of which well under 1 GiB becomes resident."""

CPU_SECONDS = 7
WALL_SECONDS = 8.5
LONGEST_QUEUE = 60.0
"""Seconds of waiting for a processor that are forgiven."""

_seen: dict[tuple[str, int, int], tuple[str, ...]] = {}
_seen_lock = Lock()


def probe_slide(path: Path) -> tuple[str, ...]:
    """Conditions found while opening a file and reading a sample of every level in a child process.

    Remembered for as long as size and modification time stay. Raises the error of the child, or
    `SlideDamaged` when the reader crashed and `SlideRefused` when it hit a limit.
    """
    info = path.stat()
    key = (os.path.abspath(path), info.st_size, info.st_mtime_ns)
    with _seen_lock:
        if key in _seen:
            return _seen[key]
    conditions = _ask_child(path)
    with _seen_lock:
        _seen[key] = conditions
    return conditions


def child_command(path: Path) -> list[str]:
    """The child's command line; the path is data, never parsed as an option."""
    return [sys.executable, "-m", "slides.probe", os.path.abspath(path)]


def _ask_child(path: Path) -> tuple[str, ...]:
    home = str(Path(__file__).resolve().parent.parent)
    environment = {
        name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR"}
    }
    environment |= {"PYTHONPATH": home, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    with subprocess.Popen(
        child_command(path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=home,
    ) as child:
        told = _patiently(child)
    try:
        answer = json.loads(told)
    except ValueError:
        if child.returncode == -24:  # SIGXCPU
            raise SlideRefused("opening took too much time: the file is damaged or built to stall") from None
        raise SlideDamaged("the file makes its reader crash: it is damaged; export or copy it again") from None
    if "error" in answer:
        kind: type[SlideError] = getattr(errors, answer["error"])
        raise kind(answer["message"])
    return tuple(answer["conditions"])


def _patiently(child: subprocess.Popen[bytes]) -> bytes:
    """What the child prints; time that it waited for a processor is the machine's fault and not counted.

    Raises `SlideRefused` when it takes longer than `WALL_SECONDS`; it is then killed.
    """
    started = time.monotonic()
    while True:
        left = WALL_SECONDS + min(_queued(child.pid), LONGEST_QUEUE) - (time.monotonic() - started)
        try:
            return child.communicate(timeout=max(0.0, left))[0]
        except subprocess.TimeoutExpired:
            if WALL_SECONDS + min(_queued(child.pid), LONGEST_QUEUE) > time.monotonic() - started + 0.01:
                continue
            child.kill()
            child.communicate()
            raise SlideRefused(
                f"opening took more than {WALL_SECONDS:.0f} s: the file is damaged or built to stall"
            ) from None


def _queued(pid: int) -> float:
    """Seconds that a process was ready to run and had no processor; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def look(path: Path) -> dict[str, Any]:
    """What the child answers: `conditions`, or `error` (class name) and `message`."""
    from .naming import shown_name
    from .open import open_here
    from .survey import survey

    try:
        with open_here(path, shown_name(path), None) as slide:
            return {"conditions": survey(slide)}
    except SlideError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"error": "SlideRefused", "message": "the file needs more memory than a slide may: it is refused"}


def main() -> None:
    """Runs the child."""
    _limit()
    answer = look(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # reader threads must not keep a child alive


if __name__ == "__main__":
    main()
