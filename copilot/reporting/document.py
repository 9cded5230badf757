"""The report itself: lines with their grounds, in sections, with evidence, pictures, slides and models.

`report.json` holds all of it, so that every other form can be written from it again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from slides import Evidence, Finding, Region, UsageError

from ..answer import ModelCard

FORMAT = "pathcopilot report 1"
LineStatus = Literal["supported", "given", "knowledge", "not assessed", "edited"]
STATUSES: tuple[LineStatus, ...] = ("supported", "given", "knowledge", "not assessed", "edited")
GIVEN = "(as given, not checked)"
KNOWLEDGE = "(knowledge tables)"
EDITED = "(as edited by a person)"


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One field of the report; a supported one names its evidence, counted from 1.

    `key` names the field over regenerations. `generated` is the text of the draft where a person changed it, empty
    where the person added the field; a field that a person emptied keeps its place with an empty text.
    Raises `ValueError` for a supported line without evidence: such a line cannot be made.
    """

    text: str
    status: LineStatus
    evidence: tuple[int, ...] = ()
    key: str = ""
    generated: str | None = None

    def __post_init__(self) -> None:
        if self.status == "supported" and not self.evidence:
            raise ValueError(f"a report line needs evidence: {self.text}")

    @property
    def edited(self) -> bool:
        """True when the text is a person's."""
        return self.status == "edited"

    @property
    def ground(self) -> str:
        """What the line rests on, as it is printed behind it."""
        cited = f"[{', '.join(f'E{index}' for index in self.evidence)}]" if self.evidence else ""
        return {"supported": cited, "given": GIVEN, "knowledge": KNOWLEDGE, "edited": EDITED}.get(self.status, "")

    @property
    def words(self) -> str:
        """The line with its ground at the end, in plain text."""
        return f"{self.text}: not assessed" if self.status == "not assessed" else f"{self.text} {self.ground}"

    def as_json(self) -> dict[str, Any]:
        """Plain types only; `generated_sha256` is the hash of what the draft said."""
        said = self.text if self.generated is None else self.generated
        return {
            "key": self.key,
            "text": self.text,
            "status": self.status,
            "edited": self.edited,
            "evidence": list(self.evidence),
            "generated": said,
            "generated_sha256": text_hash(said),
        }


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its lines."""

    title: str
    lines: tuple[ReportLine, ...]


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """A slide that the report speaks of: shown name, hash of its content, level-0 size, µm/px (None when unknown).

    `dicom` holds UIDs and geometry of a DICOM slide (see `dicom.dicom_facts`), None for any other.
    """

    name: str
    fingerprint: str
    size: tuple[int, int]
    mpp: float | None
    dicom: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        told = {"name": self.name, "fingerprint": self.fingerprint, "size": list(self.size), "mpp": self.mpp}
        return told | {"dicom": None if self.dicom is None else dict(self.dicom)}


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of the evidence (JPEG) with its scale bar drawn in; `evidence` counts from 1.

    `scale` says how long the bar is, or that the scale is not stated.
    """

    slide: str
    region: Region
    caption: str
    scale: str
    evidence: tuple[int, ...]
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed which content, when (UTC), made with what: hashes of models, templates and slides."""

    by: str
    at: str
    content_sha256: str
    templates_sha256: str
    models_sha256: Mapping[str, str]
    slides: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "by": self.by,
            "at": self.at,
            "content_sha256": self.content_sha256,
            "templates_sha256": self.templates_sha256,
            "models_sha256": dict(self.models_sha256),
            "slides": dict(self.slides),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A draft, or a signed version, with its sections, evidence (E1 is `evidence[0]`), test plan and model.

    `tests` is the test plan in the shape of its JSON, `amends` the content hash of the signed version before.
    """

    sections: tuple[Section, ...]
    evidence: tuple[Evidence, ...]
    tests: Mapping[str, Any] | None
    model: ModelCard | None
    notes: tuple[str, ...] = ()
    slides: tuple[SlideFacts, ...] = ()
    figures: tuple[Figure, ...] = ()
    templates_sha256: str = ""
    made: str = ""
    version: int = 1
    amends: str | None = None
    signature: Signature | None = None

    @property
    def lines(self) -> Iterator[ReportLine]:
        """Every field in order."""
        return (line for section in self.sections for line in section.lines)

    @property
    def edits(self) -> tuple[ReportLine, ...]:
        """The fields that a person changed."""
        return tuple(line for line in self.lines if line.edited)

    def section(self, title: str) -> Section:
        """The section of that title; raises `KeyError`."""
        found = next((section for section in self.sections if section.title == title), None)
        if found is None:
            raise KeyError(title)
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain types only; evidence of a line counts from 1; pictures are base64."""
        return {
            "format": FORMAT,
            "status": "signed" if self.signature else "draft",
            "version": self.version,
            "amends": self.amends,
            "signature": self.signature.as_json() if self.signature else None,
            "made": self.made,
            "sections": [
                {"title": section.title, "lines": [line.as_json() for line in section.lines]}
                for section in self.sections
            ],
            "evidence": [_evidence_json(item) for item in self.evidence],
            "tests": self.tests,
            "notes": list(self.notes),
            "slides": [facts.as_json() for facts in self.slides],
            "model": None
            if self.model is None
            else {
                "language": self.model.language,
                "encoder": self.model.encoder,
                "weights_sha256": dict(self.model.weights_sha256),
            },
            "templates_sha256": self.templates_sha256,
            "figures": [
                {
                    "slide": figure.slide,
                    "level0_xywh": list(figure.region.xywh),
                    "caption": figure.caption,
                    "scale": figure.scale,
                    "evidence": list(figure.evidence),
                    "jpeg": base64.b64encode(figure.jpeg).decode(),
                }
                for figure in self.figures
            ],
        }

    def markdown(self) -> str:
        """The whole report as Markdown."""
        from .markdown import markdown

        return markdown(self)

    def write(self, path: Path) -> None:
        """Writes the report in one step, in the form that the name ends in; raises `UsageError` where it cannot."""
        from .export import write_report

        write_report(self, path)


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def from_json(told: Mapping[str, Any]) -> Report:
    """The report that `Report.as_json` told; a field whose text is not the draft's counts as edited.

    Raises `UsageError` when it is no report.
    """
    try:
        if told["format"] != FORMAT:
            raise UsageError("the file is no report of this version of pathcopilot")
        model, signature = told["model"], told["signature"]
        return Report(
            sections=tuple(
                Section(str(section["title"]), tuple(_line(line) for line in section["lines"]))
                for section in told["sections"]
            ),
            evidence=tuple(_evidence(item) for item in told["evidence"]),
            tests=told["tests"],
            model=None if model is None else ModelCard(model["language"], model["encoder"], model["weights_sha256"]),
            notes=tuple(map(str, told["notes"])),
            slides=tuple(
                SlideFacts(s["name"], s["fingerprint"], (int(s["size"][0]), int(s["size"][1])), s["mpp"], s["dicom"])
                for s in told["slides"]
            ),
            figures=tuple(
                Figure(
                    f["slide"],
                    Region(*f["level0_xywh"]),
                    f["caption"],
                    f["scale"],
                    tuple(f["evidence"]),
                    base64.b64decode(f["jpeg"], validate=True),
                )
                for f in told["figures"]
            ),
            templates_sha256=told["templates_sha256"],
            made=told["made"],
            version=int(told["version"]),
            amends=told["amends"],
            signature=None if signature is None else Signature(**signature),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UsageError(f"the file is no whole report: {type(error).__name__} at {error}") from None


def _line(told: Mapping[str, Any]) -> ReportLine:
    text, said = str(told["text"]), str(told.get("generated", ""))
    key, evidence = str(told.get("key", "")), tuple(int(index) for index in told.get("evidence", ()))
    if text != said or told.get("status") == "edited":
        return ReportLine(" ".join(text.split()), "edited", evidence, key, said)
    if told["status"] not in STATUSES:
        raise ValueError(f"the status {told['status']}")
    return ReportLine(text, told["status"], evidence, key)


def _evidence_json(item: Evidence) -> dict[str, Any]:
    return {
        "slide": item.slide,
        "level0_xywh": list(item.region.xywh),
        "mpp": item.mpp,
        "finding": item.finding.as_json(),
        "fields": [list(region.xywh) for region in item.fields],
    }


def _evidence(told: Mapping[str, Any]) -> Evidence:
    found = dict(told["finding"])
    found["prediction_set"] = tuple(found["prediction_set"])
    found["distribution"] = tuple(found["distribution"].items())
    found["interval"] = None if found["interval"] is None else tuple(found["interval"])
    return Evidence(
        told["slide"],
        Region(*told["level0_xywh"]),
        told["mpp"],
        Finding(**found),
        tuple(Region(*field) for field in told["fields"]),
    )


def with_lines(report: Report, sections: Sequence[tuple[str, Sequence[ReportLine]]]) -> Report:
    """The report with other lines."""
    return replace(report, sections=tuple(Section(title, tuple(lines)) for title, lines in sections))
