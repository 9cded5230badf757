"""One field of tissue at the working scale: its nuclei, clear space and brown chromogen, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slides import Pixels, Region

from . import stains
from .nuclei import (
    WORKING_MPP,
    Nuclei,
    describe,
    explained,
    find_nuclei,
    overall_threshold,
    smoothed,
    without,
)

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Dye = Literal["H&E", "brown chromogen"]

COARSEST_MPP = 1.0
BLOCK_PX = 256
"""Sub-fields of 128 µm, whose spread gives the intervals."""
CLEAR_DENSITY = 0.12
"""Optical density, in every channel, below which a pixel holds no tissue."""
LARGE_SPACE_PX = 8000
"""2000 µm²: a larger clear space (lumen, fat cell, glass) is not tissue; a smaller one may be cytoplasm."""
BROWN_DENSITY = 0.25
BROWN = np.stack([stains.HAEMATOXYLIN, stains.DAB])
BLUE_AND_PINK = np.stack([stains.HAEMATOXYLIN, stains.EOSIN])
FACTORS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
PROBE_PX = 224


@dataclass(frozen=True, slots=True)
class Field:
    """Pixels uint8 (h, w, 3) of one place and the level-0 region they show."""

    pixels: Pixels
    region: Region


@dataclass(frozen=True, slots=True)
class FieldMeasures:
    """Counts of one field at the working scale.

    tissue : bool (h, w), the field without large clear spaces
    blocks : counted nuclei, tissue px and nuclear px of each sub-field, float64 (m, 3)
    positive : (n,) nuclei most of whose area is brown
    haematoxylin : float32 (h, w) by the reference vectors, None where a chromogen marks nuclei too
    """

    region: Region
    nuclei: Nuclei
    tissue: Bools
    blocks: NDArray[np.float64]
    clear_px: int
    brown_px: int
    brown_in_nuclei_px: int
    positive: Bools
    haematoxylin: Floats | None = None


def measure_fields(fields: Sequence[Field], mpp: float | None, dye: Dye | None) -> list[FieldMeasures]:
    """Counts of each field; light, dye vectors and threshold are taken from all of them together.

    `mpp` is the µm/px of their pixels; without it the fields are sized by their own nuclei. `dye` None
    finds no nuclei; so does a scale above 1.0 µm/px.
    """
    pictures = [field.pixels for field in fields]
    readable = dye is not None and (mpp is None or mpp <= COARSEST_MPP)
    if dye is not None and readable:
        factor = mpp / WORKING_MPP if mpp is not None else own_factor(pictures, dye)
        pictures = [_resized(pixels, factor) for pixels in pictures]
    light = np.max([stains.background_light(pixels) for pixels in pictures], axis=0)
    densities = [stains.optical_density(pixels, light) for pixels in pictures]
    clears = [_deepest(density) < CLEAR_DENSITY for density in densities]
    tissues = [~_large(clear) for clear in clears]
    browns = [np.zeros(clear.shape, np.bool_) for clear in clears]
    nuclei = [describe(np.zeros(clear.shape, np.int32)) for clear in clears]
    if dye == "brown chromogen":
        browns = [
            _brown(stains.concentrations(density, BROWN)) & tissue
            for density, tissue in zip(densities, tissues, strict=True)
        ]
    # not by the field's own vectors: they leave next to nothing between nuclei, and a ratio to that jumps
    haematoxylin = [stains.concentrations(each, BLUE_AND_PINK)[..., 0] if dye == "H&E" else None for each in densities]
    if dye is not None and readable:
        nuclei = [found for found, _ in _nuclei(densities, tissues, dye)]
    columns = zip(fields, nuclei, tissues, clears, browns, haematoxylin, strict=True)
    return [counted(field.region, *column) for field, *column in columns]


def counted(
    region: Region, nuclei: Nuclei, tissue: Bools, clear: Bools, brown: Bools, haematoxylin: Floats | None = None
) -> FieldMeasures:
    """The counts of one field from its nuclei and its maps (h, w)."""
    within = np.bincount(nuclei.labels[brown], minlength=len(nuclei) + 1)[1:]
    return FieldMeasures(
        region=region,
        nuclei=nuclei,
        tissue=tissue,
        blocks=_blocks(nuclei, tissue),
        clear_px=int(clear.sum()),
        brown_px=int(brown.sum()),
        brown_in_nuclei_px=int(within.sum()),
        positive=within > 0.5 * nuclei.areas,
        haematoxylin=haematoxylin,
    )


def own_factor(pictures: Sequence[Pixels], dye: Dye) -> float:
    """Resize factor, one of `FACTORS`, at which the nuclei found in three pictures explain most of them."""
    most, best = 0.0, 1.0
    for factor in FACTORS:
        crops = [_resized(_centre(picture, round(PROBE_PX / factor)), factor) for picture in pictures[:3]]
        densities = [stains.optical_density(crop) for crop in crops if min(crop.shape[:2]) >= 32]
        if not densities:
            continue
        everywhere = [np.ones(density.shape[:2], np.bool_) for density in densities]
        found = _nuclei(densities, everywhere, dye)
        gain = float(np.mean([explained(smooth, nuclei) for nuclei, smooth in found]))
        if gain > most:
            most, best = gain, factor
    return best


def _nuclei(densities: Sequence[Floats], tissues: Sequence[Bools], dye: Dye) -> list[tuple[Nuclei, Floats]]:
    """Nuclei of each field and the smoothed dye they were found in, all under one threshold."""
    if dye == "H&E":
        vectors = stains.stain_vectors(densities)
        amounts = [stains.concentrations(density, vectors) for density in densities]
        smooth = [smoothed(amount[..., 0]) for amount in amounts]
        overall = overall_threshold(smooth, tissues)
        found = [find_nuclei(amount, overall) for amount in smooth]
        return [
            (without(nuclei, amount[..., 1], amount[..., 0]), blurred)
            for nuclei, amount, blurred in zip(found, amounts, smooth, strict=True)
        ]
    amounts = [stains.concentrations(density, BROWN) for density in densities]
    # the threshold is between blue nuclei and the rest: brown ones would draw it above them
    blue = [tissue & ~_brown(amount) for tissue, amount in zip(tissues, amounts, strict=True)]
    smooth = [smoothed(amount.sum(axis=-1)) for amount in amounts]
    overall = overall_threshold(smooth, blue)
    capped = [np.minimum(amount, 2 * overall) for amount in smooth]
    return [(find_nuclei(amount, overall), amount) for amount in capped]


def _brown(amounts: Floats) -> Bools:
    """Where brown is present and not merely what a violet counterstain adds to it; amounts are (h, w, 2)."""
    brown, blue = amounts[..., 1], amounts[..., 0]
    return np.asarray((brown > BROWN_DENSITY) & (brown > 0.8 * blue))


def _centre(pixels: Pixels, side: int) -> Pixels:
    """The middle of a picture, at most `side` px wide and high."""
    height, width = pixels.shape[:2]
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    return pixels[top : top + side, left : left + side]


def _resized(pixels: Pixels, factor: float) -> Pixels:
    """Pixels resampled by a factor, antialiased; unchanged within 3 %."""
    if abs(factor - 1) < 0.03:
        return pixels
    height, width = (max(round(side * factor), 1) for side in pixels.shape[:2])
    how = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize((width, height), how))


def _deepest(density: Floats) -> Floats:
    """The largest optical density of the three channels, (h, w)."""
    return np.maximum(np.maximum(density[..., 0], density[..., 1]), density[..., 2])


def _large(clear: Bools) -> Bools:
    """The clear spaces too large to be part of a cell, found at a quarter of the scale."""
    from scipy import ndimage

    height, width = clear.shape
    coarse = clear[::4, ::4]
    spaces, _ = ndimage.label(ndimage.binary_opening(coarse))
    large = np.bincount(spaces.ravel()) * 16 >= LARGE_SPACE_PX
    large[0] = False
    return np.asarray(large[spaces].repeat(4, axis=0).repeat(4, axis=1)[:height, :width])


def _blocks(nuclei: Nuclei, tissue: Bools) -> NDArray[np.float64]:
    """Counted nuclei, tissue px and nuclear px of each sub-field with tissue, float64 (m, 3)."""
    height, width = tissue.shape
    down, across = max(round(height / BLOCK_PX), 1), max(round(width / BLOCK_PX), 1)
    row_of = np.minimum(np.arange(height) * down // height, down - 1)
    column_of = np.minimum(np.arange(width) * across // width, across - 1)

    def summed(mask: Bools) -> NDArray[np.float64]:
        rows = np.stack([mask[row_of == row].sum(axis=0) for row in range(down)])
        return np.stack([rows[:, column_of == column].sum(axis=1) for column in range(across)], axis=1)

    centres = nuclei.centres[nuclei.counted].astype(np.int64)
    counts = np.zeros((down, across))
    np.add.at(counts, (row_of[centres[:, 0]], column_of[centres[:, 1]]), 1)
    table = np.stack([counts, summed(tissue), summed((nuclei.labels > 0) & tissue)], axis=-1).reshape(-1, 3)
    enough = table[:, 1] > 0.1 * (height / down) * (width / across)
    return np.asarray(table[enough])
