"""What several processes that share a batch know of each other; in a single one nothing changes.

Each process computes the loss of the whole batch from gathered rows. The gradient that a row gets back is
then the sum over processes, and the mean over processes that the wrapper of accelerate takes of weights'
gradients makes it that of one process with the whole batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, distributed


def exact(device: torch.device) -> AbstractContextManager[None]:
    """Within it nothing runs in half precision: views and losses lose more by it than they gain."""
    return torch.autocast(device.type, enabled=False)


def process_count() -> int:
    """How many processes share a batch."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered(rows: Tensor) -> Tensor:
    """Rows (n, …) of every process in their order, (processes · n, …); gradients flow back to their owner."""
    if process_count() == 1:
        return rows
    return torch.cat([*_Gather.apply(rows)])


def summed(value: Tensor) -> Tensor:
    """The sum over processes, without a gradient."""
    if process_count() == 1:
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total


class _Gather(torch.autograd.Function):
    """All-gather whose backward pass sums, as every process uses every row in a loss of its own."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, rows: Tensor) -> tuple[Tensor, ...]:
        everyone = [torch.empty_like(rows) for _ in range(process_count())]
        distributed.all_gather(everyone, rows.contiguous())
        return tuple(everyone)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        total = torch.stack(gradients)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
