"""Progress of a verb on stderr: one line that replaces itself on a terminal, one line a finished step elsewhere."""

from __future__ import annotations

import sys


def show_progress(what: str, done: int = 0, total: int = 0) -> None:
    """Shows `what`, with `done` of `total` where there is something to count; an empty word clears the line."""
    count = f" {done} of {total}" if total > 1 else ""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{what}{count}")
        sys.stderr.flush()
    elif what and done == total:
        sys.stderr.write(f"{what}{count}\n")
