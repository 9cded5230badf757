"""The network a run begins from, with what is frozen."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from slides.errors import UsageError

from ..networks import build_network
from ..networks.efficientnet_lite0 import EfficientNetLite0, fold_batch_norms, load_state
from ..shipped import read_trained
from .recipe import Recipe


def starting_network(recipe: Recipe) -> nn.Module:
    """The encoder of the recipe, its starting weights in place, trainable but for its frozen blocks.

    A convolutional network's batch norms are folded into the convolutions: their statistics stay those of
    ImageNet, as small batches of similar tiles would spoil them, and a step takes half the time.

    Raises
    ------
    UsageError : no such network or start
    """
    torch.manual_seed(recipe.seed)
    if recipe.network == "efficientnet_lite0":
        return _lite0(recipe)
    if recipe.start == "imagenet":
        raise UsageError(f"there are no ImageNet weights of '{recipe.network}' here: start from random or a folder")
    network = build_network(recipe.network, **recipe.network_settings)
    return network if recipe.start == "random" else _started(network, recipe.start)


def dimension_of(network: nn.Module) -> int:
    """Length of the features of a network."""
    with torch.no_grad():
        features: torch.Tensor = network(torch.zeros(1, 3, 64, 64))
    return int(features.shape[1])


def _lite0(recipe: Recipe) -> nn.Module:
    network = EfficientNetLite0()
    if recipe.start == "imagenet":
        from ..catalog import IMAGENET, verified_weights

        load_state(network, torch.load(verified_weights(IMAGENET), weights_only=True))
    network = fold_batch_norms(network)
    if recipe.start not in ("imagenet", "random"):
        _started(network, recipe.start)
    for block in [network._conv_stem, *network._blocks[: recipe.frozen]] if recipe.frozen else []:
        for parameter in block.parameters():
            parameter.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _started(network: nn.Module, folder: str) -> nn.Module:
    arrays, _ = read_trained(Path(folder), "encoder")
    try:
        # The last layer is fitted anew when training ends.
        state = {name: torch.from_numpy(array).float() for name, array in arrays.items() if "_readout" not in name}
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(f"the weights in '{folder}' are of another network: name a folder of this one") from error
    return network
