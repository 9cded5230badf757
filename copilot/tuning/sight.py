"""The way of visual tokens into any language model of transformers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..language.projector import Projector


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
