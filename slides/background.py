"""What a slide looks like where no tissue lies: the colour of glass, dark field, or nothing but glass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .slide import Pixels

Field = Literal["bright field", "dark field", "blank"]

_USUAL_GLASS = (243.0, 243.0, 243.0)
"""Median of 164 scans of the atlas (239 to 251)."""

_GLASS_FLOOR = 200
_GLASS_TINT = 14
"""Largest difference of channels of glass on a white-balanced scanner; the atlas shows at most 7, pale stroma 15 up."""

_LEAST_GLASS = 0.005

_ONE_COLOUR, _MOST_OF_VIEW = 14, 0.75
"""Grey levels and share: no tissue is that uniform, but colour-normalised images of glass are, in any colour."""
_FAINTEST, _DENSEST = 0.018, 0.045
"""Optical density limits of the threshold: above uneven illumination, below pale stroma (0.05)."""

_FAINT = 0.012
"""Optical density that counts where there is texture: fat and pale immunostains lie between 0.012 and 0.035."""

_LEAST_TEXTURE = 0.004
"""Standard deviation of optical density over 5 x 5 px; glass of the atlas has 0.000 to 0.002, its 90th percentile
0.003."""


@dataclass(frozen=True, slots=True)
class Background:
    """Glass colour (RGB), the optical density and texture above which a pixel is tissue, and the kind of field."""

    glass: tuple[float, float, float]
    threshold: float
    texture: float
    field: Field


def optical_density(pixels: Pixels, glass: tuple[float, float, float]) -> NDArray[np.float32]:
    """Decadic optical density (h, w) against glass, of the channel that absorbs most, lightly smoothed."""
    smooth = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.0)))
    values = np.arange(256, dtype=np.float32) + 1
    density = np.zeros(pixels.shape[:2], np.float32)
    for channel in range(3):
        table = np.maximum(np.log10((glass[channel] + 1) / values), 0).astype(np.float32)
        np.maximum(density, table[smooth[..., channel]], out=density)
    return density


def extremes(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and greatest channel of each pixel, (h, w) each; ten times faster than a reduction over 3 channels."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def find_background(overview: Pixels) -> tuple[Background, NDArray[np.float32]]:
    """The background of an overview (h, w, 3), and the overview's optical density (h, w) against its glass.

    Otsu's threshold (1979) on optical density parts dark tissue from pale once a view is full of tissue, so
    only a third of it is taken, held between scanner noise and the density of fat.
    """
    low, high = extremes(overview)
    tenth, half = np.percentile(high, (10, 50))
    if half < 60 and tenth < 25 and float((low > _GLASS_FLOOR).mean()) < 0.02:
        return Background(_USUAL_GLASS, 1.0, 1.0, "dark field"), optical_density(overview, _USUAL_GLASS)
    glass = _glass_colour(overview, low, high)
    density = optical_density(overview, glass)
    if float(np.percentile(density, 99.9)) < _FAINT:
        return Background(glass, _FAINTEST, _LEAST_TEXTURE, "blank"), density
    threshold = float(np.clip(_otsu(density) / 3, _FAINTEST, _DENSEST))
    quiet = _texture(density)[density < _FAINT / 2]
    texture = max(_LEAST_TEXTURE, 3 * float(np.median(quiet))) if quiet.size else _LEAST_TEXTURE
    return Background(glass, threshold, texture, "bright field"), density


def absorbing(density: NDArray[np.float32], background: Background) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels (h, w) that absorb clearly, and those that absorb faintly but with texture, as no empty glass has."""
    dense = density > background.threshold
    return dense, (density > _FAINT) & (_texture(density) > background.texture)


def _texture(density: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy import ndimage

    mean = ndimage.uniform_filter(density, 5)
    square = ndimage.uniform_filter(density * density, 5)
    spread: NDArray[np.float32] = np.sqrt(np.maximum(square - mean * mean, 0))
    return spread


def _otsu(values: NDArray[np.float32]) -> float:
    from skimage.filters import threshold_otsu

    counts, edges = np.histogram(values, bins=256)
    return float(threshold_otsu(hist=(counts, (edges[:-1] + edges[1:]) / 2)))


def _glass_colour(overview: Pixels, low: NDArray[np.uint8], high: NDArray[np.uint8]) -> tuple[float, float, float]:
    glass = overview[(low > _GLASS_FLOOR) & (high - low <= _GLASS_TINT)]
    if len(glass) < _LEAST_GLASS * low.size:
        return _tinted_glass(overview)
    return _brightest_mode(glass)


def _brightest_mode(pixels: NDArray[np.uint8]) -> tuple[float, float, float]:
    """The brightest common colour: pale tissue may be commoner than glass, never brighter."""
    light = pixels.sum(axis=1, dtype=np.int32) // 3
    counts = np.convolve(np.bincount(light, minlength=256), np.ones(5) / 5, mode="same")
    common = np.flatnonzero(counts >= 0.25 * counts.max())
    mode = common.max() - 2
    near = pixels[np.abs(light - mode) <= 3]
    red, green, blue = np.median(near, axis=0)
    return float(red), float(green), float(blue)


def _tinted_glass(overview: Pixels) -> tuple[float, float, float]:
    """Glass that is not neutral: one colour over most of the view, or bright, flat and reaching the border."""
    middle = np.median(overview.reshape(-1, 3), axis=0)
    low, high = middle - _ONE_COLOUR, middle + _ONE_COLOUR
    if float(((overview >= low) & (overview <= high)).all(axis=2).mean()) >= _MOST_OF_VIEW:
        return float(middle[0]), float(middle[1]), float(middle[2])
    if min(overview.shape[:2]) < 64:
        return _USUAL_GLASS
    signed = overview.astype(np.int16)
    rows = extremes(np.abs(np.diff(signed, axis=0)))[1][:, :-1]
    columns = extremes(np.abs(np.diff(signed, axis=1)))[1][:-1]
    flat = (np.maximum(rows, columns) <= 4) & (extremes(overview[:-1, :-1])[0] > 150)
    border = np.concatenate([flat[0], flat[-1], flat[:, 0], flat[:, -1]])
    if float(border.mean()) < 0.5 or float(flat.mean()) < 0.1:
        return _USUAL_GLASS
    return _brightest_mode(overview[:-1, :-1][flat])
