"""A draft report: every line rests on a finding with its place, or says that it was not assessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from slides import Evidence, Finding, UsageError
from slides.files import write_atomically
from vision_encoder.observation import Observation

from .answer import ModelCard
from .certainty import certainty
from .quoting import quoted
from .report_fields import BY_ORGAN, unassessed
from .test_plan import TestPlan

LineStatus = Literal["supported", "given", "not assessed"]
GIVEN = "(as given, not checked)"
DRAFT = (
    "**Draft. Research software, not a medical device: a pathologist must read the slides, "
    "correct this text and sign it.**"
)
QUALITY = ("tissue_share", "focus", "pen", "stain_colour")
SERIOUS = ("malignant", "pre-malignant")
_KINDS = {
    "stain": "Stain",
    "organ": "Organ",
    "category": "Kind of process",
    "tissue": "Tissue",
    "disease": "Lesion",
    "resembles": "Nearest reference case",
    "tissue_share": "tissue",
    "stain_colour": "colour",
    "nuclei_density": "Density of nuclei",
    "nuclear_area": "Median area of nuclei",
    "nuclear_area_variation": "Variation of nuclear area",
    "nuclear_share": "Share of tissue covered by nuclei",
    "nuclear_elongation": "Elongation of nuclei",
    "nuclear_spacing": "Median distance to the nearest nucleus",
    "nuclear_eccentricity": "Median eccentricity of nuclei",
    "nuclear_hyperchromasia": "Haematoxylin of nuclei over that of the tissue between them",
    "clear_space_share": "Share of lumina, fat and glass in the tissue",
    "chromogen_share": "Share of tissue with chromogen",
}


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of the report; a supported one names its evidence, counted from 1.

    Raises `ValueError` for a supported line without evidence: such a line cannot be made.
    """

    text: str
    status: LineStatus
    evidence: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.status == "supported" and not self.evidence:
            raise ValueError(f"a report line needs evidence: {self.text}")

    def markdown(self) -> str:
        """The line as a list item with its ground at the end."""
        if self.status == "supported":
            return f"- {self.text} [{', '.join(f'E{index}' for index in self.evidence)}]"
        if self.status == "given":
            return f"- {self.text} {GIVEN}"
        return f"- {self.text}: not assessed"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its lines."""

    title: str
    lines: tuple[ReportLine, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A draft with its sections, evidence (E1 is `evidence[0]`), test plan and model."""

    sections: tuple[Section, ...]
    evidence: tuple[Evidence, ...]
    plan: TestPlan | None
    model: ModelCard | None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain types only; evidence of a line counts from 1."""
        return {
            "status": "draft",
            "sections": [
                {
                    "title": section.title,
                    "lines": [
                        {"text": line.text, "status": line.status, "evidence": list(line.evidence)}
                        for line in section.lines
                    ],
                }
                for section in self.sections
            ],
            "evidence": [item.as_json() for item in self.evidence],
            "tests": self.plan.as_json() if self.plan else None,
            "notes": list(self.notes),
            "model": _model(self.model),
        }

    def markdown(self) -> str:
        """The whole draft."""
        *first, last = [
            f"## {section.title}\n" + "\n".join(line.markdown() for line in section.lines) for section in self.sections
        ]
        tests = "## Ancillary tests\n- Ancillary tests: not assessed"
        if self.plan is not None:
            tests = self.plan.markdown().rstrip()
        parts = ["# Pathology report", DRAFT, *first, tests, last]
        if self.notes:
            parts.append("## Conditions\n" + "\n".join(f"> {quoted(note)}" for note in self.notes))
        parts.append(self._evidence_table())
        parts.append(_model_table(self.model))
        return "\n\n".join(parts) + "\n"

    def write(self, path: Path) -> None:
        """Writes the draft in one step; raises `UsageError` unless `path` is a .md file in an existing folder."""
        check_target(path)
        try:
            write_atomically(path, self.markdown())
        except OSError as error:
            raise UsageError(f"{path.name} cannot be written here: {error.strerror}; name another folder") from error

    def _evidence_table(self) -> str:
        head = (
            "## Evidence\n| | slide | place (level 0: x, y, width, height) | µm/px | finding | result | "
            "probability | 90 % set |\n|---|---|---|---|---|---|---|---|\n"
        )
        return head + "\n".join(_evidence_row(index, item) for index, item in enumerate(self.evidence, 1))


def draft_report(
    observations: Sequence[Observation],
    *,
    context: str | None = None,
    plan: TestPlan | None = None,
    model: ModelCard | None = None,
) -> Report:
    """The draft for what was seen in one case; the worst process comes first.

    `context` is quoted as data; of its words only the organ is used, to choose which fields are not assessed.
    """
    ordered = sorted(observations, key=_severity)
    evidence = tuple(item for seen in ordered for item in seen.evidence)
    at = {id(item): index for index, item in enumerate(evidence, 1)}
    sections = (
        Section("Specimen", _specimen(context)),
        Section("What was examined", tuple(line for seen in ordered for line in _examined(seen, at))),
        Section("Classification", _stated(ordered, at, ("category", "disease", "organ", "stain"), "Classification")),
        Section("Microscopy", _stated(ordered, at, ("tissue", "resembles"), "Microscopy")),
        Section("Measures", _measures(ordered, at)),
        Section("Not assessed", tuple(ReportLine(f, "not assessed") for f in unassessed(_organ(ordered, context)))),
    )
    notes = tuple(dict.fromkeys(f"{seen.slide}: {note}" for seen in ordered for note in seen.notes))
    return Report(sections, evidence, plan, model, notes)


def check_target(path: Path) -> None:
    """Raises `UsageError` unless a report can be written to the path."""
    if path.suffix.lower() != ".md":
        raise UsageError(
            f"a report is written as Markdown: name a file that ends in .md, not {path.suffix or 'nothing'}"
        )
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder for {path.name}: make it first or name another")
    if path.is_dir():
        raise UsageError(f"{path.name} is a folder: name a file that ends in .md")


def _specimen(context: str | None) -> tuple[ReportLine, ...]:
    given = quoted(context or "")
    first = (
        ReportLine(f"Request and clinical information: “{given}”", "given")
        if given
        else ReportLine("Request and clinical information: not stated", "given")
    )
    return (
        first,
        ReportLine("Gross description", "not assessed"),
        ReportLine("Procedure and container", "not assessed"),
    )


def _examined(seen: Observation, at: dict[int, int]) -> list[ReportLine]:
    place = f"{quoted(seen.slide)}, {_box(seen)}"
    if not seen.usable or not seen.evidence:
        reason = quoted((seen.reason or "nothing in it could be measured").rstrip("."))
        return [ReportLine(f"{place} ({reason})", "not assessed")]
    scale = f"{seen.mpp:.3g} µm/px" if seen.mpp is not None else "µm/px not stated"
    quality = [item for item in seen.evidence if item.finding.name in QUALITY]
    said = ", ".join(_quality(item.finding) for item in quality)
    text = f"{place}: {seen.fields_seen} of {seen.fields_available} fields seen, {scale}{'; ' + said if said else ''}"
    return [ReportLine(text, "supported", tuple(at[id(item)] for item in quality or seen.evidence[:1]))]


def _quality(finding: Finding) -> str:
    name = _KINDS.get(finding.name, finding.name)
    if finding.unit == "share" and finding.value is not None and finding.label is None:
        return f"{name} {_percent(finding.value)}"
    return f"{name} {finding.label}" if finding.label else name


def _stated(
    ordered: Sequence[Observation], at: dict[int, int], kinds: tuple[str, ...], title: str
) -> tuple[ReportLine, ...]:
    lines = [
        ReportLine(_classified(item, _where(ordered, seen)), "supported", (at[id(item)],))
        for seen in ordered
        for kind in kinds
        for item in seen.evidence
        if item.finding.name.split(" ")[0] == kind
        and item.finding.label is not None
        and not _of_another_organ(item.finding)
    ]
    return tuple(lines) or (ReportLine(title, "not assessed"),)


def _of_another_organ(finding: Finding) -> bool:
    """True for a classifier of one organ that abstains on this one: the evidence table still holds it."""
    return " " in finding.name and finding.abstained and (finding.reason or "").startswith("validated on")


def _where(ordered: Sequence[Observation], seen: Observation) -> str:
    """Which slide, and which part of it where it was looked at in several; nothing for a single view."""
    if len(ordered) == 1:
        return ""
    parts = sum(other.slide == seen.slide for other in ordered)
    return f", {quoted(seen.slide)}{f' {_box(seen)}' if parts > 1 else ''}"


def _classified(item: Evidence, where: str) -> str:
    """A class in the wording that its calibrated probability allows."""
    finding = item.finding
    kind, _, organ = finding.name.partition(" ")
    subject = f"{_KINDS.get(kind, kind)}{f' ({organ})' if organ else ''}{where}"
    probability = finding.probability
    figure = "" if probability is None else f"{probability:.2f}"
    word = certainty(probability or 0.0, abstained=finding.abstained or probability is None)
    if kind == "resembles":
        if finding.abstained or not figure:
            return f"{subject}: none near enough; the closest is {finding.label}"
        return f"{subject}: {finding.label}; such a likeness was right in {figure} of held-out cases"
    others = [name for name in finding.prediction_set if name != finding.label]
    if word == "not classified":
        reason = re.sub(r"; most probable .*$", "", finding.reason or "").rstrip(".")  # said as the nearest
        why = f": {reason}" if reason else ""
        return f"{subject}: not classified (nearest {finding.label}, {figure or 'no probability'}){why}"
    tail = f"; differential by the 90 % set: {', '.join(others)}" if others else ""
    if finding.label == "normal":
        tail += "; this excludes nothing in the fields that were not seen"
    return f"{subject}: {word} {finding.label} ({figure}){tail}"


def _measures(ordered: Sequence[Observation], at: dict[int, int]) -> tuple[ReportLine, ...]:
    lines = []
    for seen in ordered:
        for item in seen.evidence:
            finding = item.finding
            if finding.name in QUALITY or finding.label is not None or finding.name.split(" ")[0] in _CLASSES:
                continue
            name = _KINDS.get(finding.name, finding.name.replace("_", " ")) + _where(ordered, seen)
            if finding.abstained or finding.value is None:
                reason = f" ({finding.reason.rstrip('.')})" if finding.reason else ""
                lines.append(ReportLine(f"{name}{reason}", "not assessed"))
            else:
                lines.append(ReportLine(f"{name}: {_amount(finding)}", "supported", (at[id(item)],)))
    return tuple(lines) or (ReportLine("Measures", "not assessed"),)


_CLASSES = ("stain", "organ", "category", "tissue", "disease", "resembles")


def _amount(finding: Finding) -> str:
    assert finding.value is not None
    if finding.unit == "share":
        value, ends = _percent(finding.value), [_percent(end) for end in finding.interval or ()]
    else:
        unit = "" if finding.unit in (None, "ratio") else f" {finding.unit}"
        value, ends = f"{_number(finding.value)}{unit}", [_number(end) for end in finding.interval or ()]
    return f"{value} (95 % interval {' to '.join(ends)})" if ends else value


def _number(value: float) -> str:
    """Three significant digits, without an exponent."""
    digits = f"{float(f'{value:.3g}'):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _severity(seen: Observation) -> tuple[bool, float, str]:
    """What could not be seen comes first, for it needs eyes; then the likeliest to be serious."""
    found = seen.find("category")
    shares = found.finding.distribution if found else ()
    return (seen.usable, -sum(share for name, share in shares if name in SERIOUS), seen.slide)


def _organ(ordered: Sequence[Observation], context: str | None) -> str | None:
    """The organ whose fields are listed: the one that the request names, else the one that the picture shows."""
    named = next((organ for organ in BY_ORGAN if re.search(rf"\b{organ}\b", (context or "").lower())), None)
    if named is not None:
        return named
    organs = [found.finding for seen in ordered if (found := seen.find("organ")) is not None]
    return next((finding.label for finding in organs if not finding.abstained), None)


def _box(seen: Observation) -> str:
    x, y, width, height = seen.region.xywh
    return f"box {x}, {y}, {width} × {height} px"


def _evidence_row(index: int, item: Evidence) -> str:
    finding = item.finding
    result = finding.label or ("" if finding.value is None else _amount(finding))
    cells = (
        f"E{index}",
        quoted(item.slide),
        _place(item),
        "not stated" if item.mpp is None else f"{item.mpp:.3g}",
        finding.name.replace("_", " "),
        f"{result}{' (abstains)' if finding.abstained else ''}",
        "" if finding.probability is None else f"{finding.probability:.2f}",
        ", ".join(finding.prediction_set),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") if i != 1 else cell for i, cell in enumerate(cells)) + " |"


def _place(item: Evidence) -> str:
    place = ", ".join(str(edge) for edge in item.region.xywh)
    strongest = f"; strongest field {', '.join(str(edge) for edge in item.fields[0].xywh)}" if item.fields else ""
    return place + strongest


def _model(model: ModelCard | None) -> dict[str, Any] | None:
    if model is None:
        return None
    return {"language": model.language, "encoder": model.encoder, "weights_sha256": dict(model.weights_sha256)}


def _model_table(model: ModelCard | None) -> str:
    if model is None:
        return "## Model\nnot stated"
    rows = [f"language {model.language}", f"encoder {model.encoder}"]
    rows += [f"{name} sha256 `{digest}`" for name, digest in sorted(model.weights_sha256.items())]
    return "## Model\n" + "; ".join(rows)
