"""Where tokens hang in a cache that holds a tree: one trunk, and branches that see their ancestors only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Branches:
    """Parents of the tokens in a cache.

    Attributes
    ----------
    length : tokens in the cache
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._trunk = 0  # the first tokens of the cache form one chain

    @property
    def length(self) -> int:
        return len(self._parents)

    def grow(self, parents: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Takes n more tokens in; depth of each (n), and which places each sees, bool (n, length + n).

        The mask is None for one token that continues the trunk: it sees all.
        """
        import torch

        start, count = self.length, len(parents)
        self._parents.extend(parents)
        if self._trunk == start and list(parents) == list(range(start - 1, start + count - 1)):
            self._trunk += count
            mask = None if count == 1 else torch.ones(count, start + count, dtype=torch.bool).tril(start)
            return torch.arange(start, start + count), mask
        mask = torch.zeros(count, start + count, dtype=torch.bool)
        depths = []
        for row in range(count):
            place, branch = start + row, []
            while place >= self._trunk:
                branch.append(place)
                place = self._parents[place]
            mask[row, : place + 1] = True
            mask[row, branch] = True
            depths.append(place + len(branch))
        return torch.tensor(depths), mask

    def keep(self, length: int) -> None:
        """The first `length` tokens are one chain, and all that there is."""
        self._trunk = length
        self._parents = list(range(-1, length - 1))
