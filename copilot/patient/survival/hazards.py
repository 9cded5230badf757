"""Hazards from the modalities that are there: one linear tower each, gated, over piecewise constant intervals.

log hazard of interval k = base_k + Σ_m g_m · x_m·w_m, with the gate g a softmax over the modalities present of the
towers' outputs and presence bits. Likelihood of Kvamme and Borgan, "Continuous and discrete-time survival prediction
with neural networks" (2021), PC-hazard, in which a ridge on w and no interaction with time is a ridge Cox model on a
piecewise exponential baseline. Members are fitted together, each
on a bootstrap of the patients; the band is their spread. Modalities are dropped at random while fitting, so every
subset works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .features import Vectors
from .recipe import Settings

Z90 = 1.6448536
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hazards:
    """`edges` (K+1,) in days from 0; base (M, K); weights by modality (M, d_m); gate (M, 2c, c) and its bias (M, c)
    over c modalities; `scaling` (a, b): log cumulative hazard becomes a + b · itself."""

    edges: Array
    base: Array
    weights: Mapping[str, Array]
    gate: Array
    gate_bias: Array
    scaling: tuple[float, float]

    def log_cumulative(self, vectors: Vectors, days: Array) -> Array:
        """Log cumulative hazard (M, n, t) at days (t,) from 0 to the last edge, for n patients."""
        names = list(self.weights)
        towers = np.stack([vectors[name][0] @ self.weights[name].T for name in names], axis=-1)  # (n, M, c)
        there = np.stack([vectors[name][1] for name in names], axis=-1).astype(np.float64)  # (n, c)
        bits = np.broadcast_to(there[:, None], towers.shape)
        score = np.einsum("nmi,mic->nmc", np.concatenate([towers * bits, bits], -1), self.gate) + self.gate_bias
        score = np.where(bits > 0, score, -1e9)
        share = np.exp(score - score.max(axis=-1, keepdims=True)) * bits
        share /= np.maximum(share.sum(axis=-1, keepdims=True), 1e-12)
        fused = (share * towers).sum(axis=-1).T  # (M, n)
        width = np.diff(self.edges)
        spent = np.clip((days[:, None] - self.edges[:-1]) / width, 0, 1) * width  # (t, K)
        baseline = np.log(np.maximum(np.exp(self.base) @ spent.T, 1e-12))  # (M, t)
        slope = self.scaling[1]
        return np.asarray(self.scaling[0] + slope * (baseline[:, None] + fused[:, :, None]))

    def curve(self, vectors: Vectors, days: Array) -> tuple[Array, Array, Array]:
        """Survival (n, t) at days (t,), and the lower and upper end of its 90 % band over refits."""
        log = self.log_cumulative(vectors, days)
        mean, spread = log.mean(axis=0), log.std(axis=0, ddof=1) if len(log) > 1 else np.zeros_like(log[0])
        middle, low, high = (np.exp(-np.exp(mean + sign * Z90 * spread)) for sign in (0, 1, -1))
        start = days <= 0
        return tuple(np.where(start, 1.0, part) for part in (middle, low, high))  # type: ignore[return-value]


def fit_hazards(
    vectors: Vectors,
    days: Array,
    seen: NDArray[np.bool_],
    groups: NDArray[np.int64],
    settings: Settings,
    *,
    members: int | None = None,
) -> Hazards:
    """Fits the members on n patients, the first on all of them, the others each on a bootstrap.

    `groups` (d_table,) says which covariate a column of the table belongs to: these are dropped together.
    """
    import torch

    edges = _edges(days, seen, settings.intervals)
    count = members or settings.members
    draw = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    n, names = len(days), list(vectors)
    times = draw.multinomial(n, np.full(n, 1 / n), size=count)
    times[0] = 1
    weight = torch.tensor(times, dtype=torch.float32)
    inputs = [torch.tensor(vectors[name][0], dtype=torch.float32) for name in names]
    there = torch.tensor(np.stack([vectors[name][1] for name in names], -1), dtype=torch.float32)
    width = np.diff(edges)
    exposure = torch.tensor(np.clip(days[:, None] - edges[:-1], 0, width), dtype=torch.float32)
    interval = np.clip(np.searchsorted(edges, days, side="left") - 1, 0, len(width) - 1)
    hit = torch.tensor(seen & (days <= edges[-1]), dtype=torch.float32)
    overall = np.log(max(float(hit.sum()), 1.0) / float(exposure.sum()))
    base = torch.full((count, len(width)), float(overall), requires_grad=True)
    towers = [torch.zeros(count, values.shape[1], requires_grad=True) for values in inputs]
    c = len(names)
    gate = torch.zeros(count, 2 * c, c, requires_grad=True)
    bias = torch.zeros(count, c, requires_grad=True)
    group, kinds = torch.tensor(groups), int(groups.max()) + 1 if len(groups) else 0
    optimiser = torch.optim.Adam([base, *towers, gate, bias], lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    random = torch.Generator().manual_seed(settings.seed)
    events = torch.tensor(interval)
    for _ in range(settings.steps):
        kept = (torch.rand(n, c, generator=random) >= settings.modality_dropout).float() * there
        kept = torch.where(kept.sum(-1, keepdim=True) > 0, kept, there) if c > 1 else there
        columns = (torch.rand(n, kinds, generator=random) >= settings.covariate_dropout).float()
        outputs = torch.stack(
            [
                (values * columns[:, group] if name == "table" else values) @ tower.T
                for name, values, tower in zip(names, inputs, towers, strict=True)
            ],
            -1,
        )  # (n, M, c)
        bits = kept[:, None].expand_as(outputs)
        score = torch.einsum("nmi,mic->nmc", torch.cat([outputs * bits, bits], -1), gate) + bias
        share = torch.softmax(score.masked_fill(bits == 0, -1e9), -1) * bits
        fused = (share * outputs).sum(-1).T  # (M, n)
        total = torch.exp(fused) * (torch.exp(base) @ exposure.T)
        loss = (weight * (total - hit * (fused + base[:, events]))).sum() / n
        for name, tower in zip(names, towers, strict=True):
            loss = loss + settings.penalty.get(name, 30.0) / 2 * tower.square().sum() / n
        loss = loss + 0.5 * gate.square().sum() / n * 10
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return Hazards(
        edges,
        _numbers(base),
        {name: _numbers(tower) for name, tower in zip(names, towers, strict=True)},
        _numbers(gate),
        _numbers(bias),
        (0.0, 1.0),
    )


def _numbers(parameter: object) -> Array:
    return np.asarray(parameter.detach().numpy(), dtype=np.float64)  # type: ignore[attr-defined]


def _edges(days: Array, seen: NDArray[np.bool_], intervals: int) -> Array:
    last = float(np.quantile(days, 0.98))
    quantiles = np.quantile(days[seen & (days <= last)], np.linspace(0, 1, intervals + 1)[1:-1])
    return np.unique(np.concatenate([[0.0], np.round(quantiles, 1), [last]]))
