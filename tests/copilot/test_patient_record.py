"""Patients are read from four formats with units checked, what is unknown unknown, and nobody named."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.patient.privacy import clean_text
from copilot.patient.quantities import kept
from copilot.patient.read import patient_from_json, read_patient, read_patients
from slides.errors import UsageError

SECRETS = ("Hildegard", "Quastenflosser", "1951-03-17", "4711-0815", "hq@example.org", "Kastanienallee")

REPORT = (
    "Name: Hildegard Quastenflosser, DOB: 1951-03-17. Mrs Quastenflosser was seen by Dr. Anton Berg on 12.05.2021. "
    "MRN: 4711-0815. Write to hq@example.org. Invasive carcinoma, 23 mm, 4 of 12 nodes positive."
)


def bundle(**extra: Any) -> dict[str, Any]:
    """A bundle of one woman with two values of CRP, a diagnosis and a report."""
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": "urn:x", "value": "4711-0815"}],
        "name": [{"family": "Quastenflosser", "given": ["Hildegard"]}],
        "telecom": [{"system": "email", "value": "hq@example.org"}],
        "address": [{"line": ["Kastanienallee 1"], "city": "Berlin"}],
        "gender": "female",
        "birthDate": "1951-03-17",
    }
    crp = {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": "Patient/p1", "display": "Hildegard Quastenflosser"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "1988-5", "display": "CRP"}]},
    }
    first = {**crp, "effectiveDateTime": "2021-05-10", "valueQuantity": {"value": 2.5, "unit": "mg/dL"}}
    second = {**crp, "effectiveDateTime": "2021-05-12", "valueQuantity": {"value": 130, "code": "mg/L", **extra}}
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/p1"},
        "code": {"text": "Breast carcinoma of Hildegard Quastenflosser"},
        "recordedDate": "2021-05-11",
    }
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "Pathology report"},
        "presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(REPORT.encode()).decode()}],
    }
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": resource} for resource in (patient, second, first, condition, report)],
    }


def written(folder: Path, content: Any, name: str = "patient.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def omop(folder: Path) -> Path:
    """Two people in OMOP-style tables."""
    tables = {
        "person": "person_id,gender_concept_id,year_of_birth\n7,8532,1951\n12,8507,1940\n",
        "measurement": "person_id,measurement_concept_id,measurement_date,value_as_number,unit_concept_id\n"
        "7,3016723,2021-05-10,1.1,8840\n7,3016723,2021-05-13,2.2,8840\n7,3016723,2021-05-13,2.2,8840\n"
        "12,3020460,2020-01-01,8,8751\n",
        "drug_exposure": "person_id,drug_concept_id,drug_exposure_start_date,drug_source_value\n"
        "7,1,2021-05-11,remdesivir\n",
        "note": f'person_id,note_text\n7,"{REPORT}"\n',
    }
    for name, text in tables.items():
        written(folder, text, f"{name}.csv")
    return folder


def test_a_bundle_becomes_days_values_and_nobody(tmp_path: Path) -> None:
    pytest.importorskip("fhir.resources")
    patient = read_patient(written(tmp_path, bundle()))
    assert patient.number("age") == 70
    assert patient.word("sex") == "female"
    assert patient.number("crp") == 130
    assert next((event.day, event.name) for event in patient.events) == (0.0, "crp")
    first = patient.events[0].value
    assert first is not None
    assert first.value == 25
    assert "23 mm" in patient.text
    assert "breast carcinoma" in (patient.word("diagnosis") or "")


def test_no_identifier_stays_in_any_format(tmp_path: Path) -> None:
    pytest.importorskip("fhir.resources")
    ours = {
        "patient_name": "Hildegard Quastenflosser",
        "mrn": "4711-0815",
        "address": {"street": "Kastanienallee"},
        "covariates": {"birth_date": "1951-03-17", "email": "hq@example.org", "comment": "told by Hildegard"},
        "text": REPORT + " Lives in Kastanienallee.",
        "events": [{"day": 0, "name": "letter to hq@example.org"}],
    }
    (tmp_path / "omop").mkdir()
    patients = [
        read_patient(written(tmp_path, bundle())),
        read_patient(written(tmp_path, ours, "ours.json")),
        *read_patients(omop(tmp_path / "omop")),
    ]
    for patient in patients:
        for secret in SECRETS:
            assert secret.lower() not in repr(patient).lower()
        assert patient.notes
    assert "4 of 12 nodes" in patients[1].text


def test_event_tables_give_every_person_in_order(tmp_path: Path) -> None:
    first, second = read_patients(omop(tmp_path))
    assert first.number("creatinine") == 2.2
    assert [event.name for event in first.events] == ["creatinine", "remdesivir", "creatinine"]
    assert any("doubled" in note for note in first.notes)
    assert (second.number("crp"), second.number("age"), second.number("creatinine")) == (8, 80, None)


def test_a_table_of_rows_reads_units_from_its_header(tmp_path: Path) -> None:
    rows = "age [years],tumour size (cm),Grade,text\n53,2.3,2,a report\n61,NA,3,\n"
    one, two = read_patients(written(tmp_path, rows, "many.csv"))
    assert (one.number("tumour size"), two.number("tumour size")) == (23, None)
    assert one.word("grade") == "2"
    assert one.text == "a report"


@given(value=st.floats(0.1, 39), unit=st.sampled_from(["mg/dL", "mg/L", "umol/L", "µmol/L"]))
def test_a_unit_only_changes_how_a_value_is_written(value: float, unit: str) -> None:
    per = {"mg/dL": 1.0, "mg/L": 10.0, "umol/L": 88.4017, "µmol/L": 88.4017}[unit]
    assert kept("creatinine", value * per, unit)[0] == pytest.approx(value, rel=1e-4)


def test_a_number_without_its_unit_is_kept_but_not_used() -> None:
    patient = patient_from_json({"covariates": {"creatinine": 2}})
    assert "creatinine has no unit" in patient.notes
    with pytest.raises(UsageError, match="unit"):
        patient.number("creatinine")


@pytest.mark.parametrize(
    "record",
    [
        {"covariates": {"age": {"value": -3, "unit": "years"}}},
        {"covariates": {"age": -3}},
        {"covariates": {"age": {"value": 53, "unit": "mm"}}},
        {"covariates": {"crp": {"value": 1e9, "unit": "mg/L"}}},
        {"covariates": {"age": "53 years", "Age": "54 years"}},
        {"covariates": {"age": [53]}},
        {"covariates": 3},
        {"events": [{"name": "crp"}]},
        {"slide": ["a"]},
        {"expression": {"ESR1": "high"}},
        {"frobnication": 1},
        [3],
        "not json {",
        '{"covariates": {"age": {"value": NaN, "unit": "years"}}}',
        {"resourceType": "Bundle", "entry": []},
        {"resourceType": "Observation", "status": "final"},
        {"resourceType": "Spaceship"},
    ],
    ids=lambda record: str(record)[:50],
)
def test_a_record_that_cannot_be_ends_in_one_line(record: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read_patient(written(tmp_path, record))
    assert "\n" not in str(error.value)


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "Invasive ductal carcinoma, grade 2, 23 mm, 4/12 nodes, ER 90 %, margins 3 mm. Ki-67 15-20 %."
    assert clean_text(text) == text
