"""Preference optimisation against trl's DPO: the same loss, margins and gradients from the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from copilot.tuning.base import load_base
from copilot.tuning.batches import tensors_of
from copilot.tuning.examples import Speller
from copilot.tuning.losses import log_likelihoods, margins, preference_loss
from copilot.tuning.pairs import Pair, pairs_of
from copilot.tuning.recipe import Recipe, Stage
from copilot.tuning.student import learned, set_learning, student_of

from .tiny_models import save_tiny_model
from .tuning_data import conversations

BETA = 0.3
RECIPE = Recipe("tests", "", (Stage("prefer", 1, beta=BETA),), rank=4, alpha=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", "llama")


def test_loss_margins_and_gradients_are_those_of_trl(folder: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    base = load_base(str(folder), "")
    pairs = pairs_of(conversations(8), Speller(base.tokens, RECIPE), seed=7)[:5]
    assert len({len(pair.right.reply) - len(pair.wrong.reply) for pair in pairs}) > 1

    student = student_of(base, RECIPE, None)
    _stir(student, 1)
    settings = trl.DPOConfig(
        str(tmp_path), beta=BETA, bf16=False, gradient_checkpointing=False, use_cpu=True, report_to="none"
    )
    row = {"prompt": "a", "chosen": "b", "rejected": "c"}
    theirs = trl.DPOTrainer(
        student,
        args=settings,
        train_dataset=Dataset.from_list([row]),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )  # it keeps the adapter as it is now for its reference
    set_learning(student, "prefer")
    examples = [pair.right for pair in pairs] + [pair.wrong for pair in pairs]
    batch = tensors_of(examples, {}, base.tokens.end)
    with torch.no_grad():
        before = log_likelihoods(student, batch).sum(dim=1)
    _stir(student, 2)

    collated = DataCollatorForPreference(pad_token_id=base.tokens.end)(
        [
            {"prompt_ids": [*p.right.prompt], "chosen_ids": [*p.right.reply], "rejected_ids": [*p.wrong.reply]}
            for p in pairs
        ]
    )
    student.train()
    expected = theirs.compute_loss(student, collated)
    expected.backward()
    gradients = {
        name: weight.grad.clone() for name, weight in learned(student, "prefer").items() if ".ref." not in name
    }
    student.zero_grad()

    margin = margins(log_likelihoods(student, batch), before, BETA)
    loss = preference_loss(margin)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert margin.mean().item() == pytest.approx(theirs._metrics["train"]["rewards/margins"][-1], abs=1e-4)
    assert max(gradient.abs().max() for gradient in gradients.values()) > 1e-3
    for name, gradient in gradients.items():
        weight = learned(student, "prefer")[name]
        assert torch.allclose(weight.grad, gradient, atol=2e-5, rtol=1e-3), name


def test_nothing_is_preferred_where_a_stage_begins(folder: Path) -> None:
    base = load_base(str(folder), "")
    student = student_of(base, RECIPE, None)
    batch = _batch(pairs_of(conversations(4), Speller(base.tokens, RECIPE), seed=7), base.tokens.end)
    with torch.no_grad():
        likelihoods = log_likelihoods(student, batch)
        margin = margins(likelihoods, likelihoods.sum(dim=1), BETA)
    assert torch.equal(margin, torch.zeros_like(margin))
    assert preference_loss(margin).item() == pytest.approx(0.6931, abs=1e-4)


def test_likelihoods_are_those_of_all_logits(folder: Path) -> None:
    base = load_base(str(folder), "")
    pairs = pairs_of(conversations(4), Speller(base.tokens, RECIPE), seed=7)
    batch = _batch(pairs, base.tokens.end)
    with torch.no_grad():
        found = log_likelihoods(base.model, batch).sum(dim=1)
    for place, one in enumerate([pair.right for pair in pairs] + [pair.wrong for pair in pairs]):
        ids = torch.tensor([[*one.prompt, *one.reply]])  # each alone, without padding
        with torch.no_grad():
            logits = base.model(ids).logits[0, len(one.prompt) - 1 : -1].log_softmax(dim=-1)
        alone = logits.gather(1, torch.tensor(one.reply)[:, None]).sum()
        assert found[place].item() == pytest.approx(alone.item(), abs=1e-3)


def _batch(pairs: list[Pair], pad: int) -> dict[str, torch.Tensor]:
    return tensors_of([pair.right for pair in pairs] + [pair.wrong for pair in pairs], {}, pad)


def _stir(student: Any, seed: int) -> None:
    """Other weights for the adapter in use, the same for one seed."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in learned(student, "prefer").items():
            if ".default." in name:
                weight += 0.05 * torch.randn(weight.shape, generator=draw)
