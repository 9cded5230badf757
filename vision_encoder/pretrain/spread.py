"""Regularisers that keep embeddings apart on the unit sphere: one tensor in, one scalar out."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def koleo(embeddings: Tensor) -> Tensor:
    """Minus the mean logarithm of the distance to the nearest other embedding, of (n, d).

    Kozachenko & Leonenko's estimate of entropy, as a loss: Sablayrolles et al., ICLR 2019.
    """
    unit = F.normalize(embeddings.float(), dim=1)
    with torch.no_grad():
        near = unit @ unit.T
        nearest = near.fill_diagonal_(-2).argmax(dim=1)
    return -torch.log((unit - unit[nearest]).norm(dim=1) + 1e-8).mean()


def kernel_density(embeddings: Tensor, concentration: float = 5.0) -> Tensor:
    """Mean logarithm of the von Mises–Fisher density of the other embeddings at each, of (n, d).

    Its constant factor is left out: equal embeddings give `concentration`, isotropic ones about κ² / 2d. In
    place of KoLeo, whose gradient grows without bound for tiles that look alike: Zimmermann et al.,
    "Virchow2", 2024; as uniformity: Wang & Isola, ICML 2020.
    """
    unit = F.normalize(embeddings.float(), dim=1)
    near = concentration * (unit @ unit.T)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return torch.logsumexp(near.masked_fill(itself, -torch.inf), dim=1).mean() - math.log(len(unit) - 1)
