"""Features in fewer dimensions: for fitting heads, for novelty and for likeness.

All maps are fitted on training tiles without their labels. Half-whitened components (divided by the fourth
root of their variance) let weak directions count without letting noise rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .encoder import Features


@dataclass(frozen=True)
class Projection:
    """Features (n, d) less `mean` (d,), times `axes` (d, p): float32 (n, p)."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    def __call__(self, features: Features) -> NDArray[np.float32]:
        components = (features - self.mean) @ self.axes
        return components.astype(np.float32, copy=False)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row at length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-9)).astype(np.float32, copy=False)
    return scaled


def principal_axes(features: Features, dimensions: int, whitening: float = 0.0, centred: bool = True) -> Projection:
    """The first principal components of features (n, d).

    Parameters
    ----------
    dimensions : how many; no more than n - 1
    whitening : 0 keeps each component's variance, 1 makes them equal, 0.5 lies between
    centred : False for axes through the origin, which keep cosines between the features themselves
    """
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0) if centred else np.zeros(rows.shape[1])
    values, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    kept = np.argsort(-values, kind="stable")[: min(dimensions, len(rows) - 1)]
    values, axes = np.maximum(values[kept], 1e-12), vectors[:, kept]
    # An eigenvector's sign is arbitrary: fixed, so that a rerun makes the same file.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(kept))])
    # Mean squared length 1, so that one ridge penalty means the same at any width.
    axes = axes / values ** (whitening / 2) / np.sqrt((values ** (1 - whitening)).sum())
    return Projection(mean.astype(np.float32), axes.astype(np.float32))
