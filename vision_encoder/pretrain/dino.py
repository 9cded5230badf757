"""Self-distillation with prototypes and masked patches: the recipe of the published pathology encoders, small.

A teacher, the running mean of the student, sees two large squares of a tile; the student sees these with some
patches hidden, and some small squares. It learns to assign the tile's squares to prototypes as the teacher
does (DINO: Caron et al., ICCV 2021), and the hidden patches too (iBOT: Zhou et al., ICLR 2022), in the form of
DINOv2 (Oquab et al., TMLR 2024) with the spread term of Virchow2 (Zimmermann et al., 2024).
"""

from __future__ import annotations

import copy
import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.vit import VisionTransformer
from .draws import Draws
from .objective import Batch, Losses, Objective, unmasked
from .processes import exact, gathered
from .prototypes import Distilled, class_loss, disagreement, follow
from .spread import kernel_density, koleo
from .views import ViewSettings, make_views, normalised

LARGE: dict[str, Any] = {"side": 224, "crop": (0.32, 1.0)}
SMALL: dict[str, Any] = {"side": 96, "crop": (0.05, 0.32)}
"""DINOv2's squares: px, and share of the tile's area."""
_SPREAD = {"kde": kernel_density, "koleo": koleo}


class SelfDistillation(Objective):
    """DINO on class tokens and iBOT on hidden patches, with a teacher that follows the student.

    Parameters
    ----------
    large, small : settings of the two large and the `smalls` small views
    prototypes, hidden, bottleneck : sizes of the heads; one head for the class token, one for patches
    patches : weight of iBOT's loss; 0 for networks without patch tokens
    masked : range of the share of patches hidden, in one of a tile's two large views
    spread, spread_by : weight of the spread term, `kde` or `koleo`, on the student's class tokens
    centring : how a teacher's cosines become assignments, `sinkhorn` or `softmax`
    momentum : of the teacher at the start; 1 at the end, along a cosine
    temperature : of the teacher at the start, and after a linear rise over `temperature_warm_up` of the run
    student_temperature : of the student
    frozen : share of the run in which the prototypes do not move
    """

    def __init__(
        self,
        network: nn.Module,
        dimension: int,
        classes: tuple[int, ...],
        *,
        name: str,
        large: dict[str, Any] | None = None,
        small: dict[str, Any] | None = None,
        smalls: int = 4,
        prototypes: int = 8192,
        hidden: int = 2048,
        bottleneck: int = 256,
        patches: float = 1.0,
        masked: tuple[float, float] = (0.1, 0.5),
        spread: float = 0.05,
        spread_by: str = "kde",
        centring: str = "sinkhorn",
        momentum: float = 0.996,
        temperature: tuple[float, float] = (0.04, 0.06),
        temperature_warm_up: float = 0.3,
        student_temperature: float = 0.1,
        frozen: float = 0.02,
    ) -> None:
        super().__init__()
        if spread_by not in _SPREAD:
            raise TypeError(f"spread_by is one of {', '.join(_SPREAD)}")
        self._large, self._small = ViewSettings(**LARGE | (large or {})), ViewSettings(**SMALL | (small or {}))
        self._smalls, self._patches, self._masked = smalls, patches, masked
        self._spread, self._spread_name, self._spread_by = spread, spread_by, _SPREAD[spread_by]
        self._momentum, self._temperature, self._warm_up = momentum, temperature, temperature_warm_up
        self._student_temperature, self._frozen = student_temperature, frozen
        self.side = self._large.side
        self.network = network if patches else unmasked(network)
        self._grid = self._patches_across() if patches else 0
        self.teacher = copy.deepcopy(self.network).requires_grad_(False)
        self.classes = Distilled(dimension, hidden, bottleneck, prototypes, centring)
        self.places = Distilled(dimension, hidden, bottleneck, prototypes, centring) if patches else None
        self.train()

    def train(self, mode: bool = True) -> SelfDistillation:
        """As any module's; the teacher never drops a path."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: Batch) -> Losses:
        """Loss, and its parts `class`, `patch` and the spread term by its name, unweighted."""
        with exact(batch.tiles.device):
            large = normalised(torch.cat([make_views(batch.tiles, self._large, batch.draws) for _ in range(2)]))
            small = [make_views(batch.tiles, self._small, batch.draws) for _ in range(self._smalls)]
        masks = self._masks(batch.draws, len(batch.tiles)) if self._patches else None
        heat = self._heat(batch.share)
        with torch.no_grad():
            token, patches = self._tokens(self.teacher, large, None)
        seen, seen_patches = self._tokens(self.network, large, masks)
        tokens = [seen, self.network(normalised(torch.cat(small)))] if small else [seen]
        cosines = self.classes(torch.cat(tokens)).unflatten(0, (2 + self._smalls, -1))
        told = self.classes.told(token, heat).unflatten(0, (2, -1))
        parts = {"class": class_loss(told, cosines, self._student_temperature)}
        loss = parts["class"]
        if masks is not None:
            parts["patch"] = self._of_hidden(masks, patches, seen_patches, heat)
            loss = loss + self._patches * parts["patch"]
        if self._spread:
            with exact(seen.device):
                first, second = (self._spread_by(gathered(view)) for view in seen.float().chunk(2))
            parts[self._spread_name] = first + second
            loss = loss + self._spread * parts[self._spread_name]
        return {"loss": loss, **parts}

    def before_step(self, share: float) -> None:
        for heads in (self.classes, self.places):
            if heads is not None and share < self._frozen:
                heads.student.prototypes.grad = None

    def after_step(self, share: float) -> None:
        step = (1 - self._momentum) * 0.5 * (1 + math.cos(math.pi * share))
        follow(self.teacher, self.network, step)
        for heads in (self.classes, self.places):
            if heads is not None:
                follow(heads.teacher, heads.student, step)

    def shipped(self) -> nn.Module:
        return self.teacher

    def _of_hidden(self, masks: Tensor, patches: Tensor, seen: Tensor, heat: float) -> Tensor:
        """Mean over images of the mean disagreement on their hidden patches; images without any give 0."""
        assert self.places is not None
        rows = masks.flatten().nonzero()[:, 0].to(patches.device)  # drawn on the CPU: no wait for the device
        counts = masks.sum(dim=1)
        weight = (1 / counts.clamp(min=1)).repeat_interleave(counts).to(patches.device)
        told = self.places.told(patches.flatten(0, 1)[rows], heat)
        apart = disagreement(told, self.places(seen.flatten(0, 1)[rows]), self._student_temperature)
        return (apart * weight).sum() / len(masks)

    def _tokens(self, network: nn.Module, planes: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Class tokens (n, d) and patch tokens (n, p, d), none of the latter where they are not used."""
        if not self._patches:
            token: Tensor = network(planes)
            return token, token[:, None][:, :0]
        masks = None if masks is None else masks.to(planes.device)
        return cast(VisionTransformer, network).forward_tokens(planes, masks)

    def _patches_across(self) -> int:
        patch = getattr(self.network, "patch", None)
        if not isinstance(patch, int) or not hasattr(self.network, "forward_tokens"):
            raise TypeError("the network has no patch tokens: take 'vit', or patches = 0")
        if self._large.side % patch or self._small.side % patch:
            raise TypeError(f"the sides of the views have to be multiples of the network's patch of {patch} px")
        return self._large.side // patch

    def _heat(self, share: float) -> float:
        low, high = self._temperature
        return low + (high - low) * min(1.0, share / self._warm_up if self._warm_up else 1.0)

    def _masks(self, draws: Draws, count: int) -> Tensor:
        """bool (2 · count, patches) on the CPU: of each tile, one of its two large views has patches hidden.

        How many is even over the batch's rows, so that every step hides as many; which ones are blots, as
        single patches could be read off their neighbours.
        """
        grid = self._grid
        rows = torch.arange(count) if draws.rows is None else draws.rows
        low, high = self._masked
        share = low + (high - low) * rows / max(draws.count - 1, 1)
        many = (share * grid**2).round().clamp(min=1)
        noise = draws.uniform(grid, grid)
        smooth = F.avg_pool2d(noise[:, None], 3, stride=1, padding=1, count_include_pad=False)[:, 0]
        order = smooth.flatten(1).argsort(dim=1).argsort(dim=1)
        hidden = order < many[:, None]
        first = (draws.uniform() < 0.5)[:, None]
        return torch.cat([hidden & first, hidden & ~first])
