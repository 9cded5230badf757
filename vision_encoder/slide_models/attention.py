"""Gated attention over the tiles of a bag.

Source: Ilse, Tomczak & Welling, "Attention-based deep multiple instance learning", ICML 2018, equations 8 and 9.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedAttention(nn.Module):
    """Scores of tiles, one column a question asked of them: w · (tanh(V h) ⊙ σ(U h)).

    Parameters
    ----------
    width : length of a hidden tile h
    hidden : rows of V and U
    columns : how many attention distributions share V and U
    """

    def __init__(self, width: int, hidden: int, columns: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, columns)

    def forward(self, tiles: Tensor) -> Tensor:
        """Unnormalised scores (b, n, columns) of hidden tiles (b, n, width); each tile's stand by themselves."""
        gated = torch.tanh(self.content(tiles)) * torch.sigmoid(self.gate(tiles))  # (b, n, hidden)
        scores: Tensor = self.score(gated)
        return scores


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Attention (b, n, columns) that sums to 1 over the tiles of `mask` (b, n) and is 0 elsewhere.

    A bag must hold at least one tile.
    """
    return torch.softmax(scores.masked_fill(~mask[..., None], float("-inf")), dim=1)


def attend(attention: Tensor, tiles: Tensor) -> Tensor:
    """Pooled vectors (b, columns, width): tiles (b, n, width) weighed by attention (b, n, columns)."""
    return torch.einsum("bnc,bnw->bcw", attention, tiles)
