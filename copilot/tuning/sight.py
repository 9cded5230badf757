"""Visual tokens: a projector from the features of a frozen encoder, and its way into any language model.

As in LLaVA (Liu et al. 2023) a picture becomes embeddings that stand among those of the words. Here it becomes
few: its features are those of an encoder trained elsewhere, averaged over the picture's fields.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


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


def size_of_words(model: Any) -> float:
    """Root mean square of the embeddings of a language model's words."""
    weight = model.get_input_embeddings().weight
    return float(weight.detach().float().square().mean().sqrt()) if weight.is_floating_point() else 1.0


def give_sight(model: Any, projector: Projector) -> None:
    """Makes the projector a part of the model: it then takes `pictures` (n, d) and `places` (b, t) beside its tokens.

    The embeddings at the places become the visual tokens, in order. Works on any architecture of transformers,
    whole or quantised, with an adapter or without.
    """
    model.projector = projector
    held: list[tuple[Tensor, Tensor]] = []

    def take(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        pictures, places = kwargs.pop("pictures", None), kwargs.pop("places", None)
        held[:] = [] if pictures is None else [(pictures, places)]
        return args, kwargs

    def put(module: Any, args: tuple[Any, ...], embedded: Tensor) -> Tensor:
        if not held:
            return embedded
        pictures, places = held[0]
        visual = projector(pictures).to(embedded.dtype)  # (n, k, w)
        return embedded.masked_scatter(places[..., None], visual)

    model.register_forward_pre_hook(take, with_kwargs=True)
    model.get_input_embeddings().register_forward_hook(put)
