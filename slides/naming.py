"""The name of a slide as it may be shown."""

from __future__ import annotations

from pathlib import Path

_LONGEST_NAME = 120


def shown_name(path: Path) -> str:
    """The last part of a path as it may be shown: one line, printable, at most 120 characters."""
    name = path.name or path.resolve().name
    clean = "".join(letter if letter.isprintable() else "�" for letter in name)
    return clean if len(clean) <= _LONGEST_NAME else f"{clean[: _LONGEST_NAME - 1]}…"
