"""Slide quality as findings: how much tissue, how sharp, how much pen, what kind of stain colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .background import optical_density
from .errors import RegionTooLarge, RegionUnreadable
from .finding import Evidence, Finding
from .geometry import Region, Size
from .grid import tile_grid
from .slide import Pixels, Slide
from .tissue import TissueMask, background_of

FOCUS_MPP = 0.5
"""µm/px at which focus is judged; finer pixels would only measure their own interpolation."""

COARSEST_FOCUS_MPP = 1.0
"""Above this µm/px nuclear borders are not resolved and focus cannot be judged."""

SHARP, BLURRED = 0.30, 0.22
"""Limits of `sharpness`, held by `test_focus_limits_hold_on_tiles_of_many_sources`: of unblurred tiles of known
µm/px at least 95 % are sharp, of copies blurred by a Gaussian of 1 µm at least 85 % blurred."""

_TILES = 12
_TILE = 256

_LEAST_SIDE = 48
_QUIET = 1e-8


def measure_quality(
    slide: Slide, region: Region, mask: TissueMask, pixels: Pixels | None = None
) -> tuple[Evidence, ...]:
    """`tissue_share`, `focus`, `pen` and `stain_colour` of a region, in this order.

    `pixels` (h, w, 3) uint8 are the region's own at any scale, where the caller has read them already; without
    them up to twelve tiles spread over the tissue are read. A part that cannot be read is left out.
    """
    tiles, places, mpp = _sample(slide, region, mask, pixels)
    return (
        _evidence(slide, region, Finding("tissue_share", value=mask.share(region), unit="share", source="measured")),
        _focus(slide, region, tiles, places, mpp),
        _evidence(slide, region, Finding("pen", value=mask.pen_share(region), unit="share", source="measured")),
        _evidence(slide, region, _stain_colour(slide, tiles)),
    )


def sharpness(pixels: Pixels) -> float:
    """How fast detail fades with fineness, about 0.1 (blurred) to 1 (sharp), of optical density.

    The lesser of two ratios of neighbouring bands' energy (finer than 0.8 px, 0.8 to 1.6, 1.6 to 3.2 px,
    Gaussian σ): contrast, stain and cell density cancel, blur does not. Related to the Laplacian-variance
    measures compared by Pertuz et al. (2013), normalised by the next coarser band.
    """
    from scipy import ndimage

    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32)
    density = np.log10(256 / (grey + 1))
    finer = ndimage.gaussian_filter(density, 0.8)
    coarser = ndimage.gaussian_filter(density, 1.6)
    coarsest = ndimage.gaussian_filter(density, 3.2)
    bands = [float(np.square(band).mean()) for band in (density - finer, finer - coarser, coarser - coarsest)]
    if min(bands) <= _QUIET:
        return 0.0
    # noise of the finest band alone would make a strongly blurred image look sharper again
    return min(bands[0] / bands[1], bands[1] / bands[2])


def stain_colour(pixels: Pixels, glass: tuple[float, float, float], threshold: float) -> str:
    """The kind of colour of bright-field tissue (h, w, 3), by the shares of red, green and blue absorption.

    `H&E-like` means pink to purple: PAS and mucin stains on a purple counterstain look the same to it. The
    limits were set on the atlas and the tile sets; of red chromogens no real sample was at hand.
    """
    tissue = pixels[optical_density(pixels, glass) > max(threshold, 0.06)].astype(np.float32)
    if len(tissue) < 16:
        return "blank"
    absorbed = np.maximum(np.log10((np.asarray(glass, np.float32) + 1) / (tissue + 1)), 0)
    total = absorbed.sum(axis=1)
    red, green, blue = (absorbed / np.maximum(total, 1e-6)[:, None]).T
    if float(np.percentile(tissue.max(axis=1) - tissue.min(axis=1), 95)) < 8:
        return "greyscale"
    pink_to_purple = float(((green > red) & (green > blue)).mean())
    brown = float(((blue >= green) & (blue - red > 0.12)).mean())
    bluish = float(((red > green) & (red >= blue)).mean())
    bright_red = float(((green > 0.42) & (red < 0.18) & (blue > 0.33) & (total > 0.8)).mean())
    if pink_to_purple >= 0.75 and brown < 0.05 and float(green.mean()) >= 0.39:
        return "H&E-like"
    if 0.04 <= brown <= 0.93:
        return "brown chromogen"
    if bluish >= 0.3 and bright_red >= 0.01:
        return "red chromogen"
    return "other colour"


def _evidence(slide: Slide, region: Region, finding: Finding, fields: tuple[Region, ...] = ()) -> Evidence:
    return Evidence(slide.name, region, slide.mpp, finding, fields)


def _sample(
    slide: Slide, region: Region, mask: TissueMask, pixels: Pixels | None
) -> tuple[list[Pixels], list[Region], float | None]:
    """Tiles of tissue at no finer than `FOCUS_MPP`, their places, and the µm/px they have."""
    if pixels is not None:
        shrunk = region.width / pixels.shape[1]
        given = None if slide.mpp is None else slide.mpp * shrunk
        if shrunk <= 1.01 or (given is not None and given <= COARSEST_FOCUS_MPP):
            return [_no_finer(pixels, given)], [region], None if given is None else max(given, FOCUS_MPP)
    downsample = max(1.0, FOCUS_MPP / slide.mpp) if slide.mpp else 1.0
    side = max(1, round(_TILE * downsample))
    places = _spread(tile_grid(mask, region, side, min_tissue=0.5) or tile_grid(mask, region, side, min_tissue=0.05))
    tiles, read = [], []
    for place in places:
        part = place.intersect(region) or place  # a tile wider than the region would show its white surroundings
        size = Size(max(1, round(part.width / downsample)), max(1, round(part.height / downsample)))
        try:
            tiles.append(slide.read_size(part, size))
        except (RegionUnreadable, RegionTooLarge):
            continue
        read.append(part)
    return tiles, read, None if slide.mpp is None else slide.mpp * downsample


def _no_finer(pixels: Pixels, mpp: float | None) -> Pixels:
    if mpp is None or mpp >= FOCUS_MPP:
        return pixels
    height, width = (max(8, round(side * mpp / FOCUS_MPP)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.HAMMING))


def _spread(places: tuple[Region, ...]) -> tuple[Region, ...]:
    if len(places) <= _TILES:
        return places
    chosen = np.linspace(0, len(places) - 1, _TILES).round().astype(int)
    return tuple(places[index] for index in chosen)


def _focus(slide: Slide, region: Region, tiles: list[Pixels], places: list[Region], mpp: float | None) -> Evidence:
    scope = f"bright field at {mpp:.2g} µm/px" if mpp else "bright field, µm/px not known: judged pixel by pixel"
    reason = None
    if background_of(slide).field != "bright field":
        reason = "the slide shows no bright-field tissue"
    elif not tiles or min(min(tile.shape[:2]) for tile in tiles) < _LEAST_SIDE:
        reason = "too little tissue to judge"
    elif mpp is not None and mpp > COARSEST_FOCUS_MPP:
        reason = f"{mpp:.3g} µm/px is too coarse to judge focus"
    if reason is not None:
        return _evidence(slide, region, Finding("focus", abstained=True, reason=reason, scope=scope, source="measured"))
    values: NDArray[np.float64] = np.array([sharpness(tile) for tile in tiles])
    middle = float(np.median(values))
    label = "sharp" if middle >= SHARP else "blurred" if middle < BLURRED else "soft"
    worst_first = [places[index] for index in np.argsort(values) if values[index] < SHARP]
    finding = Finding("focus", label=label, value=middle, unit="ratio", scope=scope, source="measured")
    return _evidence(slide, region, finding, tuple(worst_first[:6]))


def _stain_colour(slide: Slide, tiles: list[Pixels]) -> Finding:
    background = background_of(slide)
    if background.field != "bright field":
        return Finding("stain_colour", label=background.field, source="measured")
    if not tiles:
        return Finding("stain_colour", label="blank", source="measured")
    width = min(tile.shape[1] for tile in tiles)
    joined = np.concatenate([tile[:, :width] for tile in tiles])
    return Finding(
        "stain_colour", label=stain_colour(joined, background.glass, background.threshold), source="measured"
    )
