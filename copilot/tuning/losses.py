"""What a batch costs: how unlikely its replies are, and how little the right one of a pair is preferred."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as nn
from torch import Tensor

from .batches import NO_LABEL, Batch


def log_likelihoods(model: Any, batch: Batch) -> Tensor:
    """Log-likelihood of each token of the replies, float32 (b, r), 0 where there is none.

    Logits are made for the columns of the replies alone: of a vocabulary of tens of thousands they are a fifth of
    all work on a small model.
    """
    labels = batch["labels"]
    given = {name: value for name, value in batch.items() if name != "labels"}
    width = labels.shape[1]
    logits = model(**given, use_cache=False, logits_to_keep=width + 1).logits[:, :-1]  # (b, r, vocabulary)
    losses = nn.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=NO_LABEL, reduction="none")
    return -losses.view(labels.shape)


def answer_loss(likelihoods: Tensor, batch: Batch) -> Tensor:
    """Mean negative log-likelihood of a reply's token over all replies of the batch."""
    return -likelihoods.sum() / (batch["labels"] != NO_LABEL).sum()


def margins(likelihoods: Tensor, before: Tensor, beta: float) -> Tensor:
    """By how much the right reply of each pair is preferred, more than where the stage began, (pairs,).

    `likelihoods` (2 pairs, r) hold the right replies, then the altered ones; `before` (2 pairs,) their sums then.
    """
    right, wrong = (likelihoods.sum(dim=1) - before).chunk(2)
    return beta * (right - wrong)


def preference_loss(margin: Tensor) -> Tensor:
    """DPO (Rafailov et al. 2023, eq. 7), as trl's default."""
    return -nn.logsigmoid(margin).mean()


def finite(loss: Tensor) -> bool:
    """Whether a loss is a number."""
    return bool(torch.isfinite(loss))
