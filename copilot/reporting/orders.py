"""A plan of ancillary tests as FHIR R4 ServiceRequests: proposals in draft, which a person turns into orders."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from slides import UsageError
from slides.files import write_atomically

from ..test_plan import NOT_A_PREDICTION, PlannedTest, TestPlan
from .fhir import HL7, SUBJECT


def orders(plan: TestPlan) -> dict[str, Any]:
    """A bundle (type `collection`) with one ServiceRequest a test, in the plan's order; it is empty for no test."""
    seed = json.dumps(plan.as_json(), sort_keys=True)
    entries = []
    for place, test in enumerate(plan.tests, 1):
        digest = sha256(f"{seed} {place}".encode()).digest()
        entries.append({"fullUrl": UUID(bytes=digest[:16], version=4).urn, "resource": _request(plan, test, place)})
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


def write_orders(plan: TestPlan, path: Path) -> None:
    """Writes the orders in one step; raises `UsageError` where the file cannot be written."""
    try:
        write_atomically(path, json.dumps(orders(plan), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"{path.name} cannot be written here: {error.strerror}; name another folder") from error


def _request(plan: TestPlan, test: PlannedTest, place: int) -> dict[str, Any]:
    told = next(one for one in plan.as_json()["tests"] if one["marker"] == test.marker.id)
    notes = [told["why"], NOT_A_PREDICTION]
    notes += [f"Prerequisites: {test.marker.prerequisites}"] if test.marker.prerequisites else []
    notes += [f"Control: {test.marker.control}"] if test.marker.control else []
    notes += [f"Order only if the first round leaves it open (round {test.round})"] if test.round > 1 else []
    names = ", ".join(candidate.entity.name for candidate in plan.candidates)
    return {
        "resourceType": "ServiceRequest",
        "identifier": [{"value": f"test {place}"}],
        "status": "draft",
        "intent": "proposal",
        "priority": "routine",
        "category": [
            {
                "coding": [{"system": f"{HL7}/v2-0074", "code": "SP", "display": "Surgical Pathology"}],
                "text": "Pathology",
            }
        ],
        "code": {"text": f"{test.marker.name} ({test.marker.kind})"},
        "subject": SUBJECT,
        "reasonCode": [{"text": f"To separate: {names}"}],
        "note": [{"text": note} for note in notes],
    }
