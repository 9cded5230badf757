"""A slide over a reader: level choice, resampling, limits, and a way back after a failed read."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from threading import Lock

import numpy as np
from PIL import Image

from .errors import RegionTooLarge, RegionUnreadable, ScaleUnknown, SlideError, UsageError
from .geometry import Region, Size
from .readers.source import Reader
from .resample import Axis, resample, source_pixels
from .scale import Scale
from .slide import Level, Pixels, Slide

MOST_PIXELS = 64 * 2**20
"""Cap of one read, on stored pixels decoded and on pixels returned: about two seconds of JPEG, 192 MiB."""

_SAMPLES = 32
"""Points along the longer side of the overview of a slide that has no small level."""

_SAMPLE_SIDE = 32

_PATCHES = 16
"""Cells along each side into which an overview with damaged tiles is cut."""

_UNREADABLE_GREY = 128

_LEVEL_TOLERANCE = 1.01
"""A level up to 1 % coarser than asked counts as fine enough: 2.001 serves 2."""


class PyramidSlide(Slide):
    """An open slide; reads may come from many threads at once.

    `open_reader` opens the file anew: OpenSlide's handle is of no use after one failed read.
    """

    def __init__(
        self,
        *,
        name: str,
        open_reader: Callable[[], Reader],
        scale: Scale,
        fingerprint: str,
        reader: Reader,
        conditions: tuple[str, ...] = (),
    ) -> None:
        source = reader.source
        self.name = name
        self.fingerprint = fingerprint
        self.mpp, self.mpp_source = scale.mpp, scale.source
        self.objective = source.objective
        self.vendor = source.kind
        first = source.level_sizes[0]
        self.size = Size(round(first.width * scale.stretch[0]), round(first.height * scale.stretch[1]))
        self._stored = source.level_sizes
        self.levels = tuple(self._level(stored, scale) for stored in self._stored)
        self.bounds = self._bounds(source.bounds, scale)
        self._in_memory = source.in_memory
        self._has_overview = self._in_memory or self._window_pixels(len(self._stored) - 1, self.bounds) <= MOST_PIXELS
        said = [*source.conditions, *scale.conditions, *conditions]
        if not self._has_overview:
            said.append(
                "The file has no overview levels: overviews and the tissue map are a coarse sample of "
                f"{_SAMPLES} points along the longer side."
            )
        self.conditions = tuple(dict.fromkeys(said))
        self._open_reader = open_reader
        self._reader: Reader | None = reader
        self._lock = Lock()
        self._overview: Pixels | None = None

    def read(self, region: Region, *, mpp: float | None = None, downsample: float | None = None) -> Pixels:
        """RGB pixels (h, w, 3) uint8 of a region at a µm/px, a downsample, or level 0 when neither is given.

        Width and height are the region's divided by the downsample, rounded, at least 1. Finer than level 0
        is interpolated. Errors as `Slide.read`.
        """
        if mpp is not None:
            if downsample is not None:
                raise UsageError("give µm/px or a downsample, not both")
            if self.mpp is None:
                raise ScaleUnknown(f"{self.name} does not state µm/px: state it with --mpp, for instance --mpp 0.25")
            downsample = mpp / self.mpp
        downsample = 1.0 if downsample is None else downsample
        if not (math.isfinite(downsample) and downsample > 0):
            raise UsageError("µm/px and downsample must be positive numbers")
        size = Size(max(1, round(region.width / downsample)), max(1, round(region.height / downsample)))
        return self.read_size(region, size)

    def read_size(self, region: Region, size: Size | tuple[int, int]) -> Pixels:
        """RGB pixels of a region, resampled to exactly `size`; same errors as `read`."""
        width, height = size
        if width < 1 or height < 1:
            raise UsageError("an image needs a positive size")
        self._cap(width * height)
        level = self._level_for(region, Size(width, height))
        x, y = self._axes(level, region, Size(width, height))
        if not self._in_memory:
            self._cap(source_pixels(x, y))
        try:
            return resample(lambda *window: self._decode(level, *window), x, y)
        except RegionUnreadable:
            raise RegionUnreadable(
                f"the part of {self.name} at x {region.x} y {region.y}, {region.width}x{region.height} px, "
                "cannot be decoded; other parts may still be read"
            ) from None

    def thumbnail(self, max_px: int) -> Pixels:
        """The scanned area (`bounds`) with its longer side at most `max_px`, never enlarged.

        Parts that cannot be decoded are mid-grey: an overview must not fail for one damaged tile, nor pass the
        tile off as empty glass.
        """
        if max_px < 1:
            raise UsageError("a thumbnail needs a positive size")
        shrink = max(max(self.bounds.width, self.bounds.height) / max_px, 1.0)
        size = Size(max(1, int(self.bounds.width / shrink)), max(1, int(self.bounds.height / shrink)))
        if self._has_overview:
            try:
                return self.read_size(self.bounds, size)
            except RegionUnreadable:
                return self._patchwork(size)
        sample = Image.fromarray(self._sampled_overview())
        return np.asarray(sample.resize(size, Image.Resampling.BICUBIC))

    def close(self) -> None:
        """Frees the file; reading afterwards raises."""
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _level(self, stored: Size, scale: Scale) -> Level:
        size = Size(round(stored.width * scale.stretch[0]), round(stored.height * scale.stretch[1]))
        return Level(size, math.sqrt(self.size.width / size.width * self.size.height / size.height))

    def _bounds(self, stated: Region | None, scale: Scale) -> Region:
        if stated is None:
            return self.whole
        x, y = scale.stretch
        box = Region(
            int(stated.x * x), int(stated.y * y), max(1, round(stated.width * x)), max(1, round(stated.height * y))
        )
        return box.clamp(self.size) or self.whole

    def _factors(self, level: int) -> tuple[float, float]:
        stored = self._stored[level]
        return self.size.width / stored.width, self.size.height / stored.height

    def _window_pixels(self, level: int, region: Region) -> float:
        across, down = self._factors(level)
        return (region.width / across) * (region.height / down)

    def _level_for(self, region: Region, size: Size) -> int:
        wanted = min(region.width / size.width, region.height / size.height) * _LEVEL_TOLERANCE
        fine_enough = [level for level in range(len(self._stored)) if max(self._factors(level)) <= wanted]
        return max(fine_enough, key=lambda level: self.levels[level].downsample, default=0)

    def _axes(self, level: int, region: Region, size: Size) -> tuple[Axis, Axis]:
        across, down = self._factors(level)
        stored = self._stored[level]
        return (
            Axis(region.x / across, region.width / size.width / across, size.width, stored.width),
            Axis(region.y / down, region.height / size.height / down, size.height, stored.height),
        )

    def _cap(self, pixels: float) -> None:
        if pixels > MOST_PIXELS:
            raise RegionTooLarge(
                f"this read of {self.name} needs {pixels / 1e6:.0f} Mpx, more than the {MOST_PIXELS / 1e6:.0f} Mpx "
                "of one read: ask for a smaller region or a coarser scale"
            )

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        reader = self._reader
        if reader is None:
            raise UsageError(f"{self.name} is closed: open it again")
        try:
            return reader.read(level, x, y, width, height)
        except MemoryError:
            raise
        except Exception:  # readers raise whatever their library does; another thread may have spoilt the handle
            return self._decode_afresh(reader, level, x, y, width, height)

    def _decode_afresh(self, failed: Reader, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        try:
            fresh = self._open_reader()
            pixels = fresh.read(level, x, y, width, height)
        except Exception as error:
            self._replace(failed, None)
            raise RegionUnreadable(f"level {level} at {x},{y}") from error
        self._replace(failed, fresh)
        return pixels

    def _replace(self, failed: Reader, fresh: Reader | None) -> None:
        # the failed reader is not closed: another thread may be inside it; it closes when nobody holds it
        with self._lock:
            if self._reader is failed:
                try:
                    self._reader = fresh or self._open_reader()
                except Exception as error:
                    raise SlideError(f"{self.name} can no longer be opened: is the file still there?") from error

    def _patchwork(self, size: Size) -> Pixels:
        overview = np.full((size.height, size.width, 3), _UNREADABLE_GREY, np.uint8)
        columns = np.linspace(0, size.width, min(_PATCHES, size.width) + 1).round().astype(int)
        rows = np.linspace(0, size.height, min(_PATCHES, size.height) + 1).round().astype(int)
        across, down = self.bounds.width / size.width, self.bounds.height / size.height
        for top, bottom in itertools.pairwise(rows.tolist()):
            for left, right in itertools.pairwise(columns.tolist()):
                x0, x1 = self.bounds.x + round(left * across), self.bounds.x + round(right * across)
                y0, y1 = self.bounds.y + round(top * down), self.bounds.y + round(bottom * down)
                part = Region(x0, y0, max(1, x1 - x0), max(1, y1 - y0))
                with contextlib.suppress(RegionUnreadable):
                    overview[top:bottom, left:right] = self.read_size(part, (right - left, bottom - top))
        return overview

    def _sampled_overview(self) -> Pixels:
        with self._lock:
            if self._overview is not None:
                return self._overview
        level, box = len(self._stored) - 1, self.bounds
        step = max(box.width, box.height) / _SAMPLES
        columns, rows = max(1, round(box.width / step)), max(1, round(box.height / step))
        across, down = self._factors(level)
        stored = self._stored[level]
        overview = np.empty((rows, columns, 3), np.uint8)
        for row in range(rows):
            for column in range(columns):
                x = min(int((box.x + (column + 0.5) * step) / across), max(0, stored.width - _SAMPLE_SIDE))
                y = min(int((box.y + (row + 0.5) * step) / down), max(0, stored.height - _SAMPLE_SIDE))
                side = (min(_SAMPLE_SIDE, stored.width), min(_SAMPLE_SIDE, stored.height))
                try:
                    overview[row, column] = self._decode(level, x, y, *side).mean(axis=(0, 1)).round()
                except RegionUnreadable:
                    overview[row, column] = _UNREADABLE_GREY
        with self._lock:
            self._overview = overview
        return overview
