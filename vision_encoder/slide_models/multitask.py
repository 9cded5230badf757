"""One attention network for several questions about a slide; CLAM, TOAD and CRANE are settings of it.

Sources: Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide images", Nat Biomed
Eng 2021 (CLAM: class branches, instance clustering); Lu et al., "AI-based pathology predicts origins for cancers of
unknown primary", Nature 2021 (TOAD: one trunk, an attention column a task, sex beside the pooled vector); Lipkova
et al., "Deep learning-enabled assessment of cardiac allograft rejection from endomyocardial biopsies", Nat Med 2022
(CRANE: several findings at once, grade told from the positives by a network of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import GatedAttention, attend, masked_softmax

UNKNOWN = -1
"""A label or a sex that is not known."""
SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Task:
    """One question with exclusive answers.

    `weight` is its share of the loss. `branches` gives every class its own attention (CLAM's multi-branch form);
    else one attention serves all. `trunk` names the layers it shares with the tasks of the same name. `among`, where
    given, is (task, class): only bags of that class teach this task, as a grade is learned from positives.
    """

    name: str
    classes: tuple[str, ...]
    weight: float = 1.0
    branches: bool = False
    trunk: str = SHARED
    among: tuple[str, str] | None = None

    @property
    def columns(self) -> int:
        """How many attention distributions it has."""
        return len(self.classes) if self.branches else 1


@dataclass(frozen=True, slots=True)
class Shape:
    """All that makes a network: two of one shape hold the same weights.

    `dimension` is the length of a feature, `width` of a hidden tile, `hidden` of the attention. `clusters` is the
    share of the instance loss in the whole, 0 for none; `sample` the most tiles it takes from an end of the order by
    attention; `exclusive` lets it teach the other classes that the tiles most attended are none of theirs. `sex` puts
    the patient's sex, and whether it is known, beside every pooled vector.
    """

    dimension: int
    tasks: tuple[Task, ...]
    width: int = 64
    hidden: int = 64
    feature_dropout: float = 0.25
    dropout: float = 0.25
    clusters: float = 0.0
    sample: int = 8
    exclusive: bool = True
    sex: bool = False

    @property
    def covariates(self) -> int:
        """How many numbers stand beside a pooled vector."""
        return 2 if self.sex else 0


@dataclass(frozen=True)
class Reading:
    """What one task gives for b bags: `logits` (b, k), `scores` and `attention` (b, n, columns), and the tiles
    `hidden` (b, n, width) that it read."""

    logits: Tensor
    scores: Tensor
    attention: Tensor
    hidden: Tensor


class MultiTaskMIL(nn.Module):
    """Trunk, gated attention and a linear head a task.

    The head is linear, so a bag's logits are the mean of the logits of its tiles, each as a bag of its own, weighed
    by attention: `tile_logits` is exact about what made the decision, attention by itself is not.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.feature_dropout = nn.Dropout(shape.feature_dropout)
        self.trunks = nn.ModuleDict()
        self.attention = nn.ModuleDict()
        for name in dict.fromkeys(task.trunk for task in shape.tasks):
            columns = sum(task.columns for task in shape.tasks if task.trunk == name)
            self.trunks[_key(name)] = nn.Sequential(
                nn.Linear(shape.dimension, shape.width), nn.ReLU(), nn.Dropout(shape.dropout)
            )
            self.attention[_key(name)] = GatedAttention(shape.width, shape.hidden, columns)
        inputs = shape.width + shape.covariates
        self.heads = nn.ModuleDict({_key(task.name): nn.Linear(inputs, len(task.classes)) for task in shape.tasks})
        if shape.clusters > 0:
            # one two-way linear a class: is this tile of the class, or not
            self.clusters = nn.ModuleDict(
                {_key(task.name): nn.Linear(shape.width, 2 * len(task.classes)) for task in shape.tasks}
            )

    def forward(self, features: Tensor, mask: Tensor, sex: Tensor | None = None) -> Mapping[str, Reading]:
        """What each task says of b bags.

        Parameters
        ----------
        features : (b, n, dimension), padded to the longest bag
        mask : bool (b, n), True where there is a tile; one at least a bag
        sex : (b,) 0, 1 or `UNKNOWN`; None where unknown of all
        """
        names = dict.fromkeys(task.trunk for task in self.shape.tasks)
        hidden = {name: self.trunks[_key(name)](self.feature_dropout(features)) for name in names}
        scores = {name: self.attention[_key(name)](tiles) for name, tiles in hidden.items()}
        beside = self._beside(sex, features)
        readings, taken = {}, dict.fromkeys(hidden, 0)
        for task in self.shape.tasks:
            start = taken[task.trunk]
            taken[task.trunk] = start + task.columns
            own = scores[task.trunk][..., start : start + task.columns]
            attention = masked_softmax(own, mask)
            pooled = attend(attention, hidden[task.trunk])  # (b, columns, width)
            readings[task.name] = Reading(self._logits(task, pooled, beside), own, attention, hidden[task.trunk])
        return readings

    def tells_tiles(self, name: str, hidden: Tensor) -> Tensor:
        """CLAM's clusters: logits (n, k, 2) of whether hidden tiles (n, width) are of each class of the task."""
        told: Tensor = self.clusters[_key(name)](hidden)
        pairs: Tensor = told.unflatten(-1, (-1, 2))
        return pairs

    def tile_logits(self, features: Tensor, sex: int = UNKNOWN) -> Mapping[str, Tensor]:
        """Logits (n, k) by task of n tiles (n, dimension), each as a bag of one tile."""
        alone = torch.ones(len(features), 1, dtype=torch.bool)
        readings = self(features[:, None], alone, torch.full((len(features),), sex))
        return {name: reading.logits for name, reading in readings.items()}

    def _beside(self, sex: Tensor | None, features: Tensor) -> Tensor:
        """The covariates (b, 0 or 2): sex, 0 where unknown, and whether it is unknown."""
        if not self.shape.sex:
            return features.new_empty(len(features), 0)
        told = torch.full((len(features),), UNKNOWN) if sex is None else sex
        unknown = told == UNKNOWN
        return torch.stack([told.masked_fill(unknown, 0), unknown], dim=1).to(features.dtype)

    def _logits(self, task: Task, pooled: Tensor, beside: Tensor) -> Tensor:
        head = self.heads[_key(task.name)]
        rows = torch.cat([pooled, beside[:, None].expand(-1, pooled.shape[1], -1)], dim=-1)
        logits: Tensor = head(rows)  # (b, columns, k)
        return logits.diagonal(dim1=1, dim2=2) if task.branches else logits[:, 0]


def _key(name: str) -> str:
    """A name that torch takes for a part, whatever the task is called."""
    return "of " + name.replace(".", "·")
