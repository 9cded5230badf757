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
from torch import Tensor

from slides.errors import PathcopilotError, UsageError

from ..networks import compile_parts
from .checkpoint import load_checkpoint, save_checkpoint
from .draws import Draws
from .objective import Batch, Losses, Objective
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
    report : takes lines of progress; of several processes the first alone tells
    """

    def __init__(
        self, recipe: Recipe, objective: Objective, pool: TilePool, watch: Watch | None, out: Path, report: Report
    ) -> None:
        from accelerate import Accelerator

        self.recipe, self.pool, self.out = recipe, pool, out
        self.step, self.history = 0, list[dict[str, float]]()
        self._accelerator: Accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
        self._watch, self._report = watch, report if self.is_first else _silent
        self._sampler = Sampler(pool, recipe.batch, recipe.seed, recipe.labelled, self._accelerator.num_processes)
        self._pixels = _near(pool.pixels, self._accelerator.device)
        self._tiles = pool.sha256()
        optimiser = torch.optim.AdamW(
            _groups(objective, recipe), weight_decay=recipe.decay, fused=True if torch.cuda.is_available() else None
        )
        if recipe.compile:
            compile_parts(objective)
        self._objective, self._optimiser = self._accelerator.prepare(objective, optimiser)
        self._average = {name: value.clone() for name, value in self._bare().shipped().state_dict().items()}
        self._saved: int | None = None
        self._resume()

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that tells and writes."""
        return bool(self._accelerator.is_main_process)

    def run(self, until: int | None = None) -> None:
        """Trains to the recipe's last step, or to step `until`.

        Raises
        ------
        TrainingStopped : the loss or a weight is not a number, or the features' rank fell too far
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
            looks = self.step % recipe.watch == 0 or self.step == recipe.steps
            saves = self.step % recipe.checkpoint == 0 or self.step == last
            if looks or saves:
                self._refuse_spoiled()
            if looks:
                self._look(parts)
            if saves:
                self._save()

    def weights(self) -> dict[str, Tensor]:
        """What is kept of the encoder: the running mean of its weights."""
        return self._average

    def _one_step(self) -> dict[str, float]:
        recipe = self.recipe
        share = self.step / recipe.steps
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * _schedule(share, recipe.warm_up)
            if recipe.decay_end is not None and group["decays"]:
                group["weight_decay"] = recipe.decay_end + (recipe.decay - recipe.decay_end) * _cosine(share)
        batch = self._batch(share)
        with self._accelerator.autocast():
            losses = self._objective(batch)
        values = self._read(losses)
        if not math.isfinite(values["loss"]):
            raise TrainingStopped(self._not_a_number("the loss is"))
        self._optimiser.zero_grad()
        self._accelerator.backward(losses["loss"])
        self._bare().before_step(share)
        self._accelerator.clip_grad_norm_(self._objective.parameters(), recipe.clip)
        self._optimiser.step()
        self._bare().after_step(share)
        self._follow()
        return values

    def _batch(self, share: float) -> Batch:
        """This process's rows of the step's batch; every process draws the whole of it alike."""
        recipe, device, index = self.recipe, self._accelerator.device, self._accelerator.process_index
        seed = recipe.seed * 1_000_003 + self.step
        torch.manual_seed(seed + index)  # what a network draws by itself, such as dropped paths
        whole = self._sampler.draw(self.step)
        mine = self._sampler.rows(index)
        positions = whole[mine]
        rows = torch.from_numpy(positions)
        return Batch(
            tiles=self._pixels[rows.to(self._pixels.device)].to(device),
            pairs=self._sampler.pairs,
            task=torch.from_numpy(self.pool.task[positions]).to(device),
            label=torch.from_numpy(self.pool.label[positions]).to(device),
            draws=Draws(
                torch.Generator().manual_seed(seed),
                len(whole),
                None if len(mine) == len(whole) else torch.from_numpy(mine),
            ),
            share=share,
        )

    def _read(self, losses: Losses) -> dict[str, float]:
        """The losses as numbers, the mean over processes, read from the device at once."""
        values = torch.stack([value.detach().float() for value in losses.values()])
        read: list[float] = self._accelerator.reduce(values, "mean").tolist()
        return dict(zip(losses, read, strict=True))

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
        if self._watch is None or not self.is_first:
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
        if not self.is_first:
            return
        state: dict[str, Any] = {
            "recipe": self.recipe.sha256,
            "tiles": self._tiles,
            "step": self.step,
            "history": self.history,
            "objective": self._bare().state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self._average,
        }
        save_checkpoint(self.out / CHECKPOINT, state)
        self._saved = self.step

    def _refuse_spoiled(self) -> None:
        # A loss is of the weights before its step: what that step spoiled may not replace a good checkpoint.
        weights = self._bare().state_dict().values()
        if not all(bool(value.isfinite().all()) for value in weights if value.is_floating_point()):
            raise TrainingStopped(self._not_a_number("a weight is"))

    def _not_a_number(self, what: str) -> str:
        kept = "no checkpoint was written" if self._saved is None else f"the checkpoint of step {self._saved} is intact"
        return f"{what} not a number at step {self.step}: lower `rate` in the recipe and begin anew; {kept}"

    def _resume(self) -> None:
        state = load_checkpoint(self.out / CHECKPOINT, self.recipe.sha256)
        if state is None:
            return
        if state.get("tiles", self._tiles) != self._tiles:
            raise UsageError("the tiles are not those of the checkpoint: give the same tiles, or another --out")
        self.step, self.history, self._saved = state["step"], state["history"], state["step"]
        self._bare().load_state_dict(state["objective"])
        self._optimiser.load_state_dict(state["optimiser"])
        device = self._accelerator.device
        self._average = {name: value.to(device) for name, value in state["average"].items()}
        self._report(f"going on from step {self.step}\n")


def _groups(objective: Objective, recipe: Recipe) -> list[dict[str, Any]]:
    """The trainable weights of the encoder, and all others, as the optimiser takes them.

    Without `decay_norms` biases, norms and scales stand in groups of their own that do not decay.
    """
    own = {id(parameter) for parameter in objective.network.parameters()}
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    groups = []
    for rate, members in (
        (recipe.rate, [p for p in trained if id(p) in own]),
        (recipe.projector_rate, [p for p in trained if id(p) not in own]),
    ):
        decays = [p for p in members if recipe.decay_norms or p.ndim > 1]
        spared = [p for p in members if not (recipe.decay_norms or p.ndim > 1)]
        groups.append({"params": decays, "rate": rate, "decays": True})
        groups.append({"params": spared, "rate": rate, "decays": False, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _near(pixels: Tensor, device: torch.device) -> Tensor:
    """The tiles on the device where they take at most half of its free memory: no step then waits for a copy."""
    if device.type != "cuda":
        return pixels
    free, _ = torch.cuda.mem_get_info(device)
    return pixels.to(device) if pixels.nbytes <= free // 2 else pixels


def _schedule(share: float, warm_up: float) -> float:
    """Linear to 1 over the first `warm_up`, then a cosine down to 0.01."""
    if share < warm_up:
        return (share + 1e-3) / (warm_up + 1e-3)
    return 0.01 + 0.99 * _cosine((share - warm_up) / (1 - warm_up))


def _cosine(share: float) -> float:
    """From 1 at 0 down to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * share))


def _silent(line: str) -> None:
    """What other processes than the first report."""
