"""From a recipe and instruction data to an adapter on disk: what `pathcopilot tune` does."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instruction_data.conversation import Conversation, Part
from slides.errors import UsageError
from slides.files import sha256_of
from vision_encoder.catalog import load_encoder

from .base import load_base
from .batches import Features
from .examples import Example, Speller, examples_of
from .pairs import Pair, pairs_of, read_votes
from .reading import read_conversations
from .recipe import Recipe, Stage, read_recipe
from .seen import Progress, features_of
from .student import student_of
from .trainer import Course, Report, Trainer
from .written import write_adapter


@dataclass(slots=True)
class Lessons:
    """The courses of a run, and what went into them."""

    courses: list[Course] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)


def tune(
    recipe_path: Path,
    data: Path,
    out: Path,
    report: Report,
    progress: Progress,
    *,
    votes: Path | None = None,
    until: int | None = None,
) -> dict[str, Any] | None:
    """Tunes, or goes on tuning, and writes the adapter and its card into `out`.

    `data` is a folder that `pathcopilot build-data` wrote, or a file of ShareGPT-style JSON lines; `votes` a file
    of pairs from the desk, for the stage `prefer`. `until` ends this call at an earlier step than the recipe's
    last; the next call goes on. Returns the card, None in all of several processes but the first.

    Raises
    ------
    UsageError, SetupError, TuningStopped : each with one line that says what to do
    """
    recipe = read_recipe(recipe_path)
    conversations, digest = read_conversations(data)
    base = load_base(recipe.base, recipe.quantise)
    speller = Speller(base.tokens, recipe)
    voted = read_votes(votes, speller) if votes is not None else []
    lessons = _lessons(recipe, conversations, speller, voted)
    encoder, features = _sight(recipe, conversations, data, progress)
    student = student_of(base, recipe, None if encoder is None else encoder.dimension)
    data_sha256 = digest if votes is None else hashlib.sha256(f"{digest}{sha256_of(votes)}".encode()).hexdigest()
    trainer = Trainer(recipe, student, base.tokens.end, lessons.courses, features, data_sha256, out, report)
    trainer.run(until)
    if not trainer.is_first:
        return None
    card: dict[str, Any] = {
        "recipe": recipe.name,
        "recipe_sha256": recipe.sha256,
        "base": {"name": base.name, "sha256": base.sha256, "quantised": recipe.quantise},
        "sees": list(recipe.sees),
        "encoder": None if encoder is None else {"name": recipe.encoder, "sha256": encoder.sha256},
        "visual_tokens": 0 if encoder is None else recipe.visual_tokens,
        "data_sha256": data_sha256,
        "conversations": len(conversations),
        "by_builder": dict(Counter(one.builder for one in conversations)),
        "by_source": dict(Counter(source for one in conversations for source in one.sources)),
        "votes": len(voted),
        "stages": lessons.counts,
        "steps": trainer.done,
        "finished": trainer.finished,
        "looked": trainer.history,
    }
    return write_adapter(out, student, card)


def _lessons(recipe: Recipe, conversations: Sequence[Conversation], speller: Speller, votes: Sequence[Pair]) -> Lessons:
    lessons = Lessons()
    for stage in recipe.stage:
        train, too_long = _material(stage, recipe, conversations, speller, "train")
        held, _ = _material(stage, recipe, conversations, speller, "valid")
        if stage.kind == "prefer":
            train = [*train, *votes]
        if not train or not held:
            part = "train" if not train else "valid"
            raise UsageError(f"the data hold nothing of the part '{part}' for the stage {stage.kind}: build more of it")
        if len(held) > recipe.held_out:
            held = random.Random(recipe.seed).sample(held, recipe.held_out)
        lessons.courses.append(Course(stage, train, held))
        counts: dict[str, Any] = {"kind": stage.kind, "train": len(train), "held": len(held), "too_long": too_long}
        if stage.kind == "prefer":
            counts["altered"] = dict(Counter(one.kind for one in train if isinstance(one, Pair)))
        lessons.counts.append(counts)
    return lessons


def _material(
    stage: Stage, recipe: Recipe, conversations: Sequence[Conversation], speller: Speller, part: Part
) -> tuple[list[Any], int]:
    """Examples or pairs of one part for a stage, and how many were left out because they are too long."""
    wanted = "align" if stage.kind == "align" else "tune"
    own = [one for one in conversations if one.part == part and one.stage == wanted]
    if stage.kind == "prefer":
        pairs = pairs_of(own, speller, recipe.seed)
        short = [one for one in pairs if len(one) <= 2 * recipe.longest]
        return short, len(pairs) - len(short)
    examples = examples_of(own, speller)
    fitting: list[Example] = [one for one in examples if len(one) <= recipe.longest]
    return fitting, len(examples) - len(fitting)


def _sight(
    recipe: Recipe, conversations: Sequence[Conversation], data: Path, progress: Progress
) -> tuple[Any, Features]:
    """The encoder and the features of all pictures, where the recipe sees them."""
    if "pictures" not in recipe.sees:
        return None, {}
    encoder = load_encoder(recipe.encoder)
    pictures = {picture.id: picture.mpp for one in conversations for picture in one.pictures}
    return encoder, features_of(pictures, data if data.is_dir() else data.parent, encoder, progress)
