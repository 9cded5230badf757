"""Visual tokens: a small network from the features of a frozen vision encoder to embeddings among those of words.

As in LLaVA (Liu et al. 2023), but few: the features are those of an encoder trained elsewhere, averaged over the
fields of a picture.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from slides.errors import SetupError


class Projector(nn.Module):
    """Features (n, d) to visual tokens (n, k, w), of the size that the embeddings of words have."""

    def __init__(self, features: int, hidden: int, tokens: int, width: int, size: float = 1.0) -> None:
        super().__init__()
        self.tokens, self.width = tokens, width
        self.even = nn.LayerNorm(features, elementwise_affine=False)
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, tokens * width)
        self.register_buffer("size", torch.tensor(size))

    def forward(self, features: Tensor) -> Tensor:
        """(n, d) → (n, k, w)"""
        hidden = nn.functional.gelu(self.first(self.even(features)))  # (n, h)
        visual: Tensor = self.second(hidden) * self.size  # (n, k·w)
        return visual.view(-1, self.tokens, self.width)


def load_projector(file: Path, tokens: int) -> Projector:
    """The projector of a safetensors file, float32, for `tokens` a picture; raises `SetupError` when it is no such."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = {name: value.float() for name, value in load_file(file).items()}
        (hidden, features), (wide, _) = weights["first.weight"].shape, weights["second.weight"].shape
        projector = Projector(features, hidden, tokens, wide // tokens)
        projector.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise SetupError("the projector does not fit its card: write it again with `pathcopilot tune`") from error
    return projector.eval()
