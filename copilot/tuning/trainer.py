"""The training loop: stages one after another, one CPU or several GPUs, stopped and resumed at will.

Random numbers of a step come from the seed and the step alone, so a resumed run repeats on a CPU, bit for
bit, what the uninterrupted one would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slides.errors import PathcopilotError, UsageError
from vision_encoder.pretrain.checkpoint import load_checkpoint, save_checkpoint

from .batches import NO_LABEL, Batch, Features, Order, packed, tensors_of
from .examples import Example
from .losses import answer_loss, log_likelihoods, margins, preference_loss
from .pairs import Pair
from .recipe import Recipe, Stage
from .student import Weights, learned, of_projector, put_weights, set_learning, weights_of

CHECKPOINT = "checkpoint.pt"
Report = Callable[[str], None]


class TuningStopped(PathcopilotError):
    """Raised when a run cannot sensibly go on; the last checkpoint is intact."""


@dataclass(frozen=True, slots=True)
class Course:
    """What one stage learns from, and what it is held against."""

    stage: Stage
    train: Sequence[Example] | Sequence[Pair]
    held: Sequence[Example] | Sequence[Pair]


@dataclass(slots=True)
class Best:
    """The weights with the least held-out loss of a stage, and for how many looks none was less."""

    loss: float = math.inf
    weights: Weights | None = None
    waited: int = 0


class Trainer:
    """One run of a recipe in an output folder.

    Parameters
    ----------
    student : from `student_of`
    pad : a token for what is not there
    features : of each picture that an example shows
    data_sha256 : of what the courses were made from; a checkpoint of other data is refused
    report : takes lines of progress

    Attributes
    ----------
    done : steps of all stages so far
    history : what was seen at each look
    """

    def __init__(
        self,
        recipe: Recipe,
        student: Any,
        pad: int,
        courses: Sequence[Course],
        features: Features,
        data_sha256: str,
        out: Path,
        report: Report,
    ) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs

        self.recipe, self.student, self.out = recipe, student, out
        self.done, self.history = 0, list[dict[str, Any]]()
        self._courses, self._features, self._pad = courses, features, pad
        self._data = data_sha256
        self._accelerator = Accelerator(
            mixed_precision="bf16" if torch.cuda.is_available() else "no",
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self._report = report if self.is_first else _silent
        self._place = self._step = 0
        self._saved: int | None = None
        self._best = Best()
        self._begun: Weights = {}
        self._lesson: _Lesson | None = None
        self._optimiser_state: dict[str, Any] | None = None
        self._resume()

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that tells and writes."""
        return bool(self._accelerator.is_main_process)

    @property
    def finished(self) -> bool:
        """Whether the last stage has ended."""
        return self._place == len(self._courses)

    def run(self, until: int | None = None) -> None:
        """Trains to the end of the last stage, or to step `until` of all stages.

        Raises
        ------
        TuningStopped : the loss is not a number
        UsageError : the disk is full
        """
        clock = _Clock()
        while not self.finished and (until is None or self.done < until):
            lesson = self._enter()
            while not self._over(lesson) and (until is None or self.done < until):
                self._one_step(lesson, clock)
                looks = self._step % self.recipe.watch == 0 or self._step == lesson.stage.steps
                saves = self._step % self.recipe.checkpoint == 0 or self.done == until
                if looks or saves:
                    self._refuse_spoiled()
                if looks:
                    self._look(lesson)
                if saves:
                    self._save()
            if self._over(lesson):
                self._leave()

    def _enter(self) -> _Lesson:
        """Readies the model and an optimiser for the stage; at its first step the untouched model is looked at."""
        course, recipe = self._courses[self._place], self.recipe
        set_learning(self.student, course.stage.kind)
        moving = learned(self.student, course.stage.kind)
        groups = [
            {"params": [p for n, p in moving.items() if of_projector(n) == own], "rate": rate}
            for own, rate in ((False, course.stage.rate), (True, course.stage.projector_rate))
        ]
        optimiser = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=recipe.decay)
        model, prepared = self._accelerator.prepare(self.student, optimiser)
        order = Order([len(one) for one in course.train], recipe.tokens, recipe.seed + self._place)
        lesson = _Lesson(course, model, prepared, order)
        if self._step == 0:
            self._best, self._begun = Best(), weights_of(self.student)
            self._look(lesson)
        elif self._optimiser_state is not None:
            prepared.load_state_dict(self._optimiser_state)
            self._optimiser_state = None
        self._lesson = lesson
        return lesson

    def _leave(self) -> None:
        """Ends the stage with its best weights."""
        if self._best.weights is not None:
            put_weights(self.student, self._best.weights)
        self._place, self._step, self._lesson = self._place + 1, 0, None
        self._save()

    def _over(self, lesson: _Lesson) -> bool:
        """True after the stage's last step, or when looking shows that more steps bring nothing."""
        if self._step >= lesson.stage.steps or self._best.waited >= lesson.stage.patience:
            return True
        seen = self.history[-1] if self.history else {}
        return bool(seen.get("stage") == self._place and seen.get("right", 0.0) >= lesson.stage.enough)

    def _one_step(self, lesson: _Lesson, clock: _Clock) -> None:
        recipe, processes = self.recipe, self._accelerator.num_processes
        share = self._step / lesson.stage.steps
        for group in lesson.optimiser.param_groups:
            group["lr"] = group["rate"] * _schedule(share, lesson.stage.warm_up)
        lesson.model.train()
        total = torch.zeros((), device=self._accelerator.device)
        for part in range(recipe.batches):
            turn = (self._step * recipe.batches + part) * processes + self._accelerator.process_index
            torch.manual_seed(recipe.seed * 1_000_003 + turn)  # for dropout, where a recipe has it
            taken = [lesson.course.train[position] for position in lesson.order.at(turn)]
            batch = self._tensors(taken)
            before = self._before(batch) if lesson.stage.kind == "prefer" else None
            loss = self._loss(lesson, lesson.model, batch, before)[0] / recipe.batches
            self._accelerator.backward(loss)
            total += loss.detach()
            clock.read += int(batch["attention_mask"].sum()) * processes
        value = float(self._accelerator.reduce(total, "mean").detach())
        if not math.isfinite(value):
            raise TuningStopped(self._not_a_number("the loss is"))
        self._accelerator.clip_grad_norm_(learned(self.student, lesson.stage.kind).values(), recipe.clip)
        lesson.optimiser.step()
        lesson.optimiser.zero_grad()
        self._step, self.done = self._step + 1, self.done + 1
        left = sum(course.stage.steps for course in self._courses[self._place :]) - self._step
        self._report(
            f"{lesson.stage.kind}: step {self._step} of {lesson.stage.steps}: loss {value:.3f}, "
            + clock.after_step(left)
        )

    def _loss(
        self, lesson: _Lesson, model: Any, batch: Batch, before: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """The loss of a batch, the margins of its pairs where it holds such, and the likelihoods of its tokens."""
        likelihoods = log_likelihoods(model, batch)
        if before is None:
            return answer_loss(likelihoods, batch), None, likelihoods
        margin = margins(likelihoods, before, lesson.stage.beta)
        return preference_loss(margin), margin, likelihoods

    def _before(self, batch: Batch) -> Tensor:
        """Log-likelihood of each reply (2 pairs,) as the student was when the stage began."""
        with self._as_begun(), torch.no_grad():
            return log_likelihoods(self.student, batch).sum(dim=1)

    @contextmanager
    def _as_begun(self) -> Iterator[None]:
        """The student as it was when the stage began."""
        now = weights_of(self.student)
        put_weights(self.student, self._begun)
        try:
            yield
        finally:
            put_weights(self.student, now)

    def _tensors(self, taken: Sequence[Example | Pair]) -> Batch:
        """The tensors of examples; of pairs, those of all right replies and then those of all wrong ones."""
        pairs = [one for one in taken if isinstance(one, Pair)]
        examples = [one for one in taken if isinstance(one, Example)]
        examples += [one.right for one in pairs] + [one.wrong for one in pairs]
        device = self._accelerator.device
        return {name: value.to(device) for name, value in tensors_of(examples, self._features, self._pad).items()}

    def _look(self, lesson: _Lesson) -> None:
        """Adds held-out figures to the history and keeps the weights where none were better."""
        seen = self._held_out(lesson)
        self.history.append({"stage": self._place, "kind": lesson.stage.kind, "step": self._step, **seen})
        right = f", {seen['right']:.0%} of the pairs held right" if "right" in seen else ""
        self._report(f"\n{lesson.stage.kind}: step {self._step}: held-out loss {seen['loss']:.4f}{right}\n")
        if seen["loss"] < self._best.loss:
            self._best = Best(seen["loss"], weights_of(self.student))
        else:
            self._best.waited += 1

    def _held_out(self, lesson: _Lesson) -> dict[str, float]:
        """`loss` of the held-out examples; of pairs also the share held `right` and the `answers` loss of the right.

        Every process looks at all of them, so that all decide alike.
        """
        held = lesson.course.held
        lengths = np.array([len(one) for one in held])
        order = np.argsort(lengths, kind="stable")
        losses, rights, answers, tokens = 0.0, 0, 0.0, 0
        self.student.eval()
        with torch.no_grad():
            for positions in packed(order, lengths, self.recipe.tokens):
                batch = self._tensors([held[position] for position in positions])
                first = int(positions[0])
                if lesson.stage.kind == "prefer" and first not in lesson.held_before:
                    lesson.held_before[first] = self._before(batch)  # the same at every look, and half of its cost
                before = lesson.held_before.get(first)
                loss, margin, likelihoods = self._loss(lesson, self.student, batch, before)
                rows = len(positions)
                learnt = int((batch["labels"][:rows] != NO_LABEL).sum())
                tokens += learnt
                answers -= float(likelihoods[:rows].sum())
                losses += float(loss) * (learnt if margin is None else rows)
                rights += 0 if margin is None else int((margin > 0).sum())
        if lesson.stage.kind != "prefer":
            return {"loss": losses / tokens}
        return {"loss": losses / len(held), "right": rights / len(held), "answers": answers / tokens}

    def _refuse_spoiled(self) -> None:
        # A loss is of the weights before its step: what that step spoiled may not replace a good checkpoint.
        if not all(bool(weight.isfinite().all()) for weight in learned(self.student).values()):
            raise TuningStopped(self._not_a_number("a weight is"))

    def _not_a_number(self, what: str) -> str:
        kept = "no checkpoint was written" if self._saved is None else f"the checkpoint of step {self._saved} is intact"
        return f"{what} not a number at step {self.done}: lower `rate` in the recipe and begin anew; {kept}"

    def _save(self) -> None:
        if not self.is_first:
            return
        state: dict[str, Any] = {
            "recipe": self.recipe.sha256,
            "data": self._data,
            "stage": self._place,
            "step": self._step,
            "done": self.done,
            "history": self.history,
            "weights": weights_of(self.student),
            "begun": self._begun,
            "best": {"loss": self._best.loss, "weights": self._best.weights, "waited": self._best.waited},
            "optimiser": None if self._lesson is None else self._lesson.optimiser.state_dict(),
        }
        save_checkpoint(self.out / CHECKPOINT, state)
        self._saved = self.done

    def _resume(self) -> None:
        state = load_checkpoint(self.out / CHECKPOINT, self.recipe.sha256)
        if state is None:
            return
        if state["data"] != self._data:
            raise UsageError(
                "the output folder holds a checkpoint of other data: give another --out, or remove checkpoint.pt"
            )
        self._place, self._step, self.done = state["stage"], state["step"], state["done"]
        self._saved = self.done
        self.history, self._begun = state["history"], state["begun"]
        self._best = Best(**state["best"])
        self._optimiser_state = state["optimiser"]
        put_weights(self.student, state["weights"])
        self._report(f"going on from step {self.done}\n")


@dataclass(frozen=True, slots=True)
class _Lesson:
    """A course with the model and the optimiser that are at it.

    `held_before` are the likelihoods of held-out replies when the stage began, by the first pair of their batch.
    """

    course: Course
    model: Any
    optimiser: Any
    order: Order
    held_before: dict[int, Tensor] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        return self.course.stage


class _Clock:
    """Tokens a second of this call, and how long what is left will take at that pace."""

    def __init__(self) -> None:
        self.read = self._steps = 0
        self._began = time.monotonic()

    def after_step(self, left: int) -> str:
        self._steps += 1
        passed = time.monotonic() - self._began
        return f"{self.read / passed:.0f} tokens/s, {left * passed / self._steps / 60:.0f} min left"


def _silent(line: str) -> None:
    """What the other processes say."""


def _schedule(share: float, warm_up: float) -> float:
    """Linear to 1 over the first `warm_up`, then a cosine down to 0.01."""
    if share < warm_up:
        return (share + 1e-3) / (warm_up + 1e-3)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))
