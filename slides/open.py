"""`open_slide`: content decides how a file is read, not its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import NotASlide, SlideDamaged, SlideError, SlideNotFound, SlideRefused
from .fingerprint import fingerprint
from .naming import shown_name
from .pyramid import PyramidSlide
from .readers.source import Reader, Source
from .scale import settle_scale
from .slide import Slide

SMALLEST_SIDE = 8
"""Pixels; no region of an image thinner than this shows a cell."""

_NOT_SLIDES = {
    b"%PDF": "the content is a PDF document, not a slide or an image",
    b"PK\x03\x04": "the content is a ZIP archive: unpack it and open what is inside",
    b"\x1f\x8b": "the content is a gzip archive: unpack it and open what is inside",
    b"7z\xbc\xaf": "the content is a 7-Zip archive: unpack it and open what is inside",
    b"Rar!": "the content is a RAR archive: unpack it and open what is inside",
    b"ZISRAWFILE": "Zeiss CZI is not read here: export it as OME-TIFF",
    b"\x89HDF": "the content is an HDF5 file, not a slide or an image",
}


_OTHER_TIFF = (
    "this kind of TIFF (more than 8 bits, separate channels or an unusual colour model) is not read here: "
    "export it as 8-bit RGB"
)


@dataclass(frozen=True, slots=True)
class Found:
    """How one file is to be read: what opens it, what its content hash covers, what must be said of it."""

    open_reader: Callable[[], Reader]
    files: tuple[Path, ...]
    conditions: tuple[str, ...] = ()
    stated_mpp: tuple[float, float] | None = None
    """µm/px of a header that the reader itself does not look into."""
    objective: float | None = None


def open_slide(path: str | os.PathLike[str], *, mpp: float | None = None, probe: bool = True) -> Slide:
    """The slide or image at a path, after a look at it in a child process with limits (`probe`).

    `mpp` states or overrides µm/px of level 0. Raises `SlideNotFound`, `NotASlide`, `SlideDamaged` or
    `SlideRefused` with one line that says what to do, `UsageError` for an impossible `mpp`.
    """
    place = Path(path)
    name = shown_name(place)
    try:
        _readable(place)
        conditions: tuple[str, ...] = ()
        if probe:
            from .probe import probe_slide

            conditions = probe_slide(place)
        return open_here(place, name, mpp, conditions)
    except SlideError as error:
        text = str(error)
        raise type(error)(text if text.startswith(name) else f"{name}: {text}") from error.__cause__


def open_here(path: Path, name: str, mpp: float | None, conditions: tuple[str, ...] = ()) -> PyramidSlide:
    """The slide, opened in this process without a probe; errors as `open_slide` without the name."""
    found, reader = _first_that_opens(path)
    source = reader.source
    first = source.level_sizes[0]
    if min(first) < SMALLEST_SIDE:
        reader.close()
        raise SlideRefused(f"the image is too small for any region ({first.width}x{first.height} px)")
    scale = settle_scale(source.stated_mpp, source.coarsest_mpp, mpp)
    said = (*found.conditions, *_name_says_otherwise(path, source), *conditions)
    return PyramidSlide(
        name=name,
        open_reader=found.open_reader,
        scale=scale,
        fingerprint=fingerprint(found.files),
        reader=reader,
        conditions=said,
    )


def _readable(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if os.path.islink(path):
            raise SlideNotFound("the file does not exist: the link is broken") from error
        if isinstance(error, PermissionError):
            raise SlideNotFound("no permission to read the file") from error
        raise SlideNotFound("the file does not exist: check the path") from error
    if stat.S_ISDIR(mode):
        if not os.access(path, os.R_OK | os.X_OK):
            raise SlideNotFound("no permission to read the folder")
        return
    if not stat.S_ISREG(mode):
        raise NotASlide("this is no ordinary file")
    if not os.access(path, os.R_OK):
        raise SlideNotFound("no permission to read the file")
    if path.stat().st_size == 0:
        raise SlideDamaged("the file is empty (0 bytes): copy it again")


def _first_that_opens(path: Path) -> tuple[Found, Reader]:
    problem: Exception | None = None
    for found in _ways(path):
        try:
            reader = found.open_reader()
        except SlideError as error:
            problem = error
            continue
        except Exception as error:  # readers raise whatever their library does
            problem = problem or error
            continue
        source = reader.source
        reader.source = replace(
            source,
            stated_mpp=found.stated_mpp if found.stated_mpp is not None else source.stated_mpp,
            objective=source.objective if source.objective is not None else found.objective,
        )
        return found, reader
    if isinstance(problem, SlideError):
        raise problem
    raise NotASlide("the content is neither a slide nor an image that can be opened") from problem


def _ways(path: Path) -> list[Found]:
    """Ways to read a path, best first; raises where the content already says that there is none."""
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        head = file.read(4096)
    if head[128:132] == b"DICM":
        return _dicom(path)
    for mark, sentence in _NOT_SLIDES.items():
        if head.startswith(mark):
            raise NotASlide(sentence)
    if head[4:8] == b"ftyp" and head[8:12] in {b"heic", b"heix", b"heif", b"mif1", b"avif", b"hevc"}:
        raise NotASlide("the content is a HEIC or AVIF photo: export it as JPEG or PNG")
    if path.suffix.lower() == ".mrxs":
        return _mirax(path)
    if _is_tiff(head):
        return _tiff(path)
    return _other(path, head)


def _is_tiff(head: bytes) -> bool:
    return head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


def _folder(path: Path) -> list[Found]:
    partners = (path.with_suffix(".mrxs"), path.with_name(path.name.removesuffix("_files") + ".dzi"))
    for partner in partners:
        if partner.is_file() and partner != path:
            return _ways(partner)
    if not any(True for _ in path.iterdir()):
        raise NotASlide("this is an empty folder, not a slide: it holds no DICOM files")
    return _dicom(path)


def _dicom(path: Path) -> list[Found]:
    from .readers.dicom import DicomReader, find_series

    series = find_series(path)
    return [Found(lambda: DicomReader(series), series.files)]


def _mirax(path: Path) -> list[Found]:
    folder = path.with_suffix("")
    if not folder.is_dir() or not (folder / "Slidedat.ini").is_file():
        raise SlideDamaged(
            "the folder that belongs to this .mrxs file is missing: keep the file and its folder side by side"
        )
    members = tuple(sorted(member for member in folder.iterdir() if member.is_file()))

    def reader() -> Reader:
        try:
            return _openslide(path)
        except Exception as error:  # Pillow would show the small preview in the .mrxs as if it were the slide
            raise SlideDamaged("the MIRAX folder is damaged: copy the .mrxs file and its folder again") from error

    return [Found(reader, (path, *members))]


def _tiff(path: Path) -> list[Found]:
    from .readers.directory import read_directory

    directory = read_directory(path)
    said = list(directory.conditions)
    if directory.planes > 1:
        said.append(
            f"{directory.planes} pages of equal size, not a pyramid (channels, focal planes or a document): "
            "the first is shown."
        )

    deep = f"Converted from {directory.bits} bits a channel to 8." if directory.bits > 8 else ""
    said += [deep] if deep else []
    if directory.grey:
        said.append("A greyscale image, not a colour slide: answers about stain and H&E do not apply.")

    def tiffslide() -> Reader:
        from .readers.tiff import TiffReader

        if directory.chain_broken:
            raise SlideDamaged("the file is cut short: a part of its image directory is missing; copy it again")
        if not directory.plain_colour:
            raise SlideRefused(_OTHER_TIFF)
        return TiffReader(path, directory)

    def raster() -> Reader:
        if directory.chain_broken:
            raise SlideDamaged("the file is cut short: a part of its image directory is missing; copy it again")
        try:
            return _raster(path)
        except (NotASlide, SlideDamaged) as error:
            raise SlideRefused(_OTHER_TIFF) from error

    def way(reader: Callable[[], Reader], conditions: tuple[str, ...]) -> Found:
        return Found(reader, (path,), conditions, directory.stated_mpp, directory.objective)

    both = [way(lambda: _openslide(path), tuple(said)), way(tiffslide, tuple(said))]
    if directory.sub_levels or directory.big_endian:
        both.reverse()
    if directory.bits > 8 and directory.grey:
        return [way(raster, ()), *both]  # OpenSlide keeps the upper byte: 12-bit data turn black
    return [*both, way(raster, (deep,) if deep else ())]


def _other(path: Path, head: bytes) -> list[Found]:
    from .readers.deepzoom import DeepZoomReader, looks_like_deep_zoom

    if looks_like_deep_zoom(head):
        members = (path, *DeepZoomReader(path).members())
        return [Found(lambda: DeepZoomReader(path), members)]
    if path.suffix.lower() in {".vms", ".vmu", ".svslide", ".czi", ".bif"}:
        return [Found(lambda: _openslide(path), (path,))]
    if _is_text(head):
        raise NotASlide("the content is text, not a slide or an image")
    return [Found(lambda: _raster(path), (path,))]


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t\f" for letter in text.removeprefix("\ufeff"))


def _openslide(path: Path) -> Reader:
    from .readers.openslide import OpenSlideReader

    return OpenSlideReader(path)


def _raster(path: Path) -> Reader:
    from .readers.raster import RasterReader

    return RasterReader(path)


_ENDINGS = {
    "JPEG image": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG image": {".png", ".apng"},
    "WEBP image": {".webp"},
    "BMP image": {".bmp"},
    "GIF image": {".gif"},
    "TIFF image": {".tif", ".tiff"},
}


def _name_says_otherwise(path: Path, source: Source) -> tuple[str, ...]:
    endings = _ENDINGS.get(source.kind)
    if endings is None or path.suffix.lower() in endings or not path.suffix:
        return ()
    ending = shown_name(path).rpartition(".")[2]
    return (f"The name ends in .{ending}, the content is a {source.kind}: the content counts.",)
