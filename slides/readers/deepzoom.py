"""Deep Zoom: an XML descriptor and a folder of tiles, level n of 2^n px on its longer side."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import NotASlide, SlideDamaged, SlideRefused
from ..geometry import Size
from ..slide import Pixels
from .markup import UnsafeMarkup, elements
from .source import Source, on_white

_LONGEST_DESCRIPTOR = 64 * 1024
_LARGEST_TILE = 8192
_LONGEST_SIDE = 2_000_000

_TILE_FORMATS = {"jpg": ("JPEG",), "jpeg": ("JPEG",), "png": ("PNG",), "webp": ("WEBP",), "bmp": ("BMP",)}
"""The descriptor's format is a file ending: only these reach a path."""

_SMALLEST_LEVEL = 32
"""Levels below this many px on the longer side are of no use to anyone."""


class DeepZoomReader:
    """Tiles are opened when read; a tile that is missing raises, it is never white.

    Raises `NotASlide` for a descriptor that is not Deep Zoom, `SlideDamaged` when the tile folder is missing.
    """

    def __init__(self, path: Path) -> None:
        size, self._tile, self._overlap, self._ending = _descriptor(path)
        self._folder = path.with_name(f"{path.stem}_files")
        if not self._folder.is_dir():
            raise SlideDamaged(
                "the tile folder that belongs to this Deep Zoom file is missing: keep "
                "NAME.dzi and NAME_files side by side"
            )
        top = math.ceil(math.log2(max(size)))
        chosen = [
            (number, level)
            for number in range(top, -1, -1)
            if max(level := Size(-(-size.width // 2 ** (top - number)), -(-size.height // 2 ** (top - number))))
            >= _SMALLEST_LEVEL or number == top
        ]  # fmt: skip
        held = [(number, level, self._count(number)) for number, level in chosen]
        if not held[0][2]:
            raise SlideDamaged("the tile folder of this Deep Zoom file lacks its finest level: copy it again")
        whole = [(number, level) for number, level, count in held if count >= self._needed(level) or number == top]
        self._numbers = [number for number, _ in whole]
        self.source = Source(
            kind="Deep Zoom",
            level_sizes=tuple(level for _, level in whole),
            conditions=self._missing(held),
        )

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """RGB pixels of a window in the level's own pixels."""
        result = np.empty((height, width, 3), np.uint8)
        for row in range(y // self._tile, (y + height - 1) // self._tile + 1):
            for column in range(x // self._tile, (x + width - 1) // self._tile + 1):
                tile = self._read_tile(level, column, row)
                left, top = column * self._tile, row * self._tile
                x0, y0 = max(x, left), max(y, top)
                x1, y1 = min(x + width, left + tile.shape[1]), min(y + height, top + tile.shape[0])
                result[y0 - y : y1 - y, x0 - x : x1 - x] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        return result

    def close(self) -> None:
        """Nothing stays open between reads."""

    def members(self) -> list[Path]:
        """The tiles in sorted order, for the fingerprint."""
        return sorted(p for number in self._numbers for p in (self._folder / str(number)).iterdir() if p.is_file())

    def _read_tile(self, level: int, column: int, row: int) -> Pixels:
        size = self.source.level_sizes[level]
        width, height = (
            min(self._tile, size.width - column * self._tile),
            min(self._tile, size.height - row * self._tile),
        )
        before_x, before_y = self._overlap if column else 0, self._overlap if row else 0
        path = self._folder / str(self._numbers[level]) / f"{column}_{row}.{self._ending}"
        with Image.open(path, formats=_TILE_FORMATS[self._ending.lower()]) as image:
            after_x = min(self._overlap, size.width - column * self._tile - width)
            after_y = min(self._overlap, size.height - row * self._tile - height)
            if image.size != (before_x + width + after_x, before_y + height + after_y):
                raise ValueError("a tile has another size than the descriptor gives it")
            mode = "RGBA" if image.mode in {"RGBA", "LA", "PA", "P"} else "RGB"
            pixels = on_white(np.asarray(image.convert(mode)))
        return pixels[before_y : before_y + height, before_x : before_x + width]

    def _needed(self, size: Size) -> int:
        return -(-size.width // self._tile) * -(-size.height // self._tile)

    def _count(self, number: int) -> int:
        ending = f".{self._ending}"
        try:
            with os.scandir(self._folder / str(number)) as entries:
                return sum(1 for entry in entries if entry.name.endswith(ending))
        except OSError:
            return 0

    def _missing(self, held: list[tuple[int, Size, int]]) -> tuple[str, ...]:
        said = []
        _, level, count = held[0]
        if count < self._needed(level):
            lost = self._needed(level) - count
            said.append(f"{lost} of {self._needed(level)} tiles of the finest level are missing: unreadable there.")
        if lost := sum(1 for _, size, count in held[1:] if count < self._needed(size)):
            said.append(f"{lost} coarser levels lack tiles and are not used.")
        return tuple(said)


def looks_like_deep_zoom(head: bytes) -> bool:
    """True for the first bytes of a Deep Zoom descriptor."""
    return b"<Image" in head and b"schemas.microsoft.com/deepzoom" in head


def _descriptor(path: Path) -> tuple[Size, int, int, str]:
    text = path.read_bytes()
    if len(text) > _LONGEST_DESCRIPTOR:
        raise NotASlide("the content is no Deep Zoom descriptor")
    try:
        found = dict(reversed(list(elements(text))))
        image, size = found["Image"], found["Size"]
        tile, overlap, ending = int(image["TileSize"]), int(image["Overlap"]), image["Format"]
        width, height = int(size["Width"]), int(size["Height"])
    except (UnsafeMarkup, KeyError, ValueError) as error:
        raise NotASlide("the content is no readable Deep Zoom descriptor") from error
    if ending.lower() not in _TILE_FORMATS:
        raise NotASlide("the Deep Zoom descriptor names a tile format other than jpeg, png, webp or bmp")
    if not (1 <= width <= _LONGEST_SIDE and 1 <= height <= _LONGEST_SIDE):
        raise SlideRefused("the size the Deep Zoom descriptor claims is not believable")
    if not (16 <= tile <= _LARGEST_TILE and 0 <= overlap <= tile // 2):
        raise SlideRefused("the tile size or overlap the Deep Zoom descriptor claims is not believable")
    return Size(width, height), tile, overlap, ending
