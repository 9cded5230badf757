"""A report as a DICOM Comprehensive 3D SR (template TID 1500), by highdicom: places in mm of the slide.

A slide that is DICOM itself is referenced by its own UIDs and frame of reference; of any other slide the UIDs are
made from the hash of its content, x runs along its rows and y down its columns. Patient attributes stay empty: an
archive files the document by its study.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from slides import Evidence, Finding, Region, SetupError, UsageError

from .document import Report, SlideFacts

SCHEME = "99PATHCOPILOT"
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_UCUM = {"share": ("1", "no units"), "ratio": ("1", "no units"), "µm": ("um", "micrometer"),
         "µm²": ("um2", "square micrometer"), "per mm²": ("/mm2", "per square millimeter")}  # fmt: skip
_EMPTY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
          "StudyTime")  # fmt: skip


def structured_report(report: Report) -> bytes:
    """The document as a DICOM file; preliminary until it is signed.

    Raises `SetupError` without highdicom, `UsageError` for a slide without µm/px, or a report without evidence.
    """
    try:
        import highdicom.sr as sr
        from highdicom import UID
        from pydicom.sr.codedict import codes
    except ImportError:
        raise SetupError("a DICOM report needs highdicom: pip install 'pathcopilot[report]'") from None
    facts = {one.name: one for one in report.slides}
    named = [name for name in dict.fromkeys(item.slide for item in report.evidence) if name in facts]
    if not named:
        raise UsageError("a DICOM report names evidence on slides, and there is none: draft it from slides")
    for number, name in enumerate(named, 1):
        if facts[name].mpp is None:
            raise UsageError(f"a DICOM report has its places in mm, and slide {number} states no µm/px: add --mpp")
    sources = [_source(facts[name]) for name in named]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=UID(_uid("device", *_hashes(report))), name="pathcopilot", model_name="research software"
    )
    context = sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )
    content = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=_code("whole slide imaging review"),
        imaging_measurements=list(_groups(report, facts)),
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=sources,
    )
    seed = (report.made, *(line.words for line in report.lines), *_hashes(report))
    signed = report.signature is not None
    made = sr.Comprehensive3DSR(
        evidence=sources,
        content=content,
        series_instance_uid=_uid("series", *seed),
        series_number=1,
        sop_instance_uid=_uid("document", *seed),
        instance_number=report.version,
        manufacturer="pathcopilot (research software)",
        is_complete=signed,
        is_final=signed,
        **_verified(report),
    )
    out = BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def dicom_facts(path: Path) -> Mapping[str, Any] | None:
    """UIDs and geometry of the finest volume level of a DICOM slide (a file or folder); None for any other file."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
            "ImageType", "TotalPixelMatrixColumns", "TotalPixelMatrixOriginSequence", "ImageOrientationSlide",
            "SharedFunctionalGroupsSequence"]  # fmt: skip
    best: Any = None
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if not file.is_file():
            continue
        try:
            found = dcmread(file, stop_before_pixels=True, specific_tags=tags)
        except (InvalidDicomError, OSError, ValueError):
            continue
        whole = found.get("SOPClassUID") == WHOLE_SLIDE and "VOLUME" in (found.get("ImageType") or ())
        if whole and (best is None or found.TotalPixelMatrixColumns > best.TotalPixelMatrixColumns):
            best = found
    if best is None:
        return None
    try:
        origin = best.TotalPixelMatrixOriginSequence[0]
        spacing = best.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
        return {
            "instance": str(best.SOPInstanceUID),
            "series": str(best.SeriesInstanceUID),
            "study": str(best.StudyInstanceUID),
            "frame": str(best.FrameOfReferenceUID),
            "position": [
                float(origin.XOffsetInSlideCoordinateSystem),
                float(origin.YOffsetInSlideCoordinateSystem),
                float(origin.get("ZOffsetInSlideCoordinateSystem") or 0.0),
            ],
            "orientation": [float(value) for value in best.ImageOrientationSlide],
            "spacing": [float(value) for value in spacing],
        }
    except (AttributeError, IndexError, TypeError, ValueError):
        return None


