"""Tiles from a folder of slides: tissue at one µm/px, sharp, each picture once, so many a slide at most.

First each slide is opened and its tissue laid out in a grid, so that the room for all tiles is known before one
is read. A slide that cannot be used is named with the reason, and the others go on.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slides import Region, Size, Slide, SlideError, UsageError, open_slide
from slides.background import Background, optical_density
from slides.folder import is_dicom_folder, slides_in
from slides.grid import tile_grid
from slides.naming import shown_name
from slides.quality import BLURRED, COARSEST_FOCUS_MPP, FOCUS_MPP, sharpness
from slides.tissue import background_of, tissue_mask

from ..duplicates import LEAST_CONTRAST, Thumbnails, near_identical, thumbnail
from ..features import Progress
from .pool import Integers, Pixels
from .recipe import Recipe

IN_MEMORY = 2 * 2**30
"""Bytes of tiles that are held in memory; more lie in a mapped file."""
COARSER = 1.33
"""A slide whose own px are larger than this many of a tile's would give tiles of nothing but interpolation."""
LEAST_TISSUE, LEAST_DENSITY = 0.25, 0.06
"""Share of a tile's px that absorb more than glass and noise do."""
COMPARED = 40_000
"""Tiles of which each is compared with each, in a minute or two; of more, each with those of its own slide."""
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SlideCut:
    """How one slide is to be cut.

    `name` as it may be shown; `fingerprint` of its content; `mpp` µm/px of a tile, None where the slide states
    none; `background` tells tissue from glass; `places` in the order in which they are tried, level 0; `most`
    tiles that are kept.
    """

    path: Path
    name: str
    fingerprint: str
    mpp: float | None
    background: Background
    places: tuple[Region, ...]
    most: int


@dataclass(frozen=True, slots=True)
class SlideTiles:
    """What was cut: `slide` (n,) the number of each tile's slide in order; counts of what was left out."""

    slide: Integers
    slides: int
    blank: int
    blurred: int
    unreadable: int
    repeated: int
    sha256: str

    def __len__(self) -> int:
        return len(self.slide)

    def __str__(self) -> str:
        left_out = f"{self.blank} blank, {self.blurred} blurred, {self.repeated} repeated, {self.unreadable} unreadable"
        return f"{len(self)} tiles of {self.slides} slides (left out: {left_out})"


def plan_cuts(folders: Sequence[Path], recipe: Recipe, report: Report, progress: Progress) -> list[SlideCut]:
    """The slides of folders with the places of their tissue; what cannot be used is reported by its name.

    Raises
    ------
    UsageError : a folder cannot be read, or no slide in any has tissue to cut
    """
    paths = [path for folder in folders for path in _slides_of(folder)]
    cuts: list[SlideCut] = []
    for number, path in enumerate(paths):
        progress("finding tissue", number, len(paths))
        name = shown_name(path)
        try:
            with open_slide(path) as slide:
                cut = _cut(path, slide, recipe)
        except SlideError as error:
            report(f"left out: {error}\n")
            continue
        known = next((other.name for other in cuts if other.fingerprint == cut.fingerprint), None)
        if known is not None:
            report(f"left out: {name}: has the same content as {known}\n")
        elif not cut.places:
            report(f"left out: {name}: not one tile of tissue was found on it\n")
        else:
            cuts.append(cut)
    if not cuts:
        raise UsageError("no slide of --slides can be cut: give a folder of slides with tissue")
    return cuts


def room_for(count: int, side: int, folder: Path) -> Pixels:
    """uint8 (count, side, side, 3), in memory up to `IN_MEMORY` bytes, else in a mapped file without a name.

    The file's room is taken at once and goes back when the process ends, however it ends.

    Raises
    ------
    UsageError : the disk has no room for it
    """
    shape = (count, side, side, 3)
    size = count * side * side * 3
    if size <= IN_MEMORY:
        return np.empty(shape, dtype=np.uint8)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk would otherwise end the process later on
            return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise UsageError(
            f"{size / 2**30:.1f} GiB of tiles do not fit beside --out ({error.strerror}): "
            "make room, or lower tiles_per_slide in the recipe"
        ) from error


