"""A report as PDF, by reportlab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from slides import SetupError

from .document import Report
from .layout import Block, Bullets, Heading, Paragraph, Picture, Table, blocks

MARGIN = 48.0
PICTURE_WIDTH = 240.0
FONTS = (
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    Path("/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf"),
    Path("/usr/share/fonts/TTF/DejaVuSans.ttf"),
    Path("/Library/Fonts/Arial Unicode.ttf"),
    Path("C:/Windows/Fonts/arial.ttf"),
)
"""Where a font with more than Latin letters usually lies; the first found is embedded."""
_SPELLED = {"≥": ">=", "≤": "<=", "→": "->", "α": "alpha", "β": "beta", "γ": "gamma", "κ": "kappa", "λ": "lambda"}


def pdf(report: Report) -> bytes:
    """The whole report, A4; an unsigned one is marked as a draft on each page. Raises `SetupError` without reportlab.

    Where no wider font is installed, signs outside Latin-1 are spelled out or shown as `?`.
    """
    try:
        from reportlab.lib.pagesizes import A4
        from reportlab.platypus import SimpleDocTemplate
    except ImportError:
        raise SetupError("a PDF needs reportlab: pip install 'pathcopilot[report]'") from None
    out = BytesIO()
    made = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title="Pathology report",
        author="",
        creator="pathcopilot",
        invariant=True,
    )
    width = A4[0] - 2 * MARGIN
    flowing = [flowable for block in _paired(report) for flowable in _flowables(block, width)]
    mark = _marked(signed=report.signature is not None)
    made.build(flowing, onFirstPage=mark, onLaterPages=mark)
    return out.getvalue()


def _paired(report: Report) -> Iterator[Block | tuple[Picture, ...]]:
    """The blocks, pictures two in a row."""
    row: list[Picture] = []
    for block in blocks(report):
        if isinstance(block, Picture):
            row.append(block)
            if len(row) == 2:
                yield tuple(row)
                row = []
            continue
        if row:
            yield tuple(row)
            row = []
        yield block
    if row:
        yield tuple(row)


def _flowables(block: Block | tuple[Picture, ...], width: float) -> Iterator[Any]:
    from reportlab.platypus import KeepTogether, Spacer
    from reportlab.platypus import Paragraph as Text

    match block:
        case Heading(text, level):
            yield Spacer(1, 8)
            yield Text(_said(text), _style(15 if level == 1 else 11.5, after=4, keep=True))
        case Paragraph(text, strong):
            yield Text(_said(text), _style(9.5 if strong else 8.5, after=4, boxed=strong))
        case Bullets(items):
            for text, ground in items:
                tail = f' <font color="#4a5562">{_said(ground)}</font>' if ground else ""
                yield Text(f"{_said(text)}{tail}", _style(8.5, after=1.5, indent=10), bulletText="•")
        case Table():
            yield _table(block, width)
        case tuple():
            yield KeepTogether(_pictures(block, width))


def _pictures(row: tuple[Picture, ...], width: float) -> list[Any]:
    from reportlab.platypus import Image, Spacer
    from reportlab.platypus import Paragraph as Text
    from reportlab.platypus import Table as Grid

    cells = []
    for picture in row:
        image = Image(BytesIO(picture.figure.jpeg))
        scale = PICTURE_WIDTH / image.imageWidth
        image.drawWidth, image.drawHeight = PICTURE_WIDTH, min(image.imageHeight * scale, PICTURE_WIDTH * 1.4)
        if image.imageHeight * scale > PICTURE_WIDTH * 1.4:
            image.drawWidth = image.imageWidth * image.drawHeight / image.imageHeight
        cells.append([image, Text(_said(picture.caption), _style(7.5, after=0))])
    grid = Grid([cells], colWidths=[width / 2] * len(cells), hAlign="LEFT")
    grid.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return [grid, Spacer(1, 4)]


def _table(table: Table, width: float) -> Any:
    from reportlab.platypus import Paragraph as Text
    from reportlab.platypus import Table as Grid

    style = _style(6.5, after=0)
    rows = [[Text(_said(cell), style) for cell in row] for row in (table.head, *table.rows)]
    grid = Grid(rows, colWidths=[width * share for share in table.widths], repeatRows=1)
    grid.setStyle(
        [
            ("GRID", (0, 0), (-1, -1), 0.4, "#c9ced6"),
            ("BACKGROUND", (0, 0), (-1, 0), "#eef1f5"),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            *((side, (0, 0), (-1, -1), 2) for side in ("LEFTPADDING", "RIGHTPADDING", "TOPPADDING", "BOTTOMPADDING")),
        ]
    )
    return grid


def _style(size: float, *, after: float, indent: float = 0, boxed: bool = False, keep: bool = False) -> Any:
    from reportlab.lib.styles import ParagraphStyle

    box = {"borderColor": "#8a5a00", "borderWidth": 1, "borderPadding": 5, "spaceBefore": 8} if boxed else {}
    return ParagraphStyle(
        "line",
        fontName=_font(),
        fontSize=size,
        leading=size * 1.3,
        spaceAfter=after + (8 if boxed else 0),
        leftIndent=indent,
        keepWithNext=keep,
        splitLongWords=True,
        **box,
    )


def _marked(*, signed: bool) -> Any:
    """What is drawn on each page: number, and DRAFT across an unsigned one."""

    def mark(canvas: Any, page: Any) -> None:
        canvas.saveState()
        canvas.setFont(_font(), 7.5)
        said = "Signed version" if signed else "Draft, not signed"
        canvas.drawString(MARGIN, 26, _plain(f"Pathology report – {said} – page {page.page}"))
        if not signed:
            canvas.setFillGray(0.0, 0.06)
            canvas.setFont("Helvetica-Bold", 110)
            canvas.translate(page.pagesize[0] / 2, page.pagesize[1] / 2)
            canvas.rotate(52)
            canvas.drawCentredString(0, -30, "DRAFT")
        canvas.restoreState()

    return mark


@lru_cache(maxsize=1)
def _font() -> str:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    for path in FONTS:
        if path.is_file():
            try:
                pdfmetrics.registerFont(TTFont("Text", str(path)))
            except TTFError:
                continue
            return "Text"
    return "Helvetica"


def _said(text: str) -> str:
    """The text as reportlab's markup, with nothing in it that acts."""
    return re.sub(r"(\d) %", "\\1\N{NO-BREAK SPACE}%", escape(_plain(text), quote=False))


def _plain(text: str) -> str:
    if _font() != "Helvetica":
        return text
    spelled = "".join(_SPELLED.get(sign, sign) for sign in text)
    return spelled.encode("cp1252", "replace").decode("cp1252")
