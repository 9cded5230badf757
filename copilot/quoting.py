"""What a user or a file wrote, shown as data: no Markdown, no HTML, one line."""

from __future__ import annotations

import html
import re

_SIGNS = re.compile(r"([\\`*_{}\[\]()#+!|~])")
_ACTING = re.compile(r"([\\`*_{}\[\]#!|~])")


def one_line(text: str, limit: int = 600) -> str:
    """The printable signs of a text on one line, cut after `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def quoted(text: str, limit: int = 600) -> str:
    """The text on one line with Markdown and HTML made harmless, cut after `limit` characters."""
    return _SIGNS.sub(r"\\\1", html.escape(one_line(text, limit), quote=False))


def harmless(text: str) -> str:
    """A plain text of ours as Markdown: what could act in it is escaped, brackets round figures stay readable."""
    return _ACTING.sub(r"\\\1", html.escape(text, quote=False))
