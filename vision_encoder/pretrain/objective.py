"""What an objective is, and the table of them by the name that a recipe uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slides.errors import UsageError

from .draws import Draws
from .processes import gathered, process_count

Losses = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees.

    `tiles` uint8 (b, s, s, 3); tiles 2i and 2i + 1 are of one slide for the first `pairs` pairs; `task` and
    `label` int64 (b,), -1 where there is none; `draws` gives every random number of the step; `share`
    in [0, 1] is how far the run is. With several processes these are the rows of this one.
    """

    tiles: Tensor
    pairs: int
    task: Tensor
    label: Tensor
    draws: Draws
    share: float

    def whole(self, rows: Tensor) -> Tensor:
        """Rows (b, …) of this process → of the whole batch (processes · b, …), pairs first, with gradients."""
        if process_count() == 1:
            return rows
        paired, single = rows[: 2 * self.pairs], rows[2 * self.pairs :]
        return torch.cat([gathered(paired), gathered(single)])


class Objective(nn.Module):
    """A loss over a batch of tiles, with whatever networks it needs beside the encoder.

    Attributes
    ----------
    network : the encoder being trained; maps (n, 3, h, w) to features (n, d)
    side : px of its views
    """

    network: nn.Module
    side: int

    def forward(self, batch: Batch) -> Losses:
        """The loss under `loss`, and its parts by name, all scalars."""
        raise NotImplementedError

    def before_step(self, share: float) -> None:
        """Called once the gradients are there: what shall not move yet loses its own here."""

    def after_step(self, share: float) -> None:
        """Called once the optimiser has moved: a teacher follows here."""

    def shipped(self) -> nn.Module:
        """The network whose weights are kept: the teacher where there is one."""
        return self.network

    def card(self) -> dict[str, Any]:
        """What the encoder's card says of this objective beside its name."""
        return {}


def unmasked(network: nn.Module) -> nn.Module:
    """The network with its mask token at rest, for objectives that hide no patch: nothing would train it."""
    if isinstance(token := getattr(network, "mask_token", None), nn.Parameter):
        token.requires_grad_(False)
    return network


def build_objective(
    network: nn.Module, dimension: int, classes: tuple[int, ...], settings: Mapping[str, Any]
) -> Objective:
    """The objective that `settings["name"]` names, with the rest of the settings.

    Raises
    ------
    UsageError : no such objective, or a setting it does not have
    """
    from .dino import SelfDistillation
    from .distil import Distillation
    from .joint import JointEmbedding

    builders: dict[str, Callable[..., Objective]] = {
        "vicreg": JointEmbedding,
        "sigreg": JointEmbedding,
        "dino": SelfDistillation,
        "distil": Distillation,
    }
    name = settings.get("name")
    if name not in builders:
        raise UsageError(f"no objective '{name}': a recipe names one of {', '.join(builders)}")
    try:
        return builders[name](network, dimension, classes, **settings)
    except TypeError as error:
        raise UsageError(f"objective '{name}': {error}") from error
