"""Which examples a step learns from, and their tensors. The order comes from seed and step alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .examples import SLOT, Example

_SORTED = 256  # so many neighbours of the shuffled order are sorted by length, which leaves little padding
NO_LABEL = -100

Batch = dict[str, Tensor]
Features = Mapping[str, NDArray[np.float32]]


class Order:
    """Batches of positions without end: every example once an epoch, in an order of its own each time.

    A batch holds examples of like length, as many as `budget` tokens hold when all are padded to the longest.
    """

    def __init__(self, lengths: Sequence[int], budget: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._budget, self._seed = budget, seed
        self._epochs: list[list[NDArray[np.int64]]] = []
        self._first = 0  # turns before the epoch held

    def at(self, turn: int) -> NDArray[np.int64]:
        """Positions of the batch of this turn; turns may be asked for in any order."""
        start = 0
        for epoch in range(turn + 1):
            batches = self._epoch(epoch)
            if turn < start + len(batches):
                return batches[turn - start]
            start += len(batches)
        raise AssertionError("every epoch holds at least one batch")

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        while len(self._epochs) <= epoch:
            draw = np.random.default_rng([self._seed, len(self._epochs)])
            shuffled = draw.permutation(len(self._lengths))
            batches: list[NDArray[np.int64]] = []
            for first in range(0, len(shuffled), _SORTED):
                block = shuffled[first : first + _SORTED]
                batches += packed(block[np.argsort(self._lengths[block], kind="stable")], self._lengths, self._budget)
            self._epochs.append([batches[place] for place in draw.permutation(len(batches))])
        return self._epochs[epoch]


def packed(positions: NDArray[np.int64], lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Runs of the positions whose number times their greatest length stays within the budget; one at the least."""
    found: list[NDArray[np.int64]] = []
    first = longest = 0
    for place, position in enumerate(positions):
        longest = max(longest, int(lengths[position]))
        if place > first and longest * (place - first + 1) > budget:
            found.append(positions[first:place])
            first, longest = place, int(lengths[position])
    return [*found, positions[first:]]


def tensors_of(examples: Sequence[Example], features: Features, pad: int) -> Batch:
    """The tensors of b examples: prompts end, and replies begin, at the same column of all rows.

    `input_ids`, `attention_mask`, `position_ids` (b, p + r), `labels` (b, r) with -100 where nothing is learned;
    where pictures are seen also `pictures` (n, d), their features, and `places` (b, p + r), True at their slots.
    """
    before = max(len(one.prompt) for one in examples)
    after = max(len(one.reply) for one in examples)
    ids = torch.full((len(examples), before + after), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full((len(examples), after), NO_LABEL, dtype=torch.long)
    for row, one in enumerate(examples):
        start, end = before - len(one.prompt), before + len(one.reply)
        ids[row, start:end] = torch.tensor([*one.prompt, *one.reply])
        mask[row, start:end] = 1
        labels[row, : len(one.reply)] = torch.tensor(one.reply)
    places = ids == SLOT
    batch = {
        "input_ids": ids.masked_fill(places, pad),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0),
        "labels": labels,
    }
    shown = [features[name] for one in examples for name in one.pictures]
    if shown:
        batch |= {"pictures": torch.from_numpy(np.stack(shown)), "places": places}
    return batch
