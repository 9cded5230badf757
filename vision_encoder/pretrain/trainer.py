"""The training loop: any objective, one CPU or several GPUs, stopped and resumed at will.

Random numbers of a step come from the seed and the step alone, so a resumed run repeats on a CPU, bit for
bit, what the uninterrupted one would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from slides.errors import PathcopilotError

from .checkpoint import load_checkpoint, save_checkpoint
from .objective import Batch, Objective
from .pool import Sampler, TilePool
from .recipe import Recipe
from .watch import Watch

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT = "checkpoint.pt"
Report = Callable[[str], None]


class TrainingStopped(PathcopilotError):
    """Raised when a run cannot sensibly go on; the last checkpoint is intact."""


class Trainer:
    """One run of a recipe in an output folder.

    Parameters
    ----------
    objective : holds the encoder and all else that is trained
    pool : the tiles, held in memory
    watch : looked through every `recipe.watch` steps, or None
    out : folder of the checkpoint
    report : takes lines of progress
    """

    def __init__(
        self, recipe: Recipe, objective: Objective, pool: TilePool, watch: Watch | None, out: Path, report: Report
    ) -> None:
        from accelerate import Accelerator

        self.recipe, self.pool, self.out = recipe, pool, out
        self.step, self.history = 0, list[dict[str, float]]()
        self._accelerator: Accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
        self._watch, self._report = watch, report
        self._sampler = Sampler(pool, recipe.batch, recipe.seed, recipe.labelled)
        network, rest = _parameters(objective)
        groups = [{"params": network, "rate": recipe.rate}, {"params": rest, "rate": recipe.projector_rate}]
        optimiser = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=recipe.decay)
        self._objective, self._optimiser = self._accelerator.prepare(objective, optimiser)
        self._average = {name: value.clone() for name, value in self._bare().shipped().state_dict().items()}
        self._resume()

    def run(self, until: int | None = None) -> None:
        """Trains to the recipe's last step, or to step `until`.

        Raises
        ------
        TrainingStopped : the loss is not a number, or the features' rank fell too far
        UsageError : the disk is full
        """
        recipe = self.recipe
        last = min(recipe.steps, until or recipe.steps)
        began, first = time.monotonic(), self.step
        self._objective.train()
        while self.step < last:
            parts = self._one_step()
            self.step += 1
            seen = (self.step - first) * recipe.batch * self._accelerator.num_processes
            pace = seen / (time.monotonic() - began)
            left = (last - self.step) * recipe.batch * self._accelerator.num_processes / pace
            losses = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
            self._report(f"step {self.step} of {recipe.steps}: {losses}, {pace:.0f} tiles/s, {left / 60:.0f} min left")
            if self.step % recipe.watch == 0 or self.step == recipe.steps:
                self._look(parts)
            if self.step % recipe.checkpoint == 0 or self.step == last:
                self._save()

    def weights(self) -> dict[str, Tensor]:
        """What is kept of the encoder: the running mean of its weights."""
        return self._average

    def _one_step(self) -> dict[str, float]:
        recipe, device = self.recipe, self._accelerator.device
        share = self.step / recipe.steps
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * _schedule(share, recipe.warm_up)
        turn = self.step * self._accelerator.num_processes + self._accelerator.process_index
        positions = self._sampler.draw(turn)
        rows = torch.from_numpy(positions)
        batch = Batch(
            tiles=self.pool.pixels[rows].to(device),
            pairs=self._sampler.pairs,
            task=torch.from_numpy(self.pool.task[positions]).to(device),
            label=torch.from_numpy(self.pool.label[positions]).to(device),
            generator=torch.Generator().manual_seed(recipe.seed * 1_000_003 + turn),
            share=share,
        )
        with self._accelerator.autocast():
            losses = self._objective(batch)
        values = {name: float(value.detach()) for name, value in losses.items()}
        if not math.isfinite(values["loss"]):
            raise TrainingStopped(
                f"the loss is not a number at step {self.step}: lower `rate` in the recipe and begin anew; "
                f"the checkpoint of step {self.step // recipe.checkpoint * recipe.checkpoint} is intact"
            )
        self._optimiser.zero_grad()
        self._accelerator.backward(losses["loss"])
        self._accelerator.clip_grad_norm_(self._objective.parameters(), recipe.clip)
        self._optimiser.step()
        self._bare().after_step(share)
        self._follow()
        return values

    def _follow(self) -> None:
        decay = min(self.recipe.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self._bare().shipped().state_dict().items():
                kept = self._average[name]
                if kept.is_floating_point() and self.recipe.average:
                    kept.lerp_(value, 1 - decay)
                else:
                    kept.copy_(value)

    def _look(self, parts: dict[str, float]) -> None:
        if self._watch is None or not self._accelerator.is_main_process:
            return
        network = self._bare().shipped()
        now = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self._average)
        health = self._watch.look(network, self._accelerator.device)
        network.load_state_dict(now)
        entry = {"step": float(self.step), **parts, "rank": health.rank, "spread": health.spread}
        entry |= {"cosine": health.cosine} | ({} if health.probe is None else {"probe": health.probe})
        self.history.append(entry)
        probe = "" if health.probe is None else f", k-NN probe {health.probe:.3f}"
        self._report(f"\nstep {self.step}: RankMe {health.rank:.0f}, spread {health.spread:.2f}{probe}\n")
        peak = max(past["rank"] for past in self.history)
        if health.rank < self.recipe.least_rank * peak:
            self._save()
            raise TrainingStopped(
                f"the features collapse at step {self.step} (RankMe {health.rank:.0f}, at best {peak:.0f}): "
                "lower `rate`, or raise the objective's spread, in the recipe"
            )

    def _bare(self) -> Objective:
        bare: Objective = self._accelerator.unwrap_model(self._objective)
        return bare

    def _save(self) -> None:
        if not self._accelerator.is_main_process:
            return
        state: dict[str, Any] = {
            "recipe": self.recipe.sha256,
            "step": self.step,
            "history": self.history,
            "objective": self._bare().state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self._average,
        }
        save_checkpoint(self.out / CHECKPOINT, state)

    def _resume(self) -> None:
        state = load_checkpoint(self.out / CHECKPOINT, self.recipe.sha256)
        if state is None:
            return
        self.step, self.history = state["step"], state["history"]
        self._bare().load_state_dict(state["objective"])
        self._optimiser.load_state_dict(state["optimiser"])
        device = self._accelerator.device
        self._average = {name: value.to(device) for name, value in state["average"].items()}
        self._report(f"going on from step {self.step}\n")


def _parameters(objective: Objective) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable weights of the encoder, and all other trainable weights."""
    own = {id(parameter) for parameter in objective.network.parameters()}
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    return [p for p in trained if id(p) in own], [p for p in trained if id(p) not in own]


def _schedule(share: float, warm_up: float) -> float:
    """Linear to 1 over the first `warm_up`, then a cosine down to 0.01."""
    if share < warm_up:
        return (share + 1e-3) / (warm_up + 1e-3)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))
