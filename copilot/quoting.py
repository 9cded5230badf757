"""What a user or a file wrote, shown as data: no Markdown, no HTML, one line."""

from __future__ import annotations

import html
import re

_SIGNS = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def quoted(text: str, limit: int = 600) -> str:
    """The text on one line with Markdown and HTML made harmless, cut after `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _SIGNS.sub(r"\\\1", html.escape(line, quote=False))
