"""Every written form of a report, read back by the library that its readers use."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copilot.report import DRAFT
from copilot.reporting.document import Report, from_json
from copilot.reporting.export import FORMS, write_report
from copilot.reporting.figures import bar_length
from copilot.reporting.geojson import annotated, read_annotations
from copilot.reporting.orders import orders
from copilot.suggest import suggest_for
from slides import UsageError

from .reported import NASTY, report_on


@pytest.fixture(scope="module")
def report(generated_slide: Path) -> Report:
    return report_on(generated_slide, context=f"colon biopsy {NASTY}")


def written(report: Report, folder: Path, name: str) -> bytes:
    (path,) = write_report(report, folder / name)
    assert path.name == name
    assert [one.name for one in folder.iterdir()] == [name]
    return path.read_bytes()


def test_json_gives_the_report_back(report: Report, tmp_path: Path) -> None:
    told = json.loads(written(report, tmp_path, "report.json"))
    assert from_json(told).as_json() == report.as_json()
    assert from_json(told).markdown() == report.markdown()


@pytest.mark.parametrize("broken", [{}, {"format": "another"}, {"format": "pathcopilot report 1"}])
def test_json_that_is_no_report_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="report"):
        from_json(broken)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_stands_alone_and_runs_nothing(report: Report, tmp_path: Path) -> None:
    page = Tags()
    page.feed(written(report, tmp_path, "report.html").decode())
    tags = {tag for tag, _ in page.seen}
    assert not tags & {"script", "iframe", "link", "object", "form", "svg"}
    for _, attributes in page.seen:
        assert not [name for name in attributes if name.startswith("on") or name == "href"]
    pictures = [attributes["src"] or "" for tag, attributes in page.seen if tag == "img"]
    assert len(pictures) == len(report.figures) >= 2
    for source in pictures:
        head, _, data = source.partition(",")
        assert head == "data:image/jpeg;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert "<script>alert(1)</script>" in page.text
    assert page.text.count(DRAFT) == 1
    assert page.text.lower().count("not a medical device") == 1


def test_docx_opens_with_its_pictures_and_lines(report: Report, tmp_path: Path) -> None:
    from docx import Document

    made = Document(io.BytesIO(written(report, tmp_path, "report.docx")))
    text = "\n".join(paragraph.text for paragraph in made.paragraphs)
    assert len(made.inline_shapes) == len(report.figures)
    assert all(line.text in text for line in report.lines)
    assert text.count("Research software") == 1
    assert "DRAFT" in made.sections[0].header.paragraphs[0].text
    assert not made.core_properties.author
    rows = sum(len(table.rows) for table in made.tables)
    assert rows >= len(report.evidence) + 1


def test_pdf_opens_with_its_lines_and_is_marked_on_each_page(report: Report, tmp_path: Path) -> None:
    import pypdfium2

    made = pypdfium2.PdfDocument(written(report, tmp_path, "report.pdf"))
    pages = [page.get_textpage().get_text_range() for page in made]
    text = " ".join(" ".join(pages).replace("\u00a0", " ").split())
    assert all("Draft, not signed" in page and "DRAFT" in page for page in pages)
    assert text.count("Research software") == 1
    for line in report.section("Conclusion").lines:
        assert line.text[:60] in text
    assert "Margins: not assessed" in text
    pixels = np.asarray(made[0].render(scale=0.5).to_pil().convert("L"))
    assert (pixels < 128).mean() > 0.005
    pictures = [item for page in made for item in page.get_objects() if item.type == 3]
    assert len(pictures) == len(report.figures)


def test_pictures_have_their_scale_or_say_that_it_is_not_stated(generated_slide: Path, tmp_path: Path) -> None:
    known = report_on(generated_slide)
    assert all(re.fullmatch(r"bar \d+ (µm|mm)", figure.scale) for figure in known.figures)
    assert all(1 <= index <= len(known.evidence) for figure in known.figures for index in figure.evidence)
    plain = tmp_path / "plain.png"
    Image.fromarray(np.full((900, 1200, 3), 200, np.uint8)).save(plain)
    unknown = report_on(plain)
    assert {figure.scale for figure in unknown.figures} == {"scale not stated by the file"}


@pytest.mark.parametrize(("width", "bar"), [(448.0, 100), (100.0, 20), (5.0, 1), (60000.0, 20000)])
def test_a_scale_bar_is_round_and_at_most_a_third(width: float, bar: int) -> None:
    assert bar_length(width) == bar


def test_fhir_is_a_valid_r4_bundle(report: Report, tmp_path: Path) -> None:
    from fhir.resources.R4B.bundle import Bundle

    raw = json.loads(written(report, tmp_path, "report.fhir.json"))
    bundle = Bundle.model_validate(raw)
    resources = [entry.resource for entry in bundle.entry]
    (diagnostic,) = [one for one in resources if one.__resource_type__ == "DiagnosticReport"]
    observations = [one for one in resources if one.__resource_type__ == "Observation"]
    assert diagnostic.status == "preliminary"
    assert len(observations) == len(report.evidence) == len(diagnostic.result)
    urls = {entry.fullUrl for entry in bundle.entry}
    assert len(urls) == len(resources)
    assert {one.reference for one in diagnostic.result} | {one.link.reference for one in diagnostic.media} <= urls
    for found, item in zip(observations, report.evidence, strict=True):
        if item.finding.abstained:
            assert found.dataAbsentReason is not None
            assert found.valueQuantity is None
        elif item.finding.label is None:
            assert float(found.valueQuantity.value) == pytest.approx(item.finding.value)
    assert "subject" not in diagnostic.model_fields_set


def test_exports_for_other_systems_name_no_file_and_no_patient(report: Report, tmp_path: Path) -> None:
    for name in ("a.geojson", "a.dcm"):
        folder = tmp_path / name
        folder.mkdir()
        content = written(report, folder, name)
        assert report.slides[0].name.encode() not in content


def test_geojson_is_valid_and_its_regions_come_back(report: Report, tmp_path: Path) -> None:
    from shapely.geometry import shape

    told = json.loads(written(report, tmp_path, "report.geojson"))
    assert told["type"] == "FeatureCollection"
    expected = [place for item in report.evidence if not item.finding.abstained for place in item.fields]
    assert len(told["features"]) == len(expected)
    for feature, region in zip(told["features"], expected, strict=True):
        outline = shape(feature["geometry"])
        assert outline.is_valid
        assert outline.exterior.is_ring
        assert outline.bounds == (region.x, region.y, region.right, region.bottom)
        assert feature["properties"]["objectType"] == "annotation"
        assert all(isinstance(value, int | float) for value in feature["properties"]["measurements"].values())
    assert [one.region for one in read_annotations(tmp_path / "report.geojson")] == expected


def test_two_slides_give_two_geojson_files_named_after_neither(generated_slide: Path, tmp_path: Path) -> None:
    other = tmp_path / "patient-name.png"
    Image.fromarray(np.full((900, 1200, 3), 200, np.uint8)).save(other)
    out = tmp_path / "out"
    out.mkdir()
    files = write_report(report_on(generated_slide, other), out / "report.geojson")
    assert [file.name for file in files] == ["report-1.geojson", "report-2.geojson"]


def test_qupath_annotations_become_boxes(tmp_path: Path) -> None:
    ring = [[10.5, 20], [99, 20.2], [50, 80.7], [10.5, 20]]
    two = [[[[0, 0], [4, 0], [4, 4], [0, 0]]], [[[8, 8], [9, 8], [9, 9], [8, 8]]]]
    named = {"objectType": "annotation", "name": "odd gland", "classification": {"name": "Tumor"}}
    drawn = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": named},
            {
                "type": "Feature",
                "geometry": {"type": "MultiPolygon", "coordinates": two},
                "properties": {"objectType": "annotation"},
            },
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [5, 6]},
                "properties": {"objectType": "detection"},
            },
        ],
    }
    path = tmp_path / "drawn.geojson"
    path.write_text(json.dumps(drawn), encoding="utf-8")
    first, second = read_annotations(path)
    assert first.region.xywh == (10, 20, 89, 61)
    assert (first.name, first.classification) == ("odd gland", "Tumor")
    assert second.region.xywh == (0, 0, 9, 9)
    assert [region.xywh for region in annotated(path, [Path("a.svs")])] == [(10, 20, 89, 61), (0, 0, 9, 9)]
    with pytest.raises(UsageError, match="one slide"):
        annotated(path, [Path("a.svs"), Path("b.svs")])


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"type": "FeatureCollection", "features": []}', "[1, null]"])
def test_a_file_without_annotations_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "drawn.geojson"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_annotations(path)
    assert "\n" not in str(error.value)


def read_sr(content: bytes) -> Any:
    import highdicom
    import pydicom

    return highdicom.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(io.BytesIO(content)))


def test_dicom_sr_is_read_back_with_measurements_in_mm(report: Report, tmp_path: Path) -> None:
    document = read_sr(written(report, tmp_path, "report.dcm"))
    assert document.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (document.PatientName, document.PatientID) == ("", "")
    assert document.VerificationFlag == "UNVERIFIED"
    groups = document.content.get_planar_roi_measurement_groups()
    values = [float(one.value) for group in groups for one in group.get_measurements()]
    for item in report.evidence:
        if item.finding.value is not None and not item.finding.abstained:
            assert any(value == pytest.approx(item.finding.value) for value in values)
    places = [group.roi.value for group in groups]
    assert len(places) >= 2
    first = next(item for item in report.evidence if item.finding.label)
    field, mm = first.fields[0], (report.slides[0].mpp or 0) / 1000
    corner = np.array([field.x * mm, field.y * mm, 0.0])
    assert any(np.allclose(place[0], corner, atol=1e-6) for place in places)


def test_dicom_sr_of_a_dicom_slide_points_at_its_instance_and_frame(shared_data: Path, tmp_path: Path) -> None:
    import pydicom

    from copilot.reporting.dicom import corners

    folder = shared_data / "slides" / "dicom-giardia"
    volume = pydicom.dcmread(folder / "volume-2048.dcm", stop_before_pixels=True)
    report = report_on(folder)
    document = read_sr(written(report, tmp_path, "report.dcm"))
    assert document.StudyInstanceUID == volume.StudyInstanceUID
    assert (document.PatientName, document.PatientID) == ("", "")
    named = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == volume.SOPInstanceUID
    group = document.content.get_planar_roi_measurement_groups()[0]
    assert group.roi.frame_of_reference_uid == volume.FrameOfReferenceUID
    # the matrix begins at x 25, y 50 mm; its rows run along -y, its columns along -x
    at = corners(report.slides[0], report.evidence[0].fields[0])
    spacing = float(volume.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0])
    field = report.evidence[0].fields[0]
    assert at[0] == pytest.approx([25 - field.y * spacing, 50 - field.x * spacing, 0.0], abs=spacing)


def test_dicom_sr_needs_a_scale(tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.fromarray(np.full((900, 1200, 3), 200, np.uint8)).save(plain)
    with pytest.raises(UsageError, match="--mpp"):
        write_report(report_on(plain), tmp_path / "report.dcm")
    assert not (tmp_path / "report.dcm").exists()
    write_report(report_on(plain, mpp=0.5), tmp_path / "report.dcm")


def test_a_report_on_nothing_that_can_be_read_still_writes(tmp_path: Path) -> None:
    from copilot.report import draft_report

    from .observed import unusable

    for ending in set(FORMS) - {".dcm"}:
        write_report(draft_report([unusable("glass.svs")]), tmp_path / f"report{ending}")
    with pytest.raises(UsageError, match="evidence"):
        write_report(draft_report([unusable("glass.svs")]), tmp_path / "report.dcm")


def test_orders_are_valid_service_requests_and_predict_nothing() -> None:
    from fhir.resources.R4B.bundle import Bundle

    plan = suggest_for(["colorectal adenocarcinoma", "lung adenocarcinoma"])
    bundle = Bundle.model_validate(orders(plan))
    asked = [entry.resource for entry in bundle.entry]
    assert [one.code.text.split(" (")[0] for one in asked] == [test.marker.name for test in plan.tests]
    assert {(one.status, one.intent) for one in asked} == {("draft", "proposal")}
    assert all(any("not a forecast" in note.text for note in one.note) for one in asked)
    nothing = suggest_for(["ulcerative colitis", "Crohn's disease"])
    assert Bundle.model_validate(orders(nothing)).entry is None
