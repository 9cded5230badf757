"""The JPEG tiles of a TIFF slide, each decoded from its own bytes: OpenSlide's pixels at several times its rate.

OpenSlide composes every region on a canvas with transparency, which costs more than the decoding. A grid that lies
on the tiles of the file needs no canvas. The JPEG standard does not say which colour space the samples are in: TIFF
does (its tag 262), so each stream is given the Adobe marker that says the same before it is decoded (ISO/IEC
10918-6, 6.5.3); without it, Aperio's RGB is taken for YCbCr.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import Size
from .readers.source import on_white
from .slide import Pixels

_PROBES = 3
"""Tiles of each level compared with OpenSlide before any is believed."""

_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
"""Marker APP14 of 14 bytes but for its last, the transform: 0 for RGB, 1 for YCbCr."""

SHRINKS = (1, 2, 4, 8)
"""What a JPEG can be shrunk by as it is decoded, at no loss of speed: whole parts of its 8 x 8 transform."""


@dataclass(frozen=True, slots=True)
class JpegLevel:
    """One level: its size, its tiles' size, where each tile lies in the file (row by row), and what it lacks to be
    a whole JPEG (`head`, in place of the start marker)."""

    size: Size
    tile: Size
    offsets: NDArray[np.uint64]
    counts: NDArray[np.uint64]
    head: bytes

    @property
    def columns(self) -> int:
        """Tiles in a row; the last may hang over the edge."""
        return -(-self.size.width // self.tile.width)


class JpegTiles:
    """The open file of a slide whose levels are stored in JPEG tiles; reads may come from many threads at once.

    `levels` are OpenSlide's, finest first, None where a level is stored in another way. Made by `jpeg_tiles`.
    """

    def __init__(self, path: Path, levels: Sequence[JpegLevel | None]) -> None:
        self.levels = tuple(levels)
        self._file = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        """Frees the file; reading afterwards raises."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def tile(self, level: int, column: int, row: int, shrink: int = 1) -> Pixels:
        """RGB (h, w, 3) uint8 of one stored tile, each side divided by `shrink` (of `SHRINKS`, a part of both sides).

        Raises `ValueError` where the file holds no such tile, or one that cannot be decoded without an error.
        """
        from simplejpeg import decode_jpeg

        stored = self.levels[level]
        if stored is None or not 0 <= column < stored.columns:
            raise ValueError("no such tile")
        number = row * stored.columns + column
        if not 0 <= number < len(stored.counts) or not stored.counts[number]:
            raise ValueError("the file does not hold this tile")
        data = os.pread(self._file, int(stored.counts[number]), int(stored.offsets[number]))
        size = Size(stored.tile.width // shrink, stored.tile.height // shrink)
        pixels: Pixels = decode_jpeg(stored.head + data[2:], min_height=size.height, min_width=size.width)
        if pixels.shape != (size.height, size.width, 3):
            raise ValueError("the tile has another size than the file says")
        return pixels

    def window(self, level: int, x: int, y: int, side: int, shrink: int, kept: dict[tuple[int, int], Pixels]) -> Pixels:
        """RGB (side / shrink, side / shrink, 3) of a square inside the level, in the level's pixels; `shrink` divides
        its corner and side. `kept` holds the tiles decoded so far, so that neighbours decode each once. As `tile`."""
        stored = self.levels[level]
        if stored is None:
            raise ValueError("no such level")
        width, height = stored.tile
        out = np.empty((side // shrink, side // shrink, 3), np.uint8)
        for row in range(y // height, (y + side - 1) // height + 1):
            for column in range(x // width, (x + side - 1) // width + 1):
                if (column, row) not in kept:
                    kept[column, row] = self.tile(level, column, row, shrink)
                pixels = kept[column, row]
                left, top = max(x, column * width), max(y, row * height)
                right, bottom = min(x + side, (column + 1) * width), min(y + side, (row + 1) * height)
                part = pixels[
                    (top - row * height) // shrink : (bottom - row * height) // shrink,
                    (left - column * width) // shrink : (right - column * width) // shrink,
                ]
                if part.shape[:2] == out.shape[:2]:
                    return part
                out[(top - y) // shrink : (bottom - y) // shrink, (left - x) // shrink : (right - x) // shrink] = part
        return out


def jpeg_tiles(path: Path) -> JpegTiles | None:
    """The JPEG tiles of a slide, or None where it has none, or where they are not OpenSlide's pixels in the same place.

    The last is tried on tiles of each level rather than concluded from the format: scanners that place tiles with
    gaps or overlaps look the same in the directory.
    """
    import openslide

    if not path.is_file():
        return None
    try:
        with openslide.OpenSlide(path) as peer:
            stored = _stored_levels(path)
            levels = [stored.get(Size(*size)) for size in peer.level_dimensions]
            if not any(levels):
                return None
            tiles = JpegTiles(path, levels)
            try:
                tiles.levels = tuple(
                    level if level is not None and _same(tiles, peer, number) else None
                    for number, level in enumerate(levels)
                )
            except BaseException:
                tiles.close()
                raise
    except Exception:  # OpenSlide and tifffile raise whatever a file provokes; the ordinary way says what is wrong
        return None
    if any(tiles.levels):
        return tiles
    tiles.close()
    return None


def _stored_levels(path: Path) -> dict[Size, JpegLevel]:
    import tifffile

    found: dict[Size, JpegLevel] = {}
    twice: set[Size] = set()
    with tifffile.TiffFile(path) as tiff:
        for page in tiff.pages:
            level = _jpeg_level(page.aspage())
            if level is not None:
                twice |= {level.size} & found.keys()
                found[level.size] = level
    return {size: level for size, level in found.items() if size not in twice}  # focal planes: not ours to choose


def _jpeg_level(page: Any) -> JpegLevel | None:
    """The level of a page that is stored in JPEG tiles of three 8-bit channels, else None."""
    transform = {"RGB": 0, "YCBCR": 1}.get(page.photometric.name if page.photometric is not None else "")
    usual = page.samplesperpixel == 3 and page.bitspersample == 8 and page.planarconfig == 1
    if not (page.is_tiled and page.compression == 7 and usual and transform is not None):
        return None
    tables = bytes(page.jpegtables or b"")
    size = Size(page.imagewidth, page.imagelength)
    return JpegLevel(
        size=size,
        tile=Size(page.tilewidth, page.tilelength),
        offsets=np.array(page.dataoffsets, np.uint64),
        counts=np.array(page.databytecounts, np.uint64),
        head=b"\xff\xd8" + tables[2:-2] + _ADOBE + bytes([transform]),
    )


def _same(tiles: JpegTiles, peer: Any, number: int) -> bool:
    """Whether the fullest tile of a level and some others are what OpenSlide shows there."""
    level = tiles.levels[number]
    assert level is not None
    whole = Size(level.size.width // level.tile.width, level.size.height // level.tile.height)
    if not whole.width or not whole.height:
        return False
    inside = np.arange(len(level.counts))
    inside = inside[(inside % level.columns < whole.width) & (inside // level.columns < whole.height)]
    fullest = inside[np.argsort(level.counts[inside], kind="stable")]
    for place in np.linspace(len(fullest) - 1, len(fullest) // 2, min(_PROBES, len(fullest))).astype(int):
        row, column = divmod(int(fullest[place]), level.columns)
        downsample = peer.level_downsamples[number]
        # the least level-0 place that OpenSlide maps to this pixel of the level
        corner = (math.ceil(column * level.tile.width * downsample), math.ceil(row * level.tile.height * downsample))
        theirs = on_white(np.asarray(peer.read_region(corner, number, level.tile)))
        if not np.array_equal(tiles.tile(number, column, row), theirs):
            return False
    return True
