"""The last layer of a trained encoder: principal axes of the training tiles, centred and whitened in part.

Pooled activations of a convolutional network are all positive and strongly correlated, so that cosines between
any two tiles are near 1 and a probe on few tiles spends its strength on directions that tell nothing. The
axes come from unlabelled training tiles alone. Whitening of pretrained features: Jégou & Chum, ECCV 2012.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..features import Progress
from ..networks.efficientnet_lite0 import EfficientNetLite0
from .draws import Draws
from .pool import Sampler, TilePool
from .views import ViewSettings, make_views, normalised

BATCH = 32
VIEW = ViewSettings(side=224, crop=(0.4, 0.95), stain=0.25, offset=0.04, grey=0.0)
"""Milder than in training: what a tile may look like in use."""


def fit_readout(
    network: EfficientNetLite0,
    pool: TilePool,
    lengths: Mapping[str, int],
    whitening: float,
    seed: int,
    progress: Progress,
    tiles: int = 4096,
) -> dict[str, Tensor]:
    """Weights and biases of the last layers, by their names in the network, from views of tiles.

    Tiles are drawn evenly over slides, 16 views of a tile at most. `lengths` are those of the parts of a feature
    by the name of their last layer, 0 for none; `whitening` 0 keeps the variance of each axis, 1 makes all equal.
    """
    tiles = min(tiles, 16 * len(pool))
    sampler = Sampler(pool, BATCH, seed)
    network.eval()
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name, length in lengths.items() if length}
    with torch.inference_mode():
        for turn in range(-(-tiles // BATCH)):
            positions = torch.from_numpy(sampler.draw(turn))
            draws = Draws(torch.Generator().manual_seed(seed * 1_000_003 + turn), BATCH)
            views = make_views(pool.pixels[positions], VIEW, draws)
            pooled = network.pooled(normalised(views))
            for name, kept in rows.items():
                kept.append(pooled[name].double().numpy())
            progress("fitting the last layer", (turn + 1) * BATCH, tiles)
    state = {}
    for name, kept in rows.items():
        weight, bias = principal_layer(np.concatenate(kept), lengths[name], whitening)
        state[f"{name}.weight"] = torch.from_numpy(weight).float()
        state[f"{name}.bias"] = torch.from_numpy(bias).float()
    return state


def principal_layer(
    features: NDArray[np.float64], dimension: int, whitening: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight (dimension, d) and bias (dimension,) from features (n, d); the mean variance of an output is 1.

    Axes are in falling order of variance and their signs are fixed, so that equal features give an equal layer.
    """
    mean = features.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(features.T))
    values, axes = values[::-1][:dimension], axes[:, ::-1][:, :dimension]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    scale = np.maximum(values, 1e-6 * values[0]) ** (-whitening / 2)
    scale /= np.sqrt((values * scale**2).mean())
    weight = (axes * scale).T
    return weight, -weight @ mean