def cut_tiles(
    cuts: Sequence[SlideCut], pixels: Pixels, seen: Thumbnails, report: Report, progress: Progress
) -> SlideTiles:
    """Fills `pixels` (sum of `most`, s, s, 3) from its start, and says what was kept.

    `seen` (k, 32, 32) are thumbnails of tiles that must not come again: held-out ones.
    """
    slide_of: list[int] = []
    thumbnails: list[NDArray[np.float32]] = []
    counts = {"blank": 0, "blurred": 0, "unreadable": 0}
    for number, cut in enumerate(cuts):
        progress("cutting slides", number, len(cuts))
        kept = 0
        try:
            with open_slide(cut.path) as slide:
                for tile in _usable(slide, cut, pixels.shape[1], counts):
                    pixels[len(slide_of)] = tile
                    thumbnails.append(thumbnail(Image.fromarray(tile)))
                    slide_of.append(number)
                    kept += 1
                    if kept == cut.most:
                        break
        except SlideError as error:
            report(f"cut short after {kept} tiles: {error}\n")
    pictures = np.stack(thumbnails) if thumbnails else seen[:0]
    numbers = np.array(slide_of, dtype=np.int64)
    once = _once(pictures, numbers, seen)
    for place, position in enumerate(once):
        pixels[place] = pixels[position]
    digest = hashlib.sha256("\n".join(sorted(cut.fingerprint for cut in cuts)).encode()).hexdigest()
    return SlideTiles(
        numbers[once], len(set(numbers[once].tolist())), **counts, repeated=len(numbers) - len(once), sha256=digest
    )


def _slides_of(folder: Path) -> list[Path]:
    try:
        return slides_in(folder, deep=True) if folder.is_dir() and not is_dicom_folder(folder) else [folder]
    except OSError as error:
        raise UsageError(f"the folder {folder.name} cannot be read ({error.strerror})") from error


def _cut(path: Path, slide: Slide, recipe: Recipe) -> SlideCut:
    """Raises `SlideError` where the slide's scale does not allow it."""
    if slide.mpp is None and not recipe.slide_downsample:
        raise SlideError(f"{slide.name}: states no µm/px; slide_downsample in the recipe would take it all the same")
    if slide.mpp is not None and slide.mpp > COARSER * recipe.slide_mpp:
        raise SlideError(f"{slide.name}: {slide.mpp:.3g} µm/px is coarser than the {recipe.slide_mpp:g} asked for")
    downsample = recipe.slide_mpp / slide.mpp if slide.mpp else recipe.slide_downsample
    side = max(1, round(recipe.tile_px * downsample))
    places = [place for place in tile_grid(tissue_mask(slide), slide.bounds, side) if slide.bounds.contains(place)]
    order = np.random.default_rng([recipe.seed, int(slide.fingerprint[:8], 16)]).permutation(len(places))
    return SlideCut(
        path,
        slide.name,
        slide.fingerprint,
        None if slide.mpp is None else recipe.slide_mpp,
        background_of(slide),
        tuple(places[position] for position in order),
        min(recipe.tiles_per_slide, len(places)),
    )


def _usable(slide: Slide, cut: SlideCut, side: int, counts: dict[str, int]) -> Iterator[Pixels]:
    """Tiles that show tissue, in focus; the others are counted by what is wrong with them."""
    for place in cut.places:
        try:
            tile = slide.read_size(place, Size(side, side))
        except SlideError:
            counts["unreadable"] += 1
            continue
        if _is_blank(tile, cut.background):
            counts["blank"] += 1
        elif _is_blurred(tile, cut.mpp):
            counts["blurred"] += 1
        else:
            yield tile


def _is_blank(tile: Pixels, background: Background) -> bool:
    """Even, or mostly glass: the mask of a slide is coarse, and lumina and fat count as tissue in it."""
    absorbs = optical_density(tile, background.glass) > max(background.threshold, LEAST_DENSITY)
    even = thumbnail(Image.fromarray(tile)).std() < LEAST_CONTRAST
    return bool(even or absorbs.mean() < LEAST_TISSUE)


def _is_blurred(tile: Pixels, mpp: float | None) -> bool:
    """Judged at the µm/px of the limit; too coarse a tile cannot be judged, and stays."""
    if mpp is not None and mpp > COARSEST_FOCUS_MPP:
        return False
    if mpp is not None and mpp < FOCUS_MPP:
        side = max(48, round(len(tile) * mpp / FOCUS_MPP))
        tile = np.asarray(Image.fromarray(tile).resize((side, side), Image.Resampling.HAMMING))
    return sharpness(tile) < BLURRED


def _once(pictures: Thumbnails, slide: Integers, seen: Thumbnails) -> Integers:
    """Positions of tiles whose picture is neither among `seen` nor an earlier one's."""
    dropped = np.zeros(len(pictures), dtype=bool)
    whole: list[NDArray[np.int64]] = [np.arange(len(pictures))]
    parts = whole if len(pictures) <= COMPARED else [np.flatnonzero(slide == number) for number in np.unique(slide)]
    for part in parts:
        both = np.concatenate([seen, pictures[part]])
        own = np.array(["seen"] * len(seen) + [f"{position}" for position in part], dtype=object)
        for first, second in near_identical(both, own):
            later = part[second - len(seen)]
            if first < len(seen) or not dropped[part[first - len(seen)]]:
                dropped[later] = True
    kept: Integers = np.flatnonzero(~dropped)
    return kept
