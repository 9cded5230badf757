"""DICOM whole-slide microscopy: the volume levels of one series, through wsidicom; label and overview stay shut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.config
from wsidicom import WsiDicom

from ..errors import NotASlide, SlideDamaged, SlideRefused
from ..geometry import Size
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
    folder = path if path.is_dir() else path.parent
    candidates = [file for file in sorted(folder.iterdir()) if file.is_file() and _has_dicom_mark(file)]
    if not candidates:
        raise NotASlide("the folder holds no DICOM files: give the slide file itself")
    if len(candidates) > _MOST_FILES:
        raise SlideRefused(f"the folder holds more than {_MOST_FILES} DICOM files: give one slide a folder")
    volumes: dict[str, list[tuple[Path, Any]]] = {}
    damaged, kinds = [], set()
    for file in candidates:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
            sop_class, series = str(header.SOPClassUID), str(header.SeriesInstanceUID)
            kind = [str(part) for part in header.get("ImageType") or ()]
        except Exception:  # pydicom raises whatever a damaged header provokes
            damaged.append(f"{file.name} is unreadable")
            continue
        if sop_class != WHOLE_SLIDE:
            kinds.add("another")
            continue
        kinds.add(kind[2] if len(kind) > 2 else "")
        if len(kind) > 2 and kind[2] == "VOLUME":
            volumes.setdefault(series, []).append((file, header))
            if not _is_whole(file):
                damaged.append(f"{file.name} is cut short")
    return _choose(path, volumes, damaged, kinds)


def _choose(path: Path, volumes: dict[str, list[tuple[Path, Any]]], damaged: list[str], kinds: set[str]) -> DicomSeries:
    if path.is_file():
        volumes = {uid: files for uid, files in volumes.items() if any(file == path for file, _ in files)} or volumes
        single = [reason for reason in damaged if reason.startswith(f"{path.name} is ")]
        if single:
            raise SlideDamaged(f"the DICOM series is damaged: {single[0]}; export it again")
    if damaged:
        raise SlideDamaged(f"the DICOM series is damaged: {', '.join(damaged[:4])}; export it again")
    if not volumes:
        if kinds & {"LABEL", "OVERVIEW", "THUMBNAIL"}:
            raise NotASlide("the DICOM folder holds a label or overview but no slide image, and those are not shown")
        raise NotASlide("DICOM of another kind, not whole-slide microscopy")
    if len(volumes) > 1:
        raise SlideRefused(f"the folder holds {len(volumes)} DICOM slides: give one .dcm of the slide you mean")
    files = next(iter(volumes.values()))
    said = ("Files in the folder that are no whole-slide images are left aside.",) if "another" in kinds else ()
    return DicomSeries(tuple(file for file, _ in files), _objective(files[0][1]), said)


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


def series_members(series: DicomSeries) -> Sequence[Path]:
    """The files, for the fingerprint."""
    return series.files
