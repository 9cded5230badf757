"""Pictures for the self-test that carry no labels: a sample, made fields, and whatever lies in the user's folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from slides import NotASlide, Region, Slide, SlideError, UsageError
from slides.grid import tile_grid
from slides.open import open_slide
from slides.tissue import tissue_mask

from .cases import Case

BOX = 1024
"""Level-0 pixels along the side of the part of a large slide that is asked about."""
SMALL = 1536
"""A picture up to this size is asked about as a whole."""
MOST_FILES = 12


def pictures_in(paths: Sequence[Path], most: int = MOST_FILES) -> tuple[list[Case], list[str]]:
    """The first slides and images among files and folders, and a sentence for each that could not be used.

    Of a large slide a box of 1024 px around some of its tissue is taken. Raises `UsageError` for a path that is
    missing or a folder without any slide or image.
    """
    cases: list[Case] = []
    notes: list[str] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path.name or path}: there is no such file or folder")
        found, said = _of(path, most - len(cases))
        if not found and not said:
            raise UsageError(f"{path.name or path}: no slide and no image lies in this folder")
        cases += found
        notes += said
    return cases, notes


def _of(path: Path, most: int) -> tuple[list[Case], list[str]]:
    """One slide (a file, or a folder that is one), or the first of those of a folder, by name."""
    try:
        return [_case(path)], []
    except SlideError as error:
        if not path.is_dir():
            return [], [str(error)]
    cases: list[Case] = []
    notes: list[str] = []
    children = [child for child in sorted(path.iterdir()) if not child.name.startswith(".")]
    for number, child in enumerate(children):
        if len(cases) == most:
            notes.append(
                f"{path.name}: {len(children) - number} further files were left out: {most} pictures are enough"
            )
            break
        try:
            cases.append(_case(child))
        except NotASlide:
            continue
        except SlideError as error:
            notes.append(str(error))
    return cases, notes


def _case(path: Path) -> Case:
    with open_slide(path) as slide:
        region = None if max(slide.size) <= SMALL else _box(slide)
        return Case(slide.name, slide.name, "own", "own", {}, partial(_pixels, path, region), file=path, region=region)


def _box(slide: Slide) -> Region:
    """A box in the middle of the tiles that hold tissue; of the slide where none does."""
    whole = slide.bounds
    side = min(BOX, whole.width, whole.height)
    tiles = tile_grid(tissue_mask(slide), whole, side, min_tissue=0.5)
    if tiles:
        return tiles[len(tiles) // 2]
    return Region(whole.x + (whole.width - side) // 2, whole.y + (whole.height - side) // 2, side, side)


def _pixels(path: Path, region: Region | None) -> Image.Image:
    with open_slide(path, probe=False) as slide:
        return Image.fromarray(slide.read(region or slide.whole))
