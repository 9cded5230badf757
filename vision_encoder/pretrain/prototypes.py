"""Prototypes, what a teacher says of an image by them, and how far a student is from it.

Sources: Caron et al., "Emerging properties in self-supervised vision transformers" (DINO), ICCV 2021; Zhou et
al., "iBOT", ICLR 2022; Oquab et al., "DINOv2", TMLR 2024; Cuturi, "Sinkhorn distances", NeurIPS 2013, as used
for assignments by Caron et al. (SwAV, NeurIPS 2020).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .processes import exact, process_count, summed


class PrototypeHead(nn.Module):
    """Tokens (n, d) → cosines (n, k) in [-1, 1] of a narrow projection to k learned directions."""

    def __init__(self, inputs: int, hidden: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        nn.init.trunc_normal_(self.prototypes, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        projected = self.layers(tokens)
        with exact(projected.device):  # half precision would round cosines by a tenth of the temperature
            return F.linear(F.normalize(projected.float(), dim=1), F.normalize(self.prototypes.float(), dim=1))


def sinkhorn(cosines: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Assignments (n, k) of rows to prototypes, rows summing to 1, prototypes used alike over all processes."""
    count = len(cosines) * process_count()
    assigned = torch.exp((cosines.float() - 1) / temperature)  # at most 1, as a cosine is: nothing overflows
    for _ in range(iterations):
        assigned = assigned / (summed(assigned.sum(dim=0)) * cosines.shape[1] / count)
        assigned = assigned / assigned.sum(dim=1, keepdim=True)
    return assigned


class Centre(nn.Module):
    """Assignments by softmax of what is left when the running mean of the cosines is taken off."""

    mean: Tensor

    def __init__(self, prototypes: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(prototypes))

    def forward(self, cosines: Tensor, temperature: float) -> Tensor:
        """Assignments (n, k); the mean moves afterwards."""
        assigned = F.softmax((cosines.float() - self.mean) / temperature, dim=1)
        self.mean.lerp_(summed(cosines.float().mean(dim=0)) / process_count(), 1 - self.momentum)
        return assigned


class Distilled(nn.Module):
    """A student's head, the teacher's that follows it, and how the teacher's cosines become assignments.

    `centring` is `sinkhorn`, or `softmax` less a running mean.
    """

    def __init__(self, inputs: int, hidden: int, bottleneck: int, prototypes: int, centring: str) -> None:
        super().__init__()
        if centring not in ("sinkhorn", "softmax"):
            raise TypeError("centring is 'sinkhorn' or 'softmax'")
        self.student = PrototypeHead(inputs, hidden, bottleneck, prototypes)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.centre = Centre(prototypes) if centring == "softmax" else None

    def forward(self, tokens: Tensor) -> Tensor:
        """The student's cosines (n, k) of tokens (n, d)."""
        cosines: Tensor = self.student(tokens)
        return cosines

    @torch.no_grad()
    def told(self, tokens: Tensor, temperature: float) -> Tensor:
        """The teacher's assignments (n, k) of tokens (n, d)."""
        cosines = self.teacher(tokens)
        assigned: Tensor = sinkhorn(cosines, temperature) if self.centre is None else self.centre(cosines, temperature)
        return assigned


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, step: float) -> None:
    """Moves every weight of the teacher by a share `step` of its way to the student's."""
    for mine, leading in zip(teacher.parameters(), student.parameters(), strict=True):
        mine.lerp_(leading, step)


def disagreement(assigned: Tensor, cosines: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy (n,) of a student's cosines (n, k) under a teacher's assignments (n, k)."""
    return -(assigned * F.log_softmax(cosines.float() / temperature, dim=1)).sum(dim=1)


def class_loss(assigned: Tensor, cosines: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean disagreement of each student's view with each teacher's view that is another one.

    `assigned` (t, b, k) of t views by the teacher; `cosines` (s, b, k) of s ≥ t views by the student, of which
    the first t are the teacher's.
    """
    said = F.log_softmax(cosines.float() / temperature, dim=2)
    with exact(said.device):
        apart = -torch.einsum("tbk,sbk->ts", assigned, said) / assigned.shape[1]
    others = ~torch.eye(len(assigned), len(cosines), dtype=torch.bool, device=apart.device)
    return (apart * others).sum() / (len(assigned) * (len(cosines) - 1))
