"""Training the timeline model: `python -m copilot.patient.timeline.train recipes/whatif.toml --out DIR`."""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slides.errors import PathcopilotError, UsageError
from slides.files import sha256_of, write_atomically

from .cohort import draw_stays
from .tokens import PADDING, Vocabulary, encode, fit_vocabulary

ARRAYS, CARD, _CHECKPOINT = "model.safetensors", "model.json", "checkpoint.pt"


@dataclass(frozen=True)
class Recipe:
    """What recipes/whatif.toml states."""

    seed: int
    stays: int
    days: int
    layers: int
    width: int
    heads: int
    context: int
    epochs: int
    batch: int
    rate: float
    decay: float
    hold_seconds: float


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; raises `UsageError` where it is missing or lacks a setting."""
    try:
        return Recipe(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise UsageError(f"{path.name} is no recipe for timelines ({error}): see recipes/whatif.toml") from None


def network(recipe: Recipe, words: int) -> Any:
    """A GPT-2 of transformers, of the recipe's size, without dropout."""
    from copilot.language.hub import let_transformers_import

    let_transformers_import()
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=words, n_positions=recipe.context, n_embd=recipe.width, n_layer=recipe.layers, n_head=recipe.heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def train(recipe: Recipe, out: Path) -> dict[str, Any] | None:
    """Trains for at most the recipe's hold, from the last checkpoint on; the card once done, else None."""
    import torch

    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    stays = draw_stays(recipe.stays, recipe.days, recipe.seed)
    vocabulary = fit_vocabulary(stays)
    ids = torch.tensor(encode(vocabulary, stays, recipe.days))
    padding = vocabulary.number(PADDING)
    torch.manual_seed(recipe.seed)
    model = network(recipe, len(vocabulary.words))
    steps = recipe.epochs * (recipe.stays // recipe.batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, steps, pct_start=0.05)
    step, loss_value = 0, float("nan")
    if (out / _CHECKPOINT).is_file():
        state = torch.load(out / _CHECKPOINT, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        step = int(state["step"])
    per_epoch = recipe.stays // recipe.batch
    while step < steps:
        order = torch.randperm(recipe.stays, generator=torch.Generator().manual_seed(recipe.seed + step // per_epoch))
        place = (step % per_epoch) * recipe.batch
        batch = ids[order[place : place + recipe.batch]]
        logits = model(batch[:, :-1], use_cache=False).logits
        # Admission values are given, not learned: the loss begins at the first treatment.
        target = batch[:, 1:].clone()
        target[:, :6] = padding
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=padding)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        step, loss_value = step + 1, loss.item()
        if step % 50 == 0:
            sys.stderr.write(f"step {step} of {steps}, loss {loss_value:.4f}\n")
        if time.monotonic() - started > recipe.hold_seconds and step < steps:
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(),
                        "schedule": schedule.state_dict(), "step": step}, out / _CHECKPOINT)  # fmt: skip
            return None
    return save(recipe, vocabulary, model, out, loss_value)


def save(recipe: Recipe, vocabulary: Vocabulary, model: Any, out: Path, loss: float) -> dict[str, Any]:
    """Writes weights in half precision and the card."""
    import torch
    from safetensors.torch import save as packed

    weights = {
        name: value.to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"
    }
    write_atomically(out / ARRAYS, packed(weights))
    card = {
        "kind": "timelines of simulated hospital stays", "sha256": sha256_of(out / ARRAYS), "recipe": asdict(recipe),
        "edges": {name: list(edges) for name, edges in vocabulary.edges.items()}, "loss": loss,
        "cohort": "rule-made, copilot/patient/timeline/cohort.py; no real patient",
    }  # fmt: skip
    write_atomically(out / CARD, json.dumps(card) + "\n")
    (out / _CHECKPOINT).unlink(missing_ok=True)
    return card


def main() -> int:
    """Exit 0 when trained, 3 when called to be called again, 2 for a user's error."""
    parser = argparse.ArgumentParser(prog="python -m copilot.patient.timeline.train", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        card = train(load_recipe(arguments.recipe), arguments.out)
        if card:
            from .calibrate import calibrate
            from .model import load_timeline

            card["calibration"] = calibrate(load_timeline(arguments.out))
            write_atomically(arguments.out / CARD, json.dumps(card) + "\n")
    except PathcopilotError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0 if card else 3


if __name__ == "__main__":
    sys.exit(main())
