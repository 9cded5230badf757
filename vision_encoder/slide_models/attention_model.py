"""A fitted attention model: networks of several seeds that read a bag together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .bag import Bag, BagSet, Matrix
from .losses import training_loss
from .multitask import UNKNOWN, MultiTaskMIL, Shape
from .pooling import Row
from .recipe import Training

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Start:
    """Weights to begin from, and how features were centred and scaled (d,) for them."""

    state: State
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]


@dataclass(frozen=True)
class AttentionModel:
    """Networks of one shape whose logits and attention are averaged; features are centred and scaled (d,) first."""

    kind: str
    shape: Shape
    networks: tuple[MultiTaskMIL, ...]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Classes by task."""
        return {task.name: task.classes for task in self.shape.tasks}

    def logits(self, bag: Bag) -> dict[str, Row]:
        """Logits (k,) by task."""
        return {task: found[0] for task, (found, _, _) in self._read(bag).items()}

    def tile_logits(self, bag: Bag) -> dict[str, Matrix]:
        """Logits (n, k) by task of each tile as a bag of its own."""
        with torch.inference_mode():
            read = [network.tile_logits(self._tensor(bag)[0], bag.sex) for network in self.networks]
        return {task: _mean([one[task] for one in read]) for task in self.classes}

    def attention(self, bag: Bag) -> dict[str, Row]:
        """Attention (n,) by task, sum 1; the mean over classes where each has its own."""
        return {task: attention for task, (_, attention, _) in self._read(bag).items()}

    def scores(self, bag: Bag) -> dict[str, Row]:
        """Attention before it is normalised (n,): a tile's does not depend on its neighbours'."""
        return {task: scores for task, (_, _, scores) in self._read(bag).items()}

    def _read(self, bag: Bag) -> dict[str, tuple[Matrix, Row, Row]]:
        features = self._tensor(bag)
        mask = torch.ones(1, features.shape[1], dtype=torch.bool)
        with torch.inference_mode():
            read = [network(features, mask, torch.tensor([bag.sex])) for network in self.networks]
        return {
            task: (
                _mean([one[task].logits for one in read]),
                _mean([one[task].attention[0].mean(dim=1) for one in read]),
                _mean([one[task].scores[0].mean(dim=1) for one in read]),
            )
            for task in self.classes
        }

    def _tensor(self, bag: Bag) -> torch.Tensor:
        return torch.from_numpy((bag.features - self.centre) / self.scale)[None]


def fit_attention(
    kind: str,
    shape: Shape,
    bags: BagSet,
    training: Training,
    seeds: Sequence[int],
    start: Start | None = None,
) -> AttentionModel:
    """Networks of each seed, trained on the bags.

    Parameters
    ----------
    start : weights to begin from; those of another shape are left as they were drawn
    """
    if start is None:
        tiles = np.concatenate([bag.features for bag in bags.bags])
        centre, deviation = tiles.mean(axis=0), tiles.std(axis=0)
        scale = (deviation + 1e-3 * deviation.mean() + 1e-6).astype(np.float32)
    else:
        centre, scale = start.centre, start.scale
    rows = [torch.from_numpy((bag.features - centre) / scale) for bag in bags.bags]
    networks = tuple(_trained(shape, bags, rows, training, seed, start.state if start else None) for seed in seeds)
    return AttentionModel(kind, shape, networks, centre, scale)


def _trained(
    shape: Shape, bags: BagSet, rows: list[torch.Tensor], training: Training, seed: int, start: State | None
) -> MultiTaskMIL:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        draw = np.random.default_rng(seed)
        network = MultiTaskMIL(shape)
        if start:
            own = network.state_dict()
            fitting = {name: value for name, value in start.items() if name in own and own[name].shape == value.shape}
            network.load_state_dict({**own, **fitting})
        optimiser = torch.optim.AdamW(network.parameters(), lr=training.rate, weight_decay=training.decay)
        steps = training.epochs * max(1, round(len(rows) / training.batch))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        chances, taught = _chances(bags), _taught(shape, bags)
        network.train()
        for _ in range(steps):
            chosen = draw.choice(len(rows), training.batch, p=chances)
            features, mask = _batch([rows[index] for index in chosen], training.tiles, draw)
            labels = {task: torch.from_numpy(numbers[chosen]) for task, numbers in taught.items()}
            sex = torch.tensor(
                [UNKNOWN if draw.random() < training.sex_dropout else bags.bags[index].sex for index in chosen]
            )
            loss = training_loss(network, network(features, mask, sex), mask, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval().requires_grad_(False)


def _batch(rows: Sequence[torch.Tensor], most: int, draw: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """At most `most` random tiles of each bag, and half of a bag at least: padded features and their mask."""
    drawn = [row[np.sort(draw.permutation(len(row))[: _kept(len(row), most, draw)])] for row in rows]
    features = torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True)
    counts = torch.tensor([len(row) for row in drawn])
    return features, torch.arange(features.shape[1])[None] < counts[:, None]


def _kept(tiles: int, most: int, draw: np.random.Generator) -> int:
    """How many tiles of a bag a step sees: a random number from half of it to all, `most` at most."""
    return min(most, int(draw.integers((tiles + 1) // 2, tiles + 1)))


def _chances(bags: BagSet) -> NDArray[np.float64]:
    """How often each bag (s,) is drawn: the classes of the first task alike, as CLAM draws them."""
    first = next(iter(bags.labels.values())) + 1
    chances: NDArray[np.float64] = 1 / np.bincount(first)[first]
    chances /= chances.sum()
    return chances


def _taught(shape: Shape, bags: BagSet) -> dict[str, NDArray[np.int64]]:
    """Labels by task, unknown where a grade is asked of a bag that is none of its positives."""
    taught = {}
    for task in shape.tasks:
        numbers = bags.labels[task.name]
        if task.among is not None:
            finding, name = task.among
            positive = bags.labels[finding] == bags.classes[finding].index(name)
            numbers = np.where(positive, numbers, UNKNOWN)
        taught[task.name] = numbers
    return taught


def _mean(values: Sequence[torch.Tensor]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = torch.stack(list(values)).mean(dim=0).double().numpy()
    return mean
