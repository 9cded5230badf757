"""Signs of health during a run: RankMe, spread and a k-NN probe; none of them needs the held-out data.

RankMe: Garrido et al., ICML 2023: the exponential of the entropy of the normalised singular values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoder import Features
from .views import normalised


@dataclass(frozen=True, slots=True)
class Health:
    """`rank` in [1, d]; `spread` the mean deviation of a unit feature's coordinates times √d, 1 when isotropic;
    `cosine` the mean of two tiles; `probe` the k-NN balanced accuracy, groups held out, or None without labels."""

    rank: float
    spread: float
    cosine: float
    probe: float | None


class Watch:
    """Looks at the features of fixed tiles.

    Parameters
    ----------
    pixels : uint8 (n, s, s, 3)
    side : px at which the network sees them
    group, task, label : (n,) what a neighbour may not share, and what it should tell; label "" = none
    """

    def __init__(
        self,
        pixels: Tensor,
        side: int,
        group: NDArray[np.object_],
        task: NDArray[np.object_],
        label: NDArray[np.object_],
    ) -> None:
        self._pixels, self._side = pixels, side
        self._group, self._task, self._label = group, task, label

    def look(self, network: nn.Module, device: torch.device) -> Health:
        """The health of a network now; its mode is as it was found afterwards."""
        features = self._features(network, device)
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        mean = unit.mean(axis=0)
        spread = float(unit.std(axis=0).mean() * np.sqrt(unit.shape[1]))
        return Health(rank_me(features), spread, float(mean @ mean), self._probe(unit))

    def _features(self, network: nn.Module, device: torch.device) -> Features:
        was_training = network.training
        network.eval()
        rows = []
        with torch.inference_mode():
            for block in self._pixels.split(32):
                planes = block.permute(0, 3, 1, 2).float() / 255
                planes = F.interpolate(planes, size=self._side, mode="bilinear", antialias=True)
                rows.append(network(normalised(planes.to(device))).float().cpu().numpy())
        network.train(was_training)
        return np.concatenate(rows)

    def _probe(self, unit: Features, neighbours: int = 20, temperature: float = 0.07) -> float | None:
        """Mean over tasks of balanced accuracy of the weighted vote of the nearest tiles of other groups."""
        scores = []
        for task in sorted(set(self._task[self._label != ""])):
            rows = np.flatnonzero((self._task == task) & (self._label != ""))
            names, truth = np.unique(self._label[rows].astype(str), return_inverse=True)
            if len(names) < 2:
                continue
            near = unit[rows] @ unit[rows].T
            near[self._group[rows][:, None] == self._group[rows][None, :]] = -np.inf
            order = np.argsort(-near, axis=1, kind="stable")[:, :neighbours]
            weight = np.exp(np.take_along_axis(near, order, axis=1) / temperature)
            # Classes count alike, however many tiles each has.
            votes = np.stack([(weight * (truth[order] == c)).sum(axis=1) for c in range(len(names))], axis=1)
            said = (votes / np.bincount(truth)).argmax(axis=1)
            scores.append(np.mean([(said[truth == c] == c).mean() for c in range(len(names))]))
        return float(np.mean(scores)) if scores else None


def rank_me(features: Features) -> float:
    """The effective rank of (n, d) features."""
    values = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    share = values / values.sum() + 1e-7
    return float(np.exp(-(share * np.log(share)).sum()))
