"""Deep-zoom tiles of a slide's scanned area, made from `Slide.read_size` alone.

The pyramid is the usual one of powers of two (level 0 is one pixel, the top level is the scan itself); it covers
`slide.bounds`, so that a canvas which is mostly empty does not shrink the tissue to a dot.
"""

from __future__ import annotations

import io
import math
import threading

import numpy as np
from PIL import Image, ImageDraw

from slides import Region, RegionTooLarge, Size, Slide, SlideError

TILE_PX = 254
OVERLAP_PX = 1
OVERVIEW_PX = 2048
"""Coarse levels are cut from one reading of this size: without a stored pyramid each would decode the whole scan."""
JPEG_QUALITY = 90


class Pyramid:
    """Tiles of one slide; safe to use from several threads where the slide is.

    Attributes
    ----------
    top : the level at full resolution
    tile_px, overlap_px : side of a tile without its overlap, and the overlap at each inner edge
    """

    tile_px = TILE_PX
    overlap_px = OVERLAP_PX

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self.bounds = slide.bounds
        self.top = max(self.bounds.width, self.bounds.height, 1)
        self.top = math.ceil(math.log2(self.top))
        self._coarse = max(level for level in range(self.top + 1) if max(self.size(level)) <= OVERVIEW_PX)
        self._overview: Image.Image | None = None
        self._overview_failed = False
        self._lock = threading.Lock()

    def size(self, level: int) -> Size:
        """Pixels of a level."""
        scale = 2 ** (self.top - level)
        return Size(math.ceil(self.bounds.width / scale), math.ceil(self.bounds.height / scale))

    def tile(self, level: int, col: int, row: int) -> Image.Image:
        """One tile, hatched where it cannot be decoded, never white; raises `IndexError` outside the pyramid."""
        left, upper, right, lower = self._edges(level, col, row)
        if level <= self._coarse and (overview := self._whole()) is not None:
            size = self.size(level)
            sheet = overview if overview.size == size else overview.resize(size, Image.Resampling.BOX)
            return sheet.crop((left, upper, right, lower))
        scale = 2 ** (self.top - level)
        region = Region(left * scale, upper * scale, (right - left) * scale, (lower - upper) * scale)
        return self._read(self._on_slide(region), Size(right - left, lower - upper))

    def picture(self, region: Region, size: Size) -> Image.Image:
        """A region of the slide (level-0 pixels) at `size`; hatched where it cannot be decoded."""
        downsample = region.width / size.width
        overview = self._whole() if downsample >= 2 ** (self.top - self._coarse) else None
        if overview is None:
            return self._read(region, size)
        return self._cut(overview, region, size)

    def _edges(self, level: int, col: int, row: int) -> tuple[int, int, int, int]:
        if not 0 <= level <= self.top:
            raise IndexError(level)
        size = self.size(level)
        left, upper = col * TILE_PX, row * TILE_PX
        if not (0 <= left < size.width and 0 <= upper < size.height):
            raise IndexError((col, row))
        right = min(left + TILE_PX + OVERLAP_PX, size.width)
        lower = min(upper + TILE_PX + OVERLAP_PX, size.height)
        return max(0, left - OVERLAP_PX), max(0, upper - OVERLAP_PX), right, lower

    def _on_slide(self, region: Region) -> Region:
        """A region of the scanned area in the slide's own coordinates, cut at its edge."""
        moved = Region(region.x + self.bounds.x, region.y + self.bounds.y, region.width, region.height)
        return moved.intersect(self.bounds) or self.bounds

    def _read(self, region: Region, size: Size) -> Image.Image:
        try:
            return Image.fromarray(np.ascontiguousarray(self.slide.read_size(region, size)))
        except RegionTooLarge:  # a scan without overview levels: its coarse sample, as its conditions say
            overview = self._whole()
            return unreadable(size) if overview is None else self._cut(overview, region, size)
        except SlideError:
            return unreadable(size)

    def _cut(self, overview: Image.Image, region: Region, size: Size) -> Image.Image:
        """A region out of the overview."""
        scale = self.bounds.width / overview.width
        x, y = (region.x - self.bounds.x) / scale, (region.y - self.bounds.y) / scale
        box = (
            max(0.0, x),
            max(0.0, y),
            min(float(overview.width), x + region.width / scale),
            min(float(overview.height), y + region.height / scale),
        )
        return overview.resize(size, Image.Resampling.BICUBIC, box=box)

    def _whole(self) -> Image.Image | None:
        """The scanned area at the coarse level, read once; None when part of it cannot be decoded."""
        with self._lock:
            if self._overview is None and not self._overview_failed:
                size = self.size(self._coarse)
                try:
                    pixels = self.slide.read_size(self.bounds, size)
                    self._overview = Image.fromarray(np.ascontiguousarray(pixels))
                except RegionTooLarge:
                    sample = Image.fromarray(np.ascontiguousarray(self.slide.thumbnail(OVERVIEW_PX)))
                    self._overview = sample.resize(size, Image.Resampling.BICUBIC)
                except SlideError:
                    self._overview_failed = True  # then tile by tile: what can be seen is seen
            return self._overview


def unreadable(size: Size) -> Image.Image:
    """A grey hatched picture for a part that cannot be decoded: white would read as glass."""
    image = Image.new("RGB", size, (150, 152, 156))
    draw = ImageDraw.Draw(image)
    for start in range(-size.height, size.width, 16):
        draw.line((start, size.height, start + size.height, 0), fill=(112, 114, 118), width=3)
    if size.width >= 96 and size.height >= 24:
        draw.rectangle((6, 6, 84, 22), fill=(60, 62, 66))
        draw.text((12, 8), "unreadable", fill=(255, 255, 255))
    return image


def encoded(image: Image.Image) -> bytes:
    """JPEG without chroma subsampling: nuclear edges keep their colour."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
