"""Losses between embeddings of two views; each a function of two (n, d) tensors.

VICReg: Bardes, Ponce & LeCun, ICLR 2022. SIGReg: Balestriero & LeCun, "LeJEPA", 2025 (arXiv 2511.08544):
embeddings are pulled to an isotropic Gaussian by comparing characteristic functions along random directions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def vicreg(
    first: Tensor, second: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """Invariance, variance hinge and covariance terms, with the paper's weights."""
    close = F.mse_loss(first, second)
    spread = _spread(first) + _spread(second)
    mixed = _mixed(first) + _mixed(second)
    return invariance * close + variance * spread / 2 + covariance * mixed


def sigreg(
    first: Tensor, second: Tensor, generator: torch.Generator, weight: float = 0.05, directions: int = 512
) -> Tensor:
    """(1 - weight) · invariance + weight · mean distance of the views' distributions from N(0, I)."""
    close = F.mse_loss(first, second)
    axes = F.normalize(torch.randn(first.shape[1], directions, generator=generator), dim=0).to(first.device)
    return (1 - weight) * close + weight * (gaussian_distance(first @ axes) + gaussian_distance(second @ axes)) / 2


def gaussian_distance(samples: Tensor, knots: int = 17, reach: float = 3.0) -> Tensor:
    """n times the Epps–Pulley distance of each column of (n, m) from N(0, 1), averaged over columns.

    The weighted integral of |φ_n(t) - exp(-t²/2)|² by the trapezoidal rule on [-reach, reach]; the
    integrand is even, so half of the knots are computed and counted twice.
    """
    t = torch.linspace(0, reach, knots, device=samples.device)
    normal = torch.exp(-0.5 * t**2)
    angles = samples.float()[:, :, None] * t
    real = angles.cos().mean(dim=0) - normal
    imaginary = angles.sin().mean(dim=0)
    distance = torch.trapezoid((real**2 + imaginary**2) * normal, t, dim=1)
    return 2 * len(samples) * distance.mean()


def _spread(x: Tensor) -> Tensor:
    deviation = torch.sqrt(x.var(dim=0) + 1e-4)
    return F.relu(1 - deviation).mean()


def _mixed(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred / (len(x) - 1)
    off = covariance - torch.diag(covariance.diagonal())
    return (off**2).sum() / x.shape[1]
