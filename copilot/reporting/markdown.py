"""A report as Markdown; pictures are named, not embedded."""

from __future__ import annotations

from ..quoting import harmless
from .document import Report
from .layout import Bullets, Heading, Paragraph, Picture, Table, blocks


def markdown(report: Report) -> str:
    """The whole report."""
    parts: list[str] = []
    for block in blocks(report):
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {harmless(text)}")
            case Paragraph(text, strong):
                parts.append(f"**{harmless(text)}**" if strong else harmless(text))
            case Bullets(items):
                parts.append("\n".join(f"- {harmless(text)} {ground}".rstrip() for text, ground in items))
            case Table():
                parts.append(_table(block))
            case Picture(_, caption):
                parts.append(f"- {harmless(caption)}")
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = [table.head, ("---",) * len(table.head), *table.rows]
    return "\n".join(
        f"| {' | '.join(cell if n == 1 else harmless(cell) for cell in line)} |" for n, line in enumerate(lines)
    )
