"""Joint embedding without a teacher: two views of a tile agree, and the embeddings stay spread out."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .criteria import sigreg, vicreg
from .objective import Batch, Losses, Objective, unmasked
from .pool import NO_LABEL
from .processes import exact, process_count
from .views import ViewSettings, make_views, normalised


class JointEmbedding(Objective):
    """VICReg or SIGReg on two views, with two optional terms on the same embeddings.

    With several processes the features are gathered first, and projectors and criteria see the whole batch:
    the loss and its gradients are those of one process with all of it.

    Parameters
    ----------
    name : `vicreg` or `sigreg`
    projector : widths of the projector's layers, the last without norm or activation
    slide : weight of the same criterion, through its own projector, between two tiles of one slide: what a
        slide's tiles share is its organ, its process and its stain
    labels : weight of cross-entropy on the labelled tiles of the batch, one linear layer a task
    smoothing : of those labels
    view : settings of the views
    """

    def __init__(
        self,
        network: nn.Module,
        dimension: int,
        classes: tuple[int, ...],
        *,
        name: str,
        projector: tuple[int, ...] = (1024, 256),
        slide: float = 0.0,
        labels: float = 0.0,
        smoothing: float = 0.1,
        view: dict[str, Any] | None = None,
        **criterion: float,
    ) -> None:
        super().__init__()
        self.network = unmasked(network)
        self._name, self._criterion = name, criterion
        signature(vicreg if name == "vicreg" else sigreg).bind_partial(**criterion)  # a wrong setting is told now
        self._slide, self._labels, self._smoothing = slide, labels, smoothing
        self._view = ViewSettings(**(view or {}))
        self.side = self._view.side
        self.projector = _projector(dimension, tuple(projector))
        self.slide_projector = _projector(dimension, tuple(projector)) if slide else nn.Identity()
        self.classifiers = nn.ModuleList(nn.Linear(dimension, count) for count in (classes if labels else ()))
        self._scale = nn.BatchNorm1d(dimension, affine=False) if labels else nn.Identity()

    def forward(self, batch: Batch) -> Losses:
        """Loss, and its parts `tile`, `slide` and `labels` unweighted."""
        with exact(batch.tiles.device):
            planes = normalised(torch.cat([make_views(batch.tiles, self._view, batch.draws) for _ in range(2)]))
        first, second = (batch.whole(features) for features in self.network(planes).chunk(2))
        parts = {"tile": self._compare(self.projector(torch.cat([first, second])), batch)}
        loss = parts["tile"]
        if self._slide:
            end = 2 * batch.pairs * process_count()
            neighbours = torch.cat([first[0:end:2], second[1:end:2]])
            parts["slide"] = self._compare(self.slide_projector(neighbours), batch)
            loss = loss + self._slide * parts["slide"]
        if self._labels:
            task, label = batch.whole(batch.task), batch.whole(batch.label)
            parts["labels"] = self._named(torch.cat([first, second]), task.repeat(2), label.repeat(2))
            loss = loss + self._labels * parts["labels"]
        return {"loss": loss, **parts}

    def _compare(self, embeddings: Tensor, batch: Batch) -> Tensor:
        with exact(embeddings.device):
            first, second = embeddings.float().chunk(2)
            if self._name == "vicreg":
                return vicreg(first, second, **self._criterion)
            return sigreg(first, second, batch.draws.generator, **self._criterion)  # type: ignore[arg-type]

    def _named(self, features: Tensor, task: Tensor, label: Tensor) -> Tensor:
        """Mean over the labelled rows of the cross-entropy of their own task's classifier."""
        features = self._scale(features)
        total = features.new_zeros(())
        for number, classifier in enumerate(self.classifiers):
            rows = task == number
            logits = classifier(features[rows])
            total = total + F.cross_entropy(logits, label[rows], reduction="sum", label_smoothing=self._smoothing)
        count = (task != NO_LABEL).sum().clamp(min=1)
        return total / count


def _projector(inputs: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths[:-1]:
        layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, widths[-1]))
