"""Features in few dimensions and of unit length, where novelty and likeness are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .encoder import Features


@dataclass(frozen=True)
class Projection:
    """Features (n, d) → principal components of unit length (n, p)."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        components = (features.astype(np.float32) - self.mean) @ self.axes
        lengths = np.linalg.norm(components, axis=1, keepdims=True)
        unit: NDArray[np.float32] = components / np.maximum(lengths, 1e-9)
        return unit


def fit_projection(features: Features, dimensions: int) -> Projection:
    """Principal components of the features, centred, not whitened."""
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    values, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, np.argsort(-values, kind="stable")[:dimensions]]
    # An eigenvector's sign is arbitrary: fix it, so that a rerun makes the same file.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return Projection(mean.astype(np.float32), axes.astype(np.float32))
