"""Networks written out layer by layer, without the weights that fill them; each is built by its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slides.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

# name: (module of this package, class). Imported when built, so that a name costs no torch.
_NETWORKS = {
    "efficientnet_lite0": ("efficientnet_lite0", "EfficientNetLite0"),
    "vit": ("vit", "VisionTransformer"),
}


def network_names() -> tuple[str, ...]:
    """The names that `build_network` knows."""
    return tuple(_NETWORKS)


def build_network(name: str, **settings: Any) -> nn.Module:
    """The network of this name with random weights, in training mode: images (n, 3, h, w) → features (n, d).

    Raises
    ------
    UsageError : no such network
    TypeError, ValueError : a setting the network does not have, or cannot take
    """
    if name not in _NETWORKS:
        raise UsageError(f"no network '{name}': use {' or '.join(_NETWORKS)}")
    module, kind = _NETWORKS[name]
    network: nn.Module = getattr(import_module(f"{__name__}.{module}"), kind)(**settings)
    return network


def compile_parts(module: nn.Module, backend: str = "inductor") -> None:
    """Compiles the networks within a module in place, a transformer block by block, as all its blocks are one code."""
    from .efficientnet_lite0 import EfficientNetLite0
    from .vit import Block

    for part in module.modules():
        if isinstance(part, EfficientNetLite0 | Block):
            part.compile(backend=backend)


def for_inference(network: nn.Module) -> nn.Module:
    """The same function in evaluation, in the form that is quickest on a CPU; changes the network given."""
    import torch

    from .efficientnet_lite0 import EfficientNetLite0, fold_batch_norms

    network.eval()
    if isinstance(network, EfficientNetLite0):
        network = fold_batch_norms(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
