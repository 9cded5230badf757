"""What a TIFF's directories say before any pixel is decoded: sizes, layout, scale, and whether the file is whole."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from ..errors import NotASlide, SlideDamaged, SlideRefused
from ..geometry import Region, Size
from .markup import ome_scale

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what a damaged header holds; we say it once

LONGEST_SIDE = 2_000_000
LARGEST_CHUNK = 64 * 2**20
"""Pixels of one tile or strip that is decoded whole; scanners write 256² to 4096² px."""

_MOST_PAGES = 4096

_COLOURS_WE_LEAVE = {"RGB", "YCBCR", "MINISBLACK"}
"""Photometric kinds that tiffslide hands over as RGB or grey; palettes, CMYK and inverted grey go to Pillow."""


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """Facts of a TIFF file's first image and its levels."""

    size: Size
    big_endian: bool
    sub_levels: bool
    """True where reduced levels lie in SubIFDs, which OpenSlide does not look into."""
    plain_colour: bool
    """True for 8-bit grey, RGB or RGBA that tiffslide decodes as such."""
    grey: bool
    bits: int
    """Bits of one sample."""
    chain_broken: bool
    """True where a further directory should lie past the end of the file: the file is cut short."""
    planes: int
    """Pages of the first page's size that are no part of a pyramid: channels, focal planes or a document."""
    stated_mpp: tuple[float, float] | None
    objective: float | None
    empty_tiles: tuple[tuple[Region, ...], ...]
    """For each level of the first series, tiles that the file leaves out, in that level's pixels."""
    conditions: tuple[str, ...]


def read_directory(path: Path) -> TiffDirectory:
    """The directory of a TIFF.

    Raises `NotASlide` when it holds no image, `SlideDamaged` when pixel data lie past the end of the file,
    `SlideRefused` when the claimed size is not believable.
    """
    file_bytes = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as tiff:
            if not len(tiff.pages):
                raise _no_directory(path, file_bytes)
            page: Any = tiff.pages[0].aspage()
            _believe(page)
            levels = _levels(tiff)
            _whole(tiff, levels, file_bytes)
            return _facts(tiff, page, levels)
    except (NotASlide, SlideDamaged, SlideRefused):
        raise
    except Exception as error:  # tifffile raises whatever a malformed directory provokes
        raise SlideDamaged("the TIFF directory is damaged: export or copy the file again") from error


def _no_directory(path: Path, file_bytes: int) -> NotASlide | SlideDamaged:
    with path.open("rb") as file:
        head = file.read(16)
    order = "little" if head[:2] == b"II" else "big"
    big_tiff = int.from_bytes(head[2:4], order) == 43  # type: ignore[arg-type]
    at = int.from_bytes(head[8:16] if big_tiff else head[4:8], order)  # type: ignore[arg-type]
    if at >= file_bytes > 16:
        return SlideDamaged(
            f"the file is cut short: its image directory should lie at byte {at}, "
            f"it ends at {file_bytes}; copy it again"
        )
    return NotASlide("the TIFF holds no image")


def _levels(tiff: Any) -> list[Any]:
    try:
        return [level.keyframe for level in tiff.series[0].levels]
    except Exception:  # a series tifffile cannot interpret still has a first page
        return [tiff.pages[0].aspage()]


def _believe(page: Any) -> None:
    width, height = page.imagewidth, page.imagelength
    chunk = (page.tilewidth or width) * (page.tilelength or page.rowsperstrip or height)
    if width <= 0 or height <= 0:
        raise NotASlide("the TIFF holds no image")
    if max(width, height) > LONGEST_SIDE:
        raise SlideRefused(f"the claimed size {width}x{height} is not believable")
    if page.is_tiled and chunk > LARGEST_CHUNK:
        raise SlideRefused(
            f"the claimed tile size {page.tilewidth}x{page.tilelength} is not believable (image {width}x{height})"
        )


def _whole(tiff: Any, levels: list[Any], file_bytes: int) -> None:
    for page in levels:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if count and offset + count > file_bytes:
                raise SlideDamaged(
                    f"the file is cut short: pixel data are missing past byte {file_bytes}; copy it again"
                )


def _facts(tiff: Any, page: Any, levels: list[Any]) -> TiffDirectory:
    size = Size(page.imagewidth, page.imagelength)
    conditions: list[str] = []
    mpp, objective = None, None
    if tiff.is_ome and tiff.ome_metadata:
        mpp, objective = ome_scale(tiff.ome_metadata.encode("utf-8"))
    elif tiff.is_imagej:
        mpp = _imagej_scale(tiff, page)
    planes = _planes(tiff, size)
    empty = tuple(_empty_tiles(level) for level in levels)
    if missing := len(empty[0]):
        conditions.append(
            f"{missing} of {len(levels[0].dataoffsets)} tiles are not stored in the file, "
            "as scanners do for empty glass: they are shown white."
        )
    samples_ok = page.samplesperpixel in (1, 3, 4) and page.bitspersample == 8
    colour = page.photometric.name if page.photometric is not None else ""
    # tifffile converts YCbCr only inside JPEG streams
    converted = colour != "YCBCR" or page.compression.name in {"JPEG", "APERIO_JP2000_YCBC"}
    return TiffDirectory(
        size=size,
        big_endian=tiff.byteorder == ">",
        sub_levels=bool(page.subifds) and len(levels) > 1,
        plain_colour=samples_ok and colour in _COLOURS_WE_LEAVE and converted,
        grey=page.samplesperpixel == 1 and colour in {"MINISBLACK", "MINISWHITE"},
        bits=page.bitspersample,
        chain_broken=_chain_broken(tiff),
        planes=planes,
        stated_mpp=mpp,
        objective=objective,
        empty_tiles=empty,
        conditions=tuple(conditions),
    )


def _chain_broken(tiff: Any) -> bool:
    """True when the last directory that could be read points to another one."""
    form = tiff.tiff
    tiff.filehandle.seek(tiff.pages.next_page_offset)
    pointer = tiff.filehandle.read(form.offsetsize)
    return len(pointer) == form.offsetsize and bool(struct.unpack(form.offsetformat, pointer)[0])


def _planes(tiff: Any, size: Size) -> int:
    if tiff.is_svs or tiff.is_ndpi or tiff.is_scn or tiff.is_philips or tiff.is_bif:
        return 1  # further pages are levels and associated images
    return sum(
        (page.imagewidth, page.imagelength) == size and not int(page.subfiletype or 0) & 1
        for page in (page.keyframe for page in tiff.pages[:_MOST_PAGES])
    )


def _imagej_scale(tiff: Any, page: Any) -> tuple[float, float] | None:
    unit = str((tiff.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ").strip().lower()
    if unit not in {"micron", "microns", "um", "µm", "μm"}:
        return None
    values = []
    for tag in ("XResolution", "YResolution"):
        if tag not in page.tags:
            return None
        above, below = page.tags[tag].value
        values.append(below / above if above else 0.0)
    return values[0], values[1]


def _empty_tiles(page: Any) -> tuple[Region, ...]:
    if not page.is_tiled:
        return ()
    across = -(-page.imagewidth // page.tilewidth)
    down = -(-page.imagelength // page.tilelength)
    return tuple(
        Region(index % across * page.tilewidth, index // across * page.tilelength, page.tilewidth, page.tilelength)
        for index, count in enumerate(page.databytecounts[: across * down])
        if not count
    )
