"""What colour alone gives: the opponent that every head must beat on the same groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .fit_heads import Groups, Labels, View, fit_linear
from .reference_tiles import ReferenceTiles

BINS = 8
PENALTY = 1.0
BALANCE = 0.75


def colour_features(tiles: ReferenceTiles) -> NDArray[np.float32]:
    """`colour_row` of every tile, float32 (n, 30)."""
    rows = np.empty((len(tiles), 3 * BINS + 6), dtype=np.float32)
    for row, position in zip(rows, range(len(tiles)), strict=True):
        row[:] = colour_row(tiles.image(position))
    return rows


def colour_row(image: Image.Image) -> NDArray[np.float32]:
    """Share of an RGB picture's pixels in 8 bins of red, green, blue, and mean and deviation of each, (30,)."""
    # a picture of one pixel cannot be halved
    halved = image.reduce(2) if min(image.size) > 1 else image
    pixels = np.asarray(halved, dtype=np.float32).reshape(-1, 3) / 256
    shares = [np.bincount((channel * BINS).astype(int), minlength=BINS) for channel in pixels.T]
    moments = [pixels.mean(axis=0), pixels.std(axis=0)]
    return np.concatenate([np.concatenate(shares) / len(pixels), *moments]).astype(np.float32)


class ColourBaseline:
    """Ridge multinomial regression on colour features, fitted and read as a head is."""

    def __init__(self, features: NDArray[np.float32], labels: Labels, groups: Groups) -> None:
        self._mean, self._deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
        view = View(np.arange(len(features)), self._scaled(features))
        self._slope, self._intercept = fit_linear([view], labels, groups, PENALTY, BALANCE)

    def _scaled(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = (features - self._mean) / self._deviation
        return scaled

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits (n, k) of tiles; a bag is read by their mean."""
        logits: NDArray[np.float64] = self._scaled(features) @ self._slope.T + self._intercept
        return logits
