"""A report as a sequence of blocks, which every written form lays out in its own way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slides import Evidence

from ..quoting import one_line
from .document import Figure, Report, ReportLine
from .words import amount

DRAFT = (
    "Draft. Research software, not a medical device: a pathologist must read the slides, correct this text and sign it."
)
NOT_A_PREDICTION = (
    "Figures are counts from the literature, not a forecast for this case: its result is read on the stained section."
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; `strong` for the banner."""

    text: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; each item is a text and the ground that is printed after it."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `widths` are shares of the page's width."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its caption."""

    figure: Figure
    caption: str


Block = Heading | Paragraph | Bullets | Table | Picture


def blocks(report: Report) -> Iterator[Block]:
    """Everything of a report, in the order that it is read."""
    yield Heading("Pathology report", 1)
    yield Paragraph(banner(report), strong=True)
    for section in report.sections:
        yield Heading(section.title)
        yield Bullets(tuple(_item(line) for line in section.lines if line.text))
    yield from _tests(report.tests)
    yield from _pictures(report)
    if report.edits:
        yield Heading("Changed by a person")
        yield Bullets(tuple((change(line), "") for line in report.edits))
    if report.notes:
        yield Heading("Conditions")
        yield Bullets(tuple((one_line(note), "") for note in report.notes))
    yield Heading("Evidence")
    yield _evidence(report.evidence)
    yield from _made_with(report)


def banner(report: Report) -> str:
    """What the text is: a draft, or a version that a named person signed."""
    amends = f" It amends version {report.version - 1} ({report.amends})." if report.amends else ""
    if report.signature is None:
        return DRAFT + amends
    by, at = one_line(report.signature.by), report.signature.at
    return (
        f"Version {report.version}, signed out by {by} on {at}; content {report.signature.content_sha256}.{amends} "
        "Made with research software, not a medical device."
    )


def change(line: ReportLine) -> str:
    """What a person made of a line of the draft."""
    if not line.generated:
        return f"Added: “{one_line(line.text)}”"
    if not line.text:
        return f"Removed: “{one_line(line.generated)}”"
    return f"Draft: “{one_line(line.generated)}”; now: “{one_line(line.text)}”"


def _item(line: ReportLine) -> tuple[str, str]:
    if line.status == "not assessed":
        return f"{line.text}: not assessed", ""
    return line.text, line.ground


def _tests(plan: Mapping[str, Any] | None) -> Iterator[Block]:
    yield Heading("Ancillary tests")
    if plan is None:
        yield Bullets((("Ancillary tests: not assessed", ""),))
        return
    yield Paragraph(plan["headline"])
    yield from (Paragraph(f"Mind: {warning}.") for warning in plan["warnings"])
    if plan["known_results"]:
        said = (k["result"] + ("" if k["counted"] else " (no figure to weigh it by)") for k in plan["known_results"])
        yield Paragraph(f"Results already known: {', '.join(said)}.")
    if plan["tests"]:
        yield Bullets(tuple((f"{t['name']} (round {t['round']}): {t['why']}", "") for t in plan["tests"]))
        yield Paragraph(NOT_A_PREDICTION)
        names = [candidate["name"] for candidate in plan["candidates"]]
        share = 0.8 / max(len(names), 1)
        rows = ((t["name"], *map(_cell, t["pattern"], names)) for t in plan["tests"])
        yield Table(("Test", *names), tuple(rows), (0.2, *(share for _ in names)))
    rules = [(f"{rule['when']}: {rule['then']} ({rule['source']})", "") for rule in plan["rules"]]
    if rules:
        yield Bullets(tuple(rules))
    if plan["notes"]:
        yield Bullets(tuple((one_line(note), "") for note in plan["notes"]))
    if plan["sources"]:
        yield Paragraph("Sources: " + " ".join(f"[{n}] {source}." for n, source in enumerate(plan["sources"], 1)))


def _cell(told: Mapping[str, Any], name: str) -> str:
    """The figure, whose it is where it was lent, and its sources."""
    cited = "".join(f"[{n}]" for n in told["sources"])
    lent = told.get("figures_of", name)
    return f"{told['words']}{f' (counted in {lent})' if lent != name else ''}{' ' + cited if cited else ''}"


def _pictures(report: Report) -> Iterator[Block]:
    if not report.figures:
        return
    yield Heading("Pictures of the evidence")
    for number, figure in enumerate(report.figures, 1):
        cited = f" [{', '.join(f'E{index}' for index in figure.evidence)}]" if figure.evidence else ""
        place = ", ".join(map(str, figure.region.xywh))
        yield Picture(figure, f"Figure {number}. {one_line(figure.caption)} (level 0: {place}); {figure.scale}{cited}")


def _evidence(evidence: Sequence[Evidence]) -> Table:
    head = (
        "",
        "slide",
        "place (level 0: x, y, width, height)",
        "µm/px",
        "finding",
        "result",
        "probability",
        "90 % set",
    )
    rows = tuple(_evidence_row(index, item) for index, item in enumerate(evidence, 1))
    return Table(head, rows, (0.06, 0.15, 0.2, 0.07, 0.13, 0.16, 0.1, 0.13))


def _evidence_row(index: int, item: Evidence) -> tuple[str, ...]:
    finding = item.finding
    result = finding.label or ("" if finding.value is None else amount(finding))
    place = ", ".join(str(edge) for edge in item.region.xywh)
    strongest = f"; strongest field {', '.join(str(edge) for edge in item.fields[0].xywh)}" if item.fields else ""
    return (
        f"E{index}",
        one_line(item.slide),
        place + strongest,
        "not stated" if item.mpp is None else f"{item.mpp:.3g}",
        finding.name.replace("_", " "),
        f"{result}{' (abstains)' if finding.abstained else ''}",
        "" if finding.probability is None else f"{finding.probability:.2f}",
        ", ".join(finding.prediction_set),
    )


def _made_with(report: Report) -> Iterator[Block]:
    yield Heading("Model")
    if report.model is None:
        yield Paragraph("not stated")
    else:
        rows = [f"language {report.model.language}", f"encoder {report.model.encoder}"]
        rows += [f"{name} sha256 {digest}" for name, digest in sorted(report.model.weights_sha256.items())]
        yield Paragraph("; ".join(rows))
    if report.templates_sha256:
        yield Paragraph(f"Templates and prompt sha256 {report.templates_sha256}")
    if report.slides:
        yield Paragraph("Slides: " + "; ".join(f"{one_line(s.name)} content {s.fingerprint}" for s in report.slides))
