"""What colour alone gives: the opponent that every head must beat on the same groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .fit_heads import Groups, Labels, View, fit_linear
from .reference_tiles import ReferenceTiles

BINS = 8
PENALTY = 1.0
BALANCE = 0.75


def colour_features(tiles: ReferenceTiles) -> NDArray[np.float32]:
    """Share of pixels in 8 bins of red, green, blue, and mean and deviation of each, float32 (n, 30)."""
    rows = np.empty((len(tiles), 3 * BINS + 6), dtype=np.float32)
    for row, position in zip(rows, range(len(tiles)), strict=True):
        pixels = np.asarray(tiles.image(position).reduce(2), dtype=np.float32).reshape(-1, 3) / 256
        shares = [np.bincount((channel * BINS).astype(int), minlength=BINS) for channel in pixels.T]
        row[: 3 * BINS] = np.concatenate(shares) / len(pixels)
        row[3 * BINS :] = np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])
    return rows


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
