"""A report as a FHIR R4 bundle: a DiagnosticReport with its Observations, pictures, device and provenance.

Codes are LOINC, UCUM and HL7's own; what has none is told as text. The bundle names no patient and no slide file:
the receiving system fills in the subject.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from slides import Evidence, Finding

from .document import Report

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
HL7 = "http://terminology.hl7.org/CodeSystem"
UNITS = {"share": ("share", "1"), "ratio": ("ratio", "1"), "µm": ("µm", "um"), "µm²": ("µm²", "um2"),
         "per mm²": ("per mm²", "/mm2")}  # fmt: skip
SUBJECT = {"display": "filled in by the ordering system"}


def bundle(report: Report) -> dict[str, Any]:
    """The bundle (type `collection`); preliminary until it is signed, then final."""
    return _Bundle(report).told()


class _Bundle:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.state = "final" if report.signature else "preliminary"
        self.seed = sha256(json.dumps(report.as_json(), sort_keys=True).encode()).hexdigest()
        self.slides = {facts.name: n for n, facts in enumerate(report.slides, 1)}

    def url(self, what: str) -> str:
        """A UUID that the same report gives again."""
        return UUID(bytes=sha256(f"{self.seed} {what}".encode()).digest()[:16], version=4).urn

    def told(self) -> dict[str, Any]:
        """Plain types only."""
        report = self.report
        resources: list[tuple[str, dict[str, Any]]] = [("report", self.diagnostic_report())]
        resources += [(f"E{n}", self.observation(item)) for n, item in enumerate(report.evidence, 1)]
        resources += [(f"figure {n}", self.media(n)) for n in range(1, len(report.figures) + 1)]
        resources.append(("device", self.device()))
        if report.made:
            resources.append(("provenance", self.provenance()))
        return {
            "resourceType": "Bundle",
            "type": "collection",
            **({"timestamp": report.made} if report.made else {}),
            "entry": [{"fullUrl": self.url(name), "resource": resource} for name, resource in resources],
        }

    def diagnostic_report(self) -> dict[str, Any]:
        report = self.report
        conclusion = "\n".join(line.words for line in report.section("Conclusion").lines if line.text)
        text = report.markdown().encode()
        return {
            "resourceType": "DiagnosticReport",
            "status": self.state,
            "category": [{"coding": [{"system": f"{HL7}/v2-0074", "code": "SP", "display": "Surgical Pathology"}]}],
            "code": {
                "coding": [{"system": LOINC, "code": "11526-1", "display": "Pathology study"}],
                "text": "Pathology report",
            },
            **({"issued": report.made} if report.made else {}),
            **self._signed(),
            "result": [{"reference": self.url(f"E{n}")} for n in range(1, len(report.evidence) + 1)],
            "media": [
                {"comment": figure.scale, "link": {"reference": self.url(f"figure {n}")}}
                for n, figure in enumerate(report.figures, 1)
            ],
            "conclusion": conclusion,
            "presentedForm": [
                {"contentType": "text/markdown", "data": base64.b64encode(text).decode(), "title": "Pathology report"}
            ],
        }

    def _signed(self) -> dict[str, Any]:
        signature = self.report.signature
        return {} if signature is None else {"resultsInterpreter": [{"display": signature.by}]}

    def observation(self, item: Evidence) -> dict[str, Any]:
        finding = item.finding
        return {
            "resourceType": "Observation",
            "status": self.state,
            "category": [
                {"coding": [{"system": f"{HL7}/observation-category", "code": "imaging", "display": "Imaging"}]}
            ],
            "code": {"text": finding.name.replace("_", " ")},
            **({"issued": self.report.made} if self.report.made else {}),
            "device": {"reference": self.url("device")},
            **_value(finding),
            "component": list(self._components(item)),
        }

    def _components(self, item: Evidence) -> Iterator[dict[str, Any]]:
        finding = item.finding
        if finding.probability is not None:
            yield {"code": {"text": "calibrated probability"}, "valueQuantity": _quantity(finding.probability, "ratio")}
        if finding.prediction_set:
            yield {"code": {"text": "90 % prediction set"}, "valueString": ", ".join(finding.prediction_set)}
        if finding.interval is not None:
            low, high = (_quantity(end, finding.unit) for end in finding.interval)
            yield {"code": {"text": "95 % interval"}, "valueRange": {"low": low, "high": high}}
        place = ", ".join(map(str, item.region.xywh))
        yield {"code": {"text": "place: slide; x, y, width, height in level-0 pixels"}, "valueString": place}
        yield {"code": {"text": "slide"}, "valueString": f"slide {self.slides.get(item.slide, 1)}"}
        for facts in self.report.slides:
            if facts.name == item.slide and facts.fingerprint:
                yield {"code": {"text": "hash of the slide's content"}, "valueString": facts.fingerprint}

    def media(self, number: int) -> dict[str, Any]:
        figure = self.report.figures[number - 1]
        place = ", ".join(map(str, figure.region.xywh))
        return {
            "resourceType": "Media",
            "status": "completed",
            "content": {"contentType": "image/jpeg", "data": base64.b64encode(figure.jpeg).decode()},
            "note": [{"text": f"slide {self.slides.get(figure.slide, 1)}, level 0: {place}; {figure.scale}"}],
        }

    def device(self) -> dict[str, Any]:
        model = self.report.model
        versions = [] if model is None else sorted(model.weights_sha256.items())
        stated = [{"type": {"text": f"{name} sha256"}, "value": digest} for name, digest in versions if digest]
        if self.report.templates_sha256:
            stated.append({"type": {"text": "templates and prompt sha256"}, "value": self.report.templates_sha256})
        return {
            "resourceType": "Device",
            "deviceName": [{"name": "pathcopilot", "type": "user-friendly-name"}],
            "type": {"text": "research software, not a medical device"},
            **({"version": stated} if stated else {}),
        }

    def provenance(self) -> dict[str, Any]:
        signature = self.report.signature
        agents: list[dict[str, Any]] = [
            {"type": _participant("assembler", "Assembler"), "who": {"reference": self.url("device")}}
        ]
        if signature is not None:
            agents.append({"type": _participant("verifier", "Verifier"), "who": {"display": signature.by}})
        return {
            "resourceType": "Provenance",
            "target": [{"reference": self.url("report")}],
            "recorded": signature.at if signature else self.report.made,
            "agent": agents,
        }


def _participant(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{HL7}/provenance-participant-type", "code": code, "display": display}]}


def _value(finding: Finding) -> Mapping[str, Any]:
    if finding.abstained or (finding.label is None and finding.value is None):
        return {
            "dataAbsentReason": {
                "coding": [{"system": f"{HL7}/data-absent-reason", "code": "unknown", "display": "Unknown"}],
                "text": finding.reason or "not classified",
            }
        }
    if finding.label is not None:
        return {"valueCodeableConcept": {"text": finding.label}}
    assert finding.value is not None
    return {"valueQuantity": _quantity(finding.value, finding.unit)}


def _quantity(value: float, unit: str | None) -> dict[str, Any]:
    said, code = UNITS.get(unit or "ratio", (unit or "", ""))
    coded = {"system": UCUM, "code": code} if code else {}
    return {"value": float(f"{value:.6g}"), "unit": said, **coded}
