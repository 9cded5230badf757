"""Random numbers of a step: drawn on the CPU for the whole batch, of which a process uses its own rows.

So one seed gives one batch of views, on every device and however many processes share the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Draws:
    """Random numbers for the rows of a batch.

    Attributes
    ----------
    generator : stands at the same place in every process after each call
    count : rows of the whole batch
    rows : int64 (b,) the rows that this process holds; None for all
    """

    generator: torch.Generator
    count: int
    rows: Tensor | None = None

    def uniform(self, *shape: int) -> Tensor:
        """float32 (b, *shape) in [0, 1)."""
        return self._own(torch.rand(self.count, *shape, generator=self.generator))

    def integers(self, below: int) -> Tensor:
        """int64 (b,) in [0, below)."""
        return self._own(torch.randint(below, (self.count,), generator=self.generator))

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn if self.rows is None else drawn[self.rows]
