"""A report as a Word document, by python-docx."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from slides import SetupError

from .document import Report
from .layout import Bullets, Heading, Paragraph, Picture, Table, blocks

PICTURE_CM = 7.5


def docx(report: Report) -> bytes:
    """The whole report; raises `SetupError` without python-docx."""
    try:
        from docx import Document
        from docx.shared import Cm, Pt
    except ImportError:
        raise SetupError("a Word file needs python-docx: pip install 'pathcopilot[report]'") from None
    made: Any = Document()
    section = made.sections[0]
    section.left_margin = section.right_margin = Cm(2)
    section.header.paragraphs[0].text = "Signed version" if report.signature else "DRAFT – not signed"
    made.core_properties.title = "Pathology report"
    made.core_properties.author = ""
    made.core_properties.comments = ""
    made.styles["Normal"].font.size = Pt(10)
    for block in blocks(report):
        match block:
            case Heading(text, level):
                made.add_heading(_legal(text), level - 1)
            case Paragraph(text, strong):
                made.add_paragraph().add_run(_legal(text)).bold = strong
            case Bullets(items):
                for text, ground in items:
                    line = made.add_paragraph(_legal(text), style="List Bullet")
                    line.paragraph_format.space_after = Pt(0)
                    if ground:
                        line.add_run(f" {_legal(ground)}").italic = True
            case Table():
                _table(made, block, Pt(7))
            case Picture(figure, caption):
                made.add_picture(BytesIO(figure.jpeg), width=Cm(PICTURE_CM))
                made.add_paragraph().add_run(_legal(caption)).italic = True
    out = BytesIO()
    made.save(out)
    return out.getvalue()


def _table(made: Any, table: Table, size: Any) -> None:
    grid = made.add_table(rows=1, cols=len(table.head))
    grid.style = "Table Grid"
    for number, row in enumerate((table.head, *table.rows)):
        cells = (grid.rows[0] if not number else grid.add_row()).cells
        for cell, text in zip(cells, row, strict=True):
            run = cell.paragraphs[0].add_run(_legal(text))
            run.font.size, run.bold = size, not number


def _legal(text: str) -> str:
    """The text without signs that XML forbids."""
    return "".join(sign for sign in text if sign.isprintable() or sign == " ")
