"""DICOM whole-slide microscopy: the volume levels of one series, through wsidicom; label and overview stay shut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.config
from wsidicom import WsiDicom

from ..errors import NotASlide, SlideDamaged, SlideRefused
from ..geometry import Size
from ..naming import shown_name
from ..slide import Pixels
from .source import COARSEST_PIXEL_SPACING, Source, on_white

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote header values

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class of VL Whole Slide Microscopy Image Storage."""

_MOST_FILES = 4096
_DELIMITER = b"\xfe\xff\xdd\xe0"
_TAIL = 64 * 1024

_TAGS = ["SOPClassUID", "ImageType", "SeriesInstanceUID", "ObjectiveLensPower", "OpticalPathSequence"]


@dataclass(frozen=True, slots=True)
class DicomSeries:
    """The volume files of one series, largest file first, and what was left aside."""

    files: tuple[Path, ...]
    objective: float | None
    conditions: tuple[str, ...]


class DicomReader:
    """The levels of one series."""

    def __init__(self, series: DicomSeries) -> None:
        self._slide = WsiDicom.open(list(series.files))
        self._levels: list[Any] = sorted(self._slide.levels, key=lambda level: level.level)
        spacing = self._levels[0].pixel_spacing  # mm between pixel centres
        self.source = Source(
            kind="DICOM",
            level_sizes=tuple(Size(level.size.width, level.size.height) for level in self._levels),
            stated_mpp=(float(spacing.width) * 1000, float(spacing.height) * 1000),
            coarsest_mpp=COARSEST_PIXEL_SPACING,
            objective=series.objective,
            conditions=series.conditions,
        )

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """RGB pixels of a window in the level's own pixels."""
        number = self._levels[level].level
        return on_white(np.asarray(self._slide.read_region((x, y), number, (width, height), as_array=True)))

    def close(self) -> None:
        """Frees the files."""
        self._slide.close()


def find_series(path: Path) -> DicomSeries:
    """The whole-slide series of a folder, or the one that a single .dcm belongs to.

    Raises `NotASlide` for a folder without whole-slide volumes, `SlideDamaged` when a file of the series is
    cut short or unreadable, `SlideRefused` when the folder holds several slides.
    """
    single = path.is_file()
    folder = path.parent if single else path
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and _has_dicom_mark(file)]
    if not files:
        raise NotASlide("the folder holds no DICOM files: give the slide file itself")
    if len(files) > _MOST_FILES:
        raise SlideRefused(f"the folder holds more than {_MOST_FILES} DICOM files: give one slide a folder")
    members = [_member(file) for file in files]
    said: tuple[str, ...] = ()
    if single:
        own = next(member for member in members if member.file.name == path.name)
        if own.fault is None and own.kind is None:
            raise NotASlide("DICOM of another kind, not whole-slide microscopy")
        if any(member.series is None for member in members if member is not own):
            said = ("Other DICOM files beside this one are unreadable: levels may be missing.",)
        members = [member for member in members if member is own or (member.series == own.series is not None)]
    elif any(member.fault is None and member.kind is None for member in members):
        said = ("Files in the folder that are no whole-slide images are left aside.",)
    return _choose(members, said)


@dataclass(frozen=True, slots=True)
class _Member:
    """One file: `kind` is VOLUME, LABEL, OVERVIEW …, None for DICOM of another kind; `series` None if unreadable."""

    file: Path
    series: str | None = None
    kind: str | None = None
    fault: str | None = None
    objective: float | None = None


def _member(file: Path) -> _Member:
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
        series, sop_class = str(header.SeriesInstanceUID), str(header.SOPClassUID)
        parts = [str(part).upper() for part in header.get("ImageType") or ()]
        if sop_class != WHOLE_SLIDE:
            return _Member(file, series)
        kind = parts[2] if len(parts) > 2 else ""
        fault = "is cut short" if kind == "VOLUME" and not _is_whole(file) else None
        return _Member(file, series, kind, fault, _objective(header))
    except Exception:  # pydicom raises whatever a damaged header provokes
        return _Member(file, fault="is unreadable")


def _choose(members: list[_Member], said: tuple[str, ...]) -> DicomSeries:
    faults = [f"{shown_name(member.file)} {member.fault}" for member in members if member.fault]
    if faults:
        raise SlideDamaged(f"the DICOM series is damaged: {', '.join(faults[:4])}; export it again")
    volumes = [member for member in members if member.kind == "VOLUME"]
    if not volumes:
        if any(member.kind is not None for member in members):
            raise NotASlide("the DICOM folder holds a label or overview but no slide image, and those are not shown")
        raise NotASlide("DICOM of another kind, not whole-slide microscopy")
    count = len({member.series for member in volumes})
    if count > 1:
        raise SlideRefused(f"the folder holds {count} DICOM slides: give one .dcm of the slide you mean")
    return DicomSeries(tuple(member.file for member in volumes), volumes[0].objective, said)


def _objective(header: Any) -> float | None:
    for step in header.get("OpticalPathSequence") or ():
        try:
            return float(step.ObjectiveLensPower)
        except (AttributeError, TypeError, ValueError):
            continue
    return None


def _has_dicom_mark(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            opened.seek(128)
            return opened.read(4) == b"DICM" or file.suffix.lower() == ".dcm"
    except OSError:
        return file.suffix.lower() == ".dcm"


def _is_whole(file: Path) -> bool:
    """True when the pixel data end inside the file: encapsulated data close with a delimiter item."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        header = pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=["Rows"])
        start = opened.tell()
        if not header.file_meta.TransferSyntaxUID.is_compressed:
            opened.seek(start)
            head = opened.read(12)
            length = int.from_bytes(head[8:12], "little")
            return len(head) == 12 and (length == 0xFFFFFFFF or start + 12 + length <= size)
        opened.seek(max(start, size - _TAIL))
        return _DELIMITER in opened.read()
