"""A report as one HTML file: pictures as data URLs, everything escaped, no script, nothing fetched."""

from __future__ import annotations

import base64
from html import escape

from .document import Report
from .layout import Bullets, Heading, Paragraph, Picture, Table, blocks

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1d21;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:1.8rem;border-bottom:1px solid #c9ced6}
.banner{border:2px solid #8a5a00;background:#fff7e6;padding:.6rem .8rem;font-weight:600}
.signed{border-color:#1f5f3a;background:#eef8f1}
.ground{color:#4a5562;font-size:.85em;white-space:nowrap}
table{border-collapse:collapse;width:100%;font-size:.82em;font-variant-numeric:tabular-nums}
th,td{border:1px solid #c9ced6;padding:.2rem .35rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
table{table-layout:fixed}
figure{display:inline-block;vertical-align:top;width:18rem;margin:0 .8rem 1rem 0}
figure img{width:100%;height:auto;border:1px solid #c9ced6}figcaption{font-size:.8em}
@media print{body{max-width:none;margin:0}figure{break-inside:avoid}}
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def html(report: Report) -> str:
    """The whole report as a page that stands alone."""
    body: list[str] = []
    for block in blocks(report):
        match block:
            case Heading(text, level):
                body.append(f"<h{level}>{escape(text)}</h{level}>")
            case Paragraph(text, strong):
                kind = f' class="banner{" signed" if report.signature else ""}"' if strong else ""
                body.append(f"<p{kind}>{escape(text)}</p>")
            case Bullets(items):
                lines = (
                    f'<li>{escape(text)} <span class="ground">{escape(ground)}</span></li>' for text, ground in items
                )
                body.append(f"<ul>{''.join(lines)}</ul>")
            case Table():
                body.append(_table(block))
            case Picture(figure, caption):
                data = base64.b64encode(figure.jpeg).decode()
                said = escape(caption)
                body.append(
                    f'<figure><img alt="{said}" src="data:image/jpeg;base64,{data}">'
                    f"<figcaption>{said}</figcaption></figure>"
                )
    state = "signed" if report.signature else "draft"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Pathology report ({state})</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    sizes = "".join(f'<col style="width:{100 * share:.1f}%">' for share in table.widths)
    return f"<table><colgroup>{sizes}</colgroup><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
