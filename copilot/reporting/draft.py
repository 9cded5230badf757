"""A draft report: every line rests on a finding with its place, or says that it was not assessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from slides import Evidence
from vision_encoder.observation import Observation

from ..answer import ModelCard
from ..differential import conflicts
from ..quoting import one_line
from ..report_fields import BY_ORGAN, unassessed
from .document import Figure, Report, ReportLine, Section, SlideFacts
from .templates import templates_sha256
from .words import CLASSES, QUALITY, amount, classified, kind_of, measure_name, percent, process, quality

SERIOUS = ("malignant", "pre-malignant")
SYNOPTIC = ("category", "disease", "organ", "stain")
MICROSCOPY = ("tissue", "closer_look", "resembles")


def draft_report(
    observations: Sequence[Observation],
    *,
    context: str | None = None,
    plan: Any = None,
    model: ModelCard | None = None,
    slides: Sequence[SlideFacts] = (),
    figures: Sequence[Figure] = (),
    made: str = "",
) -> Report:
    """The draft for what was seen in one case; the worst process comes first.

    `context` is quoted as data; of its words only the organ is used, to choose which fields are not assessed, and
    what the findings contradict. `plan` is a `TestPlan` or None; `made` the time in ISO 8601, UTC.
    """
    ordered = sorted(observations, key=_severity)
    draft = _Draft(ordered, context)
    tests: Mapping[str, Any] | None = None if plan is None else plan.as_json()
    sections = (
        Section("Conclusion", draft.conclusion()),
        Section("Specimen", draft.specimen()),
        Section("What was examined", draft.examined()),
        Section("Synoptic fields", draft.synoptic()),
        Section(
            "Microscopy", draft.classes(MICROSCOPY) or (ReportLine("Microscopy", "not assessed", (), "microscopy"),)
        ),
        Section("Measures", draft.measures()),
        Section("Comment", draft.comment(tests)),
    )
    notes = tuple(dict.fromkeys(f"{seen.slide}: {note}" for seen in ordered for note in seen.notes))
    return Report(
        sections,
        draft.evidence,
        tests,
        model,
        notes,
        slides=tuple(slides),
        figures=tuple(figures),
        templates_sha256=templates_sha256(),
        made=made,
    )


def in_order(observations: Sequence[Observation]) -> list[Observation]:
    """The observations as a draft numbers their evidence: worst first."""
    return sorted(observations, key=_severity)


def _severity(seen: Observation) -> tuple[bool, float, str]:
    """What could not be seen comes first, for it needs eyes; then the likeliest to be serious."""
    found = seen.find("category")
    shares = found.finding.distribution if found else ()
    return (seen.usable, -sum(share for name, share in shares if name in SERIOUS), seen.slide)


class _Draft:
    """The observations of one case in order, and the lines that they allow."""

    def __init__(self, ordered: Sequence[Observation], context: str | None) -> None:
        self.ordered, self.context = ordered, context
        self.evidence = tuple(item for seen in ordered for item in seen.evidence)
        self.at = {id(item): index for index, item in enumerate(self.evidence, 1)}

    def specimen(self) -> tuple[ReportLine, ...]:
        given = one_line(self.context or "")
        said = f"“{given}”" if given else "not stated"
        return (
            ReportLine(f"Request and clinical information: {said}", "given", (), "specimen/request"),
            ReportLine("Gross description", "not assessed", (), "specimen/gross description"),
            ReportLine("Procedure and container", "not assessed", (), "specimen/procedure"),
        )

    def examined(self) -> tuple[ReportLine, ...]:
        lines = []
        for seen in self.ordered:
            place, key = f"{one_line(seen.slide)}, {_box(seen)}", _key("examined", seen)
            if not seen.usable or not seen.evidence:
                reason = one_line((seen.reason or "nothing in it could be measured").rstrip("."))
                lines.append(ReportLine(f"{place} ({reason})", "not assessed", (), key))
                continue
            scale = f"{seen.mpp:.3g} µm/px" if seen.mpp is not None else "µm/px not stated"
            found = [item for item in seen.evidence if item.finding.name in QUALITY]
            said = "".join(f"{'; ' if not n else ', '}{quality(item.finding)}" for n, item in enumerate(found))
            text = f"{place}: {seen.fields_seen} of {seen.fields_available} fields seen, {scale}{said}"
            cited = tuple(self.at[id(item)] for item in found or seen.evidence[:1])
            lines.append(ReportLine(text, "supported", cited, key))
        return tuple(lines) or (ReportLine("Slides", "not assessed", (), "examined"),)

    def conclusion(self) -> tuple[ReportLine, ...]:
        """One line a view, worst first, in the wording that its probability allows."""
        lines = []
        for seen in self.ordered:
            found = seen.find("category") if seen.usable else None
            where, key = self._where(seen).removeprefix(", "), _key("conclusion", seen)
            subject = f"{where}: " if where else ""
            if found is None:
                lines.append(ReportLine(f"{subject}Conclusion" if subject else "Conclusion", "not assessed", (), key))
                continue
            cited = [self.at[id(found)]]
            text = subject + process(found.finding)
            organ = seen.find("organ")
            if organ is not None and not organ.finding.abstained:
                cited.append(self.at[id(organ)])
                text += f"; {classified(organ, '').lower()}"
            lines.append(ReportLine(text, "supported", tuple(cited), key))
        return tuple(lines) or (ReportLine("Conclusion", "not assessed", (), "conclusion"),)

    def synoptic(self) -> tuple[ReportLine, ...]:
        """What heads classify, then what a report on such a specimen states and nothing here assesses."""
        found = self.classes(SYNOPTIC)
        named = {line.key.split("/")[1] for line in found}
        empty = [] if named & {"category", "disease"} else [("Kind of process", "category")]
        empty += [] if "organ" in named else [("Organ", "organ")]
        missing = [ReportLine(title, "not assessed", (), f"synoptic/{kind}") for title, kind in empty]
        rest = [ReportLine(f, "not assessed", (), f"field/{f.lower()}") for f in unassessed(self._organ())]
        return (*found, *missing, *rest)

    def classes(self, kinds: tuple[str, ...]) -> tuple[ReportLine, ...]:
        return tuple(
            ReportLine(
                classified(item, self._where(seen)), "supported", (self.at[id(item)],), _key(item.finding.name, seen)
            )
            for seen in self.ordered
            for kind in kinds
            for item in seen.evidence
            if kind_of(item.finding) == kind and item.finding.label is not None and not _of_another_organ(item)
        )

    def measures(self) -> tuple[ReportLine, ...]:
        lines = []
        for seen in self.ordered:
            for item in seen.evidence:
                finding = item.finding
                if finding.name in QUALITY or finding.label is not None or kind_of(finding) in CLASSES:
                    continue
                name, key = measure_name(finding) + self._where(seen), _key(finding.name, seen)
                if finding.abstained or finding.value is None:
                    reason = f" ({finding.reason.rstrip('.')})" if finding.reason else ""
                    lines.append(ReportLine(f"{name}{reason}", "not assessed", (), key))
                else:
                    lines.append(ReportLine(f"{name}: {amount(finding)}", "supported", (self.at[id(item)],), key))
        return tuple(lines) or (ReportLine("Measures", "not assessed", (), "measures"),)

    def comment(self, tests: Mapping[str, Any] | None) -> tuple[ReportLine, ...]:
        """Conflicts with the request, what limits the reading, and what would settle it."""
        lines = [
            ReportLine(one_line(found.text), "supported", tuple(index + 1 for index in found.evidence), f"conflict/{n}")
            for n, found in enumerate(conflicts(self.ordered, self.context), 1)
        ]
        for seen in self.ordered:
            if seen.usable and seen.evidence and 0 < seen.fields_seen < seen.fields_available:
                share = percent(seen.fields_seen / seen.fields_available)
                cited = next((i for i in seen.evidence if i.finding.name in QUALITY), seen.evidence[0])
                text = f"Fields that were looked at{self._where(seen)}: {share}; the rest of the tissue is not assessed"
                lines.append(ReportLine(text, "supported", (self.at[id(cited)],), _key("coverage", seen)))
        if tests is not None and tests["tests"]:
            lines.append(ReportLine(f"Ancillary tests: {tests['headline']}", "knowledge", (), "comment/tests"))
        return tuple(lines) or (ReportLine("Comment", "not assessed", (), "comment"),)

    def _where(self, seen: Observation) -> str:
        """Which slide, and which part of it where it was looked at in several; nothing for a single view."""
        if len(self.ordered) == 1:
            return ""
        parts = sum(other.slide == seen.slide for other in self.ordered)
        return f", {one_line(seen.slide)}{f' {_box(seen)}' if parts > 1 else ''}"

    def _organ(self) -> str | None:
        """The organ whose fields are listed: the one that the request names, else the one that the picture shows."""
        words = (self.context or "").lower()
        named = next((organ for organ in BY_ORGAN if re.search(rf"\b{organ}\b", words)), None)
        if named is not None:
            return named
        organs = [found.finding for seen in self.ordered if (found := seen.find("organ")) is not None]
        return next((finding.label for finding in organs if not finding.abstained), None)


def _key(what: str, seen: Observation) -> str:
    """Names a field over regenerations: what it is about, on which slide, in which box."""
    head = {"category": "synoptic", "disease": "synoptic", "organ": "synoptic", "stain": "synoptic"}.get(
        what.split(" ")[0], "finding"
    )
    return f"{head}/{what}/{one_line(seen.slide)}/{','.join(map(str, seen.region.xywh))}"


def _of_another_organ(item: Evidence) -> bool:
    """True for a classifier of one organ that abstains on this one: the evidence table still holds it."""
    finding = item.finding
    return " " in finding.name and finding.abstained and (finding.reason or "").startswith("validated on")


def _box(seen: Observation) -> str:
    x, y, width, height = seen.region.xywh
    return f"box {x}, {y}, {width} × {height} px"