def corners(facts: SlideFacts, region: Region) -> Any:
    """The closed outline of a level-0 region in mm of the slide's frame of reference, float64 (5, 3)."""
    import numpy as np
    from highdicom.spatial import ImageToReferenceTransformer

    assert facts.mpp is not None
    told = facts.dicom or {}
    place = ImageToReferenceTransformer(
        image_position=told.get("position", (facts.mpp / 2000, facts.mpp / 2000, 0.0)),  # centre of the first pixel
        image_orientation=told.get("orientation", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
        pixel_spacing=told.get("spacing", (facts.mpp / 1000, facts.mpp / 1000)),
    )
    x, y, right, bottom = region.x, region.y, region.right, region.bottom
    return place(np.array([(x, y), (right, y), (right, bottom), (x, bottom), (x, y)], dtype=float))


def _groups(report: Report, facts: Mapping[str, SlideFacts]) -> Iterator[Any]:
    """One group of measurements for each place."""
    import highdicom.sr as sr

    places: dict[tuple[str, Region], list[tuple[int, Finding]]] = defaultdict(list)
    for index, item in enumerate(report.evidence, 1):
        if item.slide in facts and not item.finding.abstained:
            places[(item.slide, _place(item))].append((index, item.finding))
    for number, ((name, region), found) in enumerate(places.items(), 1):
        slide = facts[name]
        frame = (slide.dicom or {}).get("frame") or _uid("frame", slide.fingerprint)
        yield sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(
                uid=_uid("place", slide.fingerprint, str(region.xywh)), identifier=f"place {number}"
            ),
            referenced_region=sr.ImageRegion3D(
                graphic_type="POLYGON", graphic_data=corners(slide, region), frame_of_reference_uid=frame
            ),
            finding_type=_code("findings of one place"),
            measurements=[one for index, finding in found for one in _measurements(index, finding)],
            qualitative_evaluations=[
                sr.QualitativeEvaluation(name=_code(finding.name), value=_code(finding.label))
                for _, finding in found
                if finding.label
            ],
        )


def _measurements(index: int, finding: Finding) -> Iterator[Any]:
    import highdicom.sr as sr

    if finding.probability is not None:
        name, unit = _code(f"E{index} calibrated probability of {finding.name}"), _unit("ratio")
        yield sr.Measurement(name=name, value=round(finding.probability, 6), unit=unit)
    if finding.value is not None:
        name, unit = _code(f"E{index} {finding.name.replace('_', ' ')}"), _unit(finding.unit)
        yield sr.Measurement(name=name, value=float(f"{finding.value:.6g}"), unit=unit)


def _place(item: Evidence) -> Region:
    """The strongest field of a class, the whole view of a measure."""
    return item.fields[0] if item.finding.label is not None and item.fields else item.region


def _source(facts: SlideFacts) -> Any:
    """What the document says of a slide: its UIDs, and no patient."""
    from pydicom import Dataset

    told = facts.dicom or {}
    found = Dataset()
    for name in _EMPTY:
        setattr(found, name, "")
    found.SOPClassUID = WHOLE_SLIDE
    found.SOPInstanceUID = told.get("instance") or _uid("instance", facts.fingerprint)
    found.SeriesInstanceUID = told.get("series") or _uid("series of", facts.fingerprint)
    found.StudyInstanceUID = told.get("study") or _uid("study of", facts.fingerprint)
    found.Modality = "SM"
    found.Rows, found.Columns = 1, 1
    return found


def _verified(report: Report) -> dict[str, Any]:
    if report.signature is None:
        return {}
    name = report.signature.by.replace("\\", " ").replace("=", " ")[:64]
    return {
        "is_verified": True,
        "verifying_observer_name": name if "^" in name else f"{name}^",
        "verifying_organization": "not stated",
    }


def _hashes(report: Report) -> Sequence[str]:
    model = report.model
    return () if model is None else sorted(model.weights_sha256.values())


def _code(meaning: str) -> Any:
    """A code of our own scheme, made from its meaning: the scheme holds no code of others."""
    from highdicom.sr import CodedConcept

    return CodedConcept(sha256(meaning.encode()).hexdigest()[:12].upper(), SCHEME, meaning[:64])


def _unit(unit: str | None) -> Any:
    from highdicom.sr import CodedConcept

    value, meaning = _UCUM.get(unit or "ratio", ("1", "no units"))
    return CodedConcept(value, "UCUM", meaning)


def _uid(*parts: str) -> str:
    """A UID of the form 2.25.n that the same parts give again."""
    return f"2.25.{int.from_bytes(sha256(chr(0).join(parts).encode()).digest()[:16], 'big')}"
