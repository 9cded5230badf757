"""Aperio, Hamamatsu, Leica, MIRAX, Philips, Ventana, Trestle and tiled TIFF through OpenSlide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide

from ..geometry import Region, Size
from ..slide import Pixels
from .source import Source, on_white


class OpenSlideReader:
    """One OpenSlide handle. After one failed read OpenSlide fails every later one: throw the reader away."""

    def __init__(self, path: Path) -> None:
        self._handle = openslide.OpenSlide(path)
        properties = self._handle.properties
        self.source = Source(
            kind=properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown"),
            level_sizes=tuple(Size(*size) for size in self._handle.level_dimensions),
            stated_mpp=_pair(
                _number(properties.get(openslide.PROPERTY_NAME_MPP_X)),
                _number(properties.get(openslide.PROPERTY_NAME_MPP_Y)),
            ),
            objective=_number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)),
            bounds=_bounds(properties),
        )

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """RGB pixels of a window in the level's own pixels."""
        downsample = self._handle.level_downsamples[level]
        corner = (round(x * downsample), round(y * downsample))
        return on_white(np.asarray(self._handle.read_region(corner, level, (width, height))))

    def close(self) -> None:
        """Frees the handle."""
        self._handle.close()


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _pair(x: float | None, y: float | None) -> tuple[float, float] | None:
    if x is None and y is None:
        return None
    return (x if x is not None else y or 0.0, y if y is not None else x or 0.0)


def _bounds(properties: object) -> Region | None:
    get = properties.get  # type: ignore[attr-defined]
    values = [
        _number(get(name))
        for name in (
            openslide.PROPERTY_NAME_BOUNDS_X,
            openslide.PROPERTY_NAME_BOUNDS_Y,
            openslide.PROPERTY_NAME_BOUNDS_WIDTH,
            openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
        )
    ]
    x, y, width, height = (int(value) if value is not None else -1 for value in values)
    return Region(x, y, width, height) if min(x, y) >= 0 and min(width, height) > 0 else None
