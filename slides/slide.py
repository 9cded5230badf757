"""A slide: sizes, scale and pixels, and nothing that names a patient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .geometry import Region, Size

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Level:
    """One stored resolution: its size in its own pixels and its downsample against level 0."""

    size: Size
    downsample: float


class Slide(ABC):
    """An open slide. Every place is in level-0 pixels; label and macro images have no accessor.

    Attributes
    ----------
    name : shown name (file or folder name), never a path
    size : level-0 size
    levels : stored resolutions, finest first
    bounds : the scanned area, for an overview; the whole slide where the file states none
    mpp : µm/px of level 0, None when neither the file nor the user states it
    mpp_source : `file`, `user`, or None
    objective : nominal magnification, None when not stated
    vendor : scanner family or file kind
    conditions : what a user must know about this file, one sentence each
    fingerprint : hex hash of content, the key for caches; holds nothing of the name
    """

    name: str
    size: Size
    levels: tuple[Level, ...]
    bounds: Region
    mpp: float | None
    mpp_source: str | None
    objective: float | None
    vendor: str | None
    conditions: tuple[str, ...]
    fingerprint: str

    @abstractmethod
    def read(self, region: Region, *, mpp: float | None = None, downsample: float | None = None) -> Pixels:
        """RGB pixels (h, w, 3) uint8 of a region at a µm/px, a downsample, or level 0 when neither is given.

        Reads the nearest finer level, then resamples with antialiasing. Outside the slide is white.
        Raises `ScaleUnknown` when `mpp` is asked and the slide has none, `RegionTooLarge` above the
        pixel cap, `RegionUnreadable` when that part cannot be decoded.
        """

    @abstractmethod
    def read_size(self, region: Region, size: Size | tuple[int, int]) -> Pixels:
        """RGB pixels of a region, resampled to exactly `size`; same errors as `read`."""

    @abstractmethod
    def thumbnail(self, max_px: int) -> Pixels:
        """The scanned area (`bounds`) with its longer side at most `max_px`."""

    @abstractmethod
    def close(self) -> None:
        """Frees the file; reading afterwards raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def whole(self) -> Region:
        """The whole slide as a region."""
        return Region(0, 0, self.size.width, self.size.height)

    def as_json(self) -> dict[str, Any]:
        """What may be told about a slide: the property allow-list."""
        return {
            "name": self.name,
            "size": list(self.size),
            "levels": [{"size": list(level.size), "downsample": round(level.downsample, 4)} for level in self.levels],
            "bounds": list(self.bounds.xywh),
            "mpp": self.mpp,
            "mpp_source": self.mpp_source,
            "objective": self.objective,
            "vendor": self.vendor,
            "conditions": list(self.conditions),
        }
