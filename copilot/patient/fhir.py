"""A FHIR R4 bundle as one patient: age and sex, observations, conditions, medications, and narrative.

Resources are validated by fhir.resources (its R4B models read R4). Dates become days from the first date; the birth
date becomes an age; names, identifiers, contacts and addresses never reach the record, and are taken out of the
narrative by what the bundle itself calls the patient.
"""

from __future__ import annotations

import base64
import datetime
import warnings
from collections.abc import Mapping
from typing import Any

from slides.errors import SetupError, UsageError

from .privacy import clean_text, identifying_words
from .quantities import canonical, quantity
from .record import Event, Patient, Value, make_patient, make_value

_DATED = (
    "effectiveDateTime", "issued", "onsetDateTime", "recordedDate", "performedDateTime", "authoredOn",
)  # fmt: skip
_CODED = ("Observation", "Condition", "Procedure", "MedicationRequest", "MedicationAdministration")


def read_bundle(content: Mapping[str, Any], name: str) -> Patient:
    """The patient of a bundle in JSON, or of one resource alone.

    Raises `UsageError` for a resource that is no valid R4, or a bundle of several patients; `SetupError` without
    fhir.resources.
    """
    resources = [_checked(resource, name) for resource in _resources(content, name)]
    people = [resource for resource in resources if resource["resourceType"] == "Patient"]
    if len({person.get("id") for person in people}) > 1:
        raise UsageError(f"{name} holds {len(people)} patients: export one patient a bundle")
    dates = sorted(date for resource in resources if (date := _date(resource)) is not None)
    first = dates[0] if dates else None
    words = [word for resource in resources for word in _naming(resource)]
    covariates: dict[str, tuple[Any, str | None]] = {}
    notes = ["names, identifiers and dates of the bundle left out"] if people else []
    for person in people:
        covariates |= _person(person, first)
    latest: dict[str, tuple[float, Value]] = {}
    events: list[Event] = []
    texts: list[str] = []
    for resource in resources:
        kind = resource["resourceType"]
        if kind == "DiagnosticReport":
            texts += _narrative(resource)
        if kind not in _CODED or _withdrawn(resource):
            continue
        what, value = _coded(resource, words)
        date = _date(resource)
        if kind == "Condition" and "diagnosis" not in covariates:
            covariates["diagnosis"] = (what, None)
        if date is None or first is None:
            if kind == "Observation" and value is not None:
                latest.setdefault(what, (-1.0, value))
            continue
        day = float((date - first).days)
        events.append(Event(day, what, value))
        if kind == "Observation" and value is not None and day >= latest.get(what, (-2.0, value))[0]:
            latest[what] = (day, value)
    covariates |= {what: (value.value, value.unit) for what, (_, value) in latest.items() if what not in covariates}
    return make_patient(covariates, text=clean_text("\n".join(texts), words), events=events, notes=notes)


def _resources(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    if content["resourceType"] != "Bundle":
        return [content]
    entries = content.get("entry") or []
    found = [entry.get("resource") for entry in entries if isinstance(entry, Mapping)]
    resources = [resource for resource in found if isinstance(resource, Mapping) and "resourceType" in resource]
    if not resources:
        raise UsageError(f"{name} is a bundle without resources: export a patient with observations")
    return resources


def _checked(resource: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The resource as plain JSON, after fhir.resources has read it."""
    try:
        from fhir.resources.R4B import get_fhir_model_class
    except ImportError:
        raise SetupError("FHIR bundles need fhir.resources: pip install 'pathcopilot[fhir]'") from None
    kind = str(resource["resourceType"])[:40]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            get_fhir_model_class(kind).model_validate(dict(resource))
    except Exception as error:  # pydantic's and the package's own kinds, for whatever is wrong in a resource
        where: list[dict[str, Any]] = getattr(error, "errors", list)()
        place = ".".join(str(part) for part in where[0]["loc"]) if where else "its type"
        raise UsageError(f"{name} holds a {kind} that is no valid FHIR R4 at {place}: export it anew") from None
    return dict(resource)


def _person(person: Mapping[str, Any], first: datetime.date | None) -> dict[str, tuple[Any, str | None]]:
    known: dict[str, tuple[Any, str | None]] = {}
    if person.get("gender") in ("male", "female"):
        known["sex"] = (person["gender"], None)
    if (born := _as_date(person.get("birthDate"))) is not None and first is not None:
        known["age"] = (float(int((first - born).days / 365.2425)), "years")
    return known


def _coded(resource: Mapping[str, Any], words: list[str]) -> tuple[str, Value | None]:
    """Name and value of an observation, condition, procedure or medication."""
    concept = resource.get("code") or resource.get("medicationCodeableConcept") or {}
    codings = [coding for coding in concept.get("coding") or [] if isinstance(coding, Mapping)]
    known = next((found for coding in codings if (found := quantity(str(coding.get("code")))) is not None), None)
    shown = concept.get("text") or next((coding["display"] for coding in codings if coding.get("display")), None)
    name = known.name if known else canonical(clean_text(str(shown or "unnamed"), words))
    if (measured := resource.get("valueQuantity")) is not None:
        unit = measured.get("code") or measured.get("unit")
        return name, make_value(name, measured.get("value"), None if unit is None else str(unit))
    if (worded := resource.get("valueCodeableConcept")) is not None:
        answers = worded.get("coding") or [{}]
        return name, make_value(name, clean_text(str(worded.get("text") or answers[0].get("display") or ""), words))
    for field in ("valueInteger", "valueString", "valueBoolean"):
        if resource.get(field) is not None:
            raw = resource[field]
            return name, make_value(name, clean_text(raw, words) if isinstance(raw, str) else raw)
    return name, None


def _narrative(report: Mapping[str, Any]) -> list[str]:
    found = [str(report["conclusion"])] if report.get("conclusion") else []
    for form in report.get("presentedForm") or []:
        if str(form.get("contentType", "")).startswith("text/plain") and form.get("data"):
            try:
                found.append(base64.b64decode(form["data"]).decode("utf-8", "replace"))
            except ValueError:
                continue
    return found


def _naming(resource: Mapping[str, Any]) -> list[str]:
    """What a resource calls people by: of the patient everything that identifies, of others names and identifiers."""
    words = identifying_words(resource) if resource["resourceType"] == "Patient" else []
    shown = [resource.get(field) for field in ("subject", "performer", "author", "recorder")]
    people = [person for item in shown for person in (item if isinstance(item, list) else [item])]
    return words + identifying_words(
        {"name": [person["display"] for person in people if isinstance(person, Mapping) and person.get("display")]}
    )


def _withdrawn(resource: Mapping[str, Any]) -> bool:
    return resource.get("status") in ("entered-in-error", "cancelled", "not-done")


def _date(resource: Mapping[str, Any]) -> datetime.date | None:
    return next((date for field in _DATED if (date := _as_date(resource.get(field))) is not None), None)


def _as_date(text: Any) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(str(text)[:10]) if text else None
    except ValueError:
        return None
