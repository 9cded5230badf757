"""Which entries of a folder are slides."""

from __future__ import annotations

from pathlib import Path

_SCANS = ("svs", "tif", "tiff", "ndpi", "scn", "mrxs", "bif", "vms", "vmu", "svslide", "dzi", "dcm")
_IMAGES = ("jpg", "jpeg", "png", "bmp", "webp")
SUFFIXES = frozenset(f".{suffix}" for suffix in (*_SCANS, *_IMAGES))
"""Files of a folder that are taken for slides; a file named by itself is always tried."""


def slides_in(folder: Path, *, deep: bool = False) -> list[Path]:
    """Slides of a folder by their endings, names in order; a folder of DICOM files is one slide.

    With `deep` also those of the folders in it; the tiles of a Deep Zoom and the parts of a MIRAX slide are
    no slides. Raises `OSError` when the folder cannot be read.
    """
    found: list[Path] = []
    for child in sorted(folder.iterdir()):
        if child.name.startswith("."):
            continue
        if not child.is_dir():
            found += [child] if child.suffix.lower() in SUFFIXES else []
        elif is_dicom_folder(child):
            found.append(child)
        elif deep and not _belongs_to_a_slide(child):
            found += slides_in(child, deep=True)
    return found


def is_dicom_folder(path: Path) -> bool:
    """Whether a path is a folder with DICOM files."""
    return path.is_dir() and any(path.glob("*.dcm"))


def _belongs_to_a_slide(folder: Path) -> bool:
    parts = (folder.with_name(f"{folder.name}.mrxs"), folder.with_name(folder.name.removesuffix("_files") + ".dzi"))
    return any(part.is_file() for part in parts)
