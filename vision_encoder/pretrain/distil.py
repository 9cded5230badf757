"""Distillation: a small student learns to give the features of any encoder that can be named.

Both see the same view of a tile. The student's features go through a linear map onto the teacher's,
standardised coordinate by coordinate, so that few strong ones do not drown the others: 1 - cosine plus mean
squared error, as the distilled pathology encoders are made (Filiot et al., "Distilling foundation models for
robust and efficient models in digital pathology", 2025). The map is left behind when training ends.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slides.errors import UsageError

from ..catalog import load_encoder
from ..on_planes import OnPlanes
from .objective import Batch, Losses, Objective, unmasked
from .processes import exact, gathered
from .views import ViewSettings, make_views, normalised

LONGEST_MEMORY = 100
"""Batches over which mean and variance of the teacher's features are averaged."""


class Distillation(Objective):
    """1 - cosine plus `squared` times the squared error, to a teacher that does not learn.

    Parameters
    ----------
    teacher : what `load_encoder` takes: a folder, `embedded`, `timm:…`, `open_clip:…`, `hf-hub:…`
    squared : weight of the squared error
    view : settings of the views
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(
        self,
        network: nn.Module,
        dimension: int,
        classes: tuple[int, ...],
        *,
        name: str,
        teacher: str,
        squared: float = 1.0,
        view: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the student's start is the same whether the teacher was loaded before
            encoder = load_encoder(teacher)
        self.network = unmasked(network)
        self._squared, self._view = squared, ViewSettings(**(view or {}))
        self.side = self._view.side
        # Within a tuple, as its weights are neither trained nor kept in a checkpoint.
        self._teacher = (cast(OnPlanes, encoder.on_planes()),)  # type: ignore[attr-defined]
        self._named, self._sha256 = encoder.name, encoder.sha256
        self.map = nn.Linear(dimension, encoder.dimension)
        self.register_buffer("mean", torch.zeros(encoder.dimension))
        self.register_buffer("variance", torch.zeros(encoder.dimension))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, batch: Batch) -> Losses:
        """Loss, its parts `angle` (1 - cosine) and `squared` unweighted, and `nearest`.

        `nearest` is no part: how often a tile's nearest other in the batch is the same to both.
        """
        with exact(batch.tiles.device):
            views = make_views(batch.tiles, self._view, batch.draws)
        told = self._told(views)
        said = self.map(self.network(normalised(views)))
        with exact(said.device):
            said = said.float()
            parts = {"angle": 1 - F.cosine_similarity(said, told).mean(), "squared": F.mse_loss(said, told)}
            same = _nearest(said.detach()) == _nearest(told)
        loss = parts["angle"] + self._squared * parts["squared"]
        return {"loss": loss, **parts, "nearest": same.float().mean()}

    def card(self) -> dict[str, Any]:
        """The teacher, and that its terms count."""
        known = {"teacher": self._named, "teacher_sha256": self._sha256}
        if self._named in ("embedded", "imagenet"):
            return known
        return known | {"licence": f"as the terms of the teacher '{self._named}' allow"}

    def get_extra_state(self) -> Tensor:
        """The teacher's hash, so that a run goes on with the same one."""
        return torch.tensor(list(bytes.fromhex(self._sha256)), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        if not torch.equal(state.cpu(), self.get_extra_state()):
            raise UsageError(f"the teacher '{self._named}' is not that of the checkpoint: give it, or another --out")

    @torch.no_grad()
    def _told(self, views: Tensor) -> Tensor:
        """The teacher's features (n, d), standardised by the mean and variance of recent batches."""
        told = self._teacher[0].to(views.device)(views)
        everyone = gathered(told)
        self.batches += 1
        share = torch.clamp(1 / self.batches, min=1 / LONGEST_MEMORY)
        self.mean.lerp_(everyone.mean(dim=0), share)
        self.variance.lerp_(((everyone - self.mean) ** 2).mean(dim=0), share)
        # A coordinate that hardly varies is not blown up to noise.
        standard: Tensor = (told - self.mean) / torch.sqrt(self.variance + 1e-4 * self.variance.mean() + 1e-12)
        return standard


def _nearest(features: Tensor) -> Tensor:
    """Position (n,) of each row's nearest other by cosine."""
    unit = F.normalize(features, dim=1)
    return (unit @ unit.T).fill_diagonal_(-2).argmax(dim=1)
