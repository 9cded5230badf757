"""What a slide model is trained on: the labels of bags, and of CLAM what attention says of single tiles.

Sources: those of `multitask`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .multitask import UNKNOWN, MultiTaskMIL, Reading, Shape


def training_loss(
    model: MultiTaskMIL, readings: Mapping[str, Reading], mask: Tensor, labels: Mapping[str, Tensor]
) -> Tensor:
    """The loss of b bags: (1 - clusters) · bags + clusters · instances, tasks by their weights.

    Parameters
    ----------
    mask : bool (b, n) where there is a tile
    labels : class number (b,) by task, `UNKNOWN` where the bag does not teach it
    """
    shape = model.shape
    total = next(iter(readings.values())).logits.sum() * 0.0  # a batch may hold no label at all
    weights = sum(task.weight for task in shape.tasks)
    for task in shape.tasks:
        reading, truth = readings[task.name], labels[task.name]
        known = truth != UNKNOWN
        if not known.any():
            continue
        loss = (1 - shape.clusters) * cross_entropy(reading.logits[known], truth[known])
        if shape.clusters > 0:
            parts = [
                instance_loss(model, task.name, reading, mask[bag], bag, int(truth[bag]))
                for bag in known.nonzero().flatten().tolist()
            ]
            loss = loss + shape.clusters * torch.stack(parts).mean()
        total = total + task.weight / weights * loss
    return total


def instance_loss(model: MultiTaskMIL, name: str, reading: Reading, mask: Tensor, bag: int, truth: int) -> Tensor:
    """CLAM's clustering loss of one bag (cross entropy), 0 where the bag holds a single tile.

    The B tiles attended most are taken as of the bag's class and the B attended least as not of it; where classes
    exclude each other, the first are also none of any other class. B = min(8, ⌊N / 2⌋): no tile is on both sides.
    """
    shape = model.shape
    tiles, scores = reading.hidden[bag][mask], reading.scores[bag][mask]  # (N, width), (N, columns)
    most = sampled(shape, len(tiles))
    if most == 0:
        return tiles.sum() * 0.0
    clusters = model.tells_tiles(name, tiles)  # (N, k, 2)
    losses = []
    for number in range(clusters.shape[1]):
        order = scores[:, number if scores.shape[1] > 1 else 0].argsort(descending=True, stable=True)
        top, bottom = order[:most], order[-most:]
        if number == truth:
            rows = clusters[torch.cat([top, bottom]), number]
            told = torch.cat([torch.ones(most), torch.zeros(most)]).long()
            losses.append(cross_entropy(rows, told))
        elif shape.exclusive:
            losses.append(cross_entropy(clusters[top, number], torch.zeros(most).long()))
    return torch.stack(losses).mean()


def sampled(shape: Shape, tiles: int) -> int:
    """B of a bag of so many tiles."""
    return min(shape.sample, tiles // 2)
