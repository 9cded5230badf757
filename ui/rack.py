"""The slides a desk was given: names at once, files opened when first looked at."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slides import PathcopilotError, Slide, UsageError, open_slide
from slides.folder import is_dicom_folder, slides_in
from slides.naming import shown_name

from .tiles import Pyramid

OPEN_AT_ONCE = 24
"""An open slide holds a decoder's cache (32 MiB in OpenSlide): the least recently used are let go."""

SMALLEST_MPP, LARGEST_MPP = 0.02, 50.0


@dataclass(eq=False)
class Shelf:
    """One slide of the rack; `name` is all of its path that is ever shown."""

    key: str
    name: str
    path: Path
    error: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Rack:
    """Slides by key, in the order given; thread-safe.

    Parameters
    ----------
    paths : slides or folders; a folder stands for the slides in it, a folder of DICOM files is one slide
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.shelves = tuple(
            Shelf(str(number), name, path) for number, (name, path) in enumerate(_named(expand(paths)))
        )
        self._by_key = {shelf.key: shelf for shelf in self.shelves}
        self._open: OrderedDict[str, tuple[Slide, Pyramid]] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    @property
    def names(self) -> dict[str, str]:
        """Shown name by key."""
        return {shelf.key: shelf.name for shelf in self.shelves}

    def slide(self, key: str) -> Slide:
        """The slide, opened if need be; raises `PathcopilotError` when it cannot be, `KeyError` for no such key."""
        return self._opened(key)[0]

    def pyramid(self, key: str) -> Pyramid:
        """The slide's tiles; raises as `slide`."""
        return self._opened(key)[1]

    @property
    def paths(self) -> list[Path]:
        """Every slide's file or folder, in order."""
        return [shelf.path for shelf in self.shelves]

    def warm(self) -> None:
        """Opens the first slide and makes its overview, so that the page finds both ready."""
        if self.shelves and not self.describe(self.shelves[0].key)["error"]:
            self.pyramid(self.shelves[0].key).tile(0, 0, 0)

    def state_mpp(self, key: str, mpp: float) -> None:
        """Reopens a slide with the µm/px that a user states; raises `UsageError` outside 0.02–50 µm/px."""
        if not (math.isfinite(mpp) and SMALLEST_MPP <= mpp <= LARGEST_MPP):
            raise UsageError(f"µm/px lies between {SMALLEST_MPP} and {LARGEST_MPP:g}; a 40× scan is about 0.25")
        shelf = self._by_key[key]
        with shelf.lock:
            _, pyramid = self._load(shelf)
            slide = open_slide(shelf.path, mpp=mpp)
            if slide.size != pyramid.slide.size:  # a scan with oblong pixels: its level 0 depends on the scale
                pyramid = Pyramid(slide)
            with self._lock:
                self._open[key] = (slide, pyramid)

    def describe(self, key: str) -> dict[str, Any]:
        """What the page may know about a slide, or why it does not open."""
        shelf = self._by_key[key]
        try:
            slide = self.slide(key)
        except PathcopilotError as error:
            return {"key": key, "name": shelf.name, "error": str(error)}
        pyramid = self.pyramid(key)
        return slide.as_json() | {
            "key": key,
            "name": shelf.name,
            "error": None,
            "max_level": pyramid.top,
            "tile": pyramid.tile_px,
            "overlap": pyramid.overlap_px,
        }

    def _opened(self, key: str) -> tuple[Slide, Pyramid]:
        shelf = self._by_key[key]
        with shelf.lock:
            return self._load(shelf)

    def _load(self, shelf: Shelf) -> tuple[Slide, Pyramid]:
        with self._lock:
            if shelf.key in self._open:
                self._open.move_to_end(shelf.key)
                return self._open[shelf.key]
        try:
            slide = open_slide(shelf.path)
        except PathcopilotError as error:
            shelf.error = str(error)
            raise
        shelf.error = None
        opened = (slide, Pyramid(slide))
        with self._lock:
            self._open[shelf.key] = opened
            while len(self._open) > OPEN_AT_ONCE:
                self._open.popitem(last=False)  # readers that still use it keep it alive
        return opened


def expand(paths: Iterable[Path]) -> list[Path]:
    """Folders replaced by the slides in them, names in order; other paths as they are."""
    found: list[Path] = []
    for path in paths:
        try:
            found += slides_in(path) if path.is_dir() and not is_dicom_folder(path) else [path]
        except OSError:  # opening it will say why
            found.append(path)
    return found


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each path with a name that no other has; folders above it are never shown."""
    seen: dict[str, int] = {}
    named = []
    for path in paths:
        name = shown_name(path)
        count = seen[name] = seen.get(name, 0) + 1
        named.append((name if count == 1 else f"{name} ({count})", path))
    return named
