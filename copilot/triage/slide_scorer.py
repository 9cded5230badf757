"""A model of whole slides as the score of triage, in the place of the head of the kind of process."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from slides import Slide
from vision_encoder.look import Eye
from vision_encoder.slide_models import LoadedSlideModel, SlideScore, load_slide_model

from .profile import measure_profile
from .scorer import FIELDS, Progress, Sight, doubt_of, hash_of, hashes_of, sight_of, through


class SlideModelScorer:
    """The calibrated probability of the last class of a slide model's first task, on the fields that the eye spreads.

    The look of the heads still says whether a slide may be scored at all: tissue, focus, stain, novelty.

    Parameters
    ----------
    eye : with the encoder that the model was trained with
    model : as `load_slide_model` gives it
    """

    def __init__(self, eye: Eye, model: LoadedSlideModel) -> None:
        self._eye = eye
        self._model = model
        task, classes = next(iter(model.model.classes.items()))
        self._class = classes[-1]
        self.name = f"slide model {task}: {self._class}"
        weights = {"slide model": model.sha256, "slide model card": hash_of(dict(model.card))}
        self.hashes = {**hashes_of(eye), **weights, "pathcopilot": version("pathcopilot")}

    def score(self, slide: Slide, progress: Progress) -> Sight:
        """The sight of the whole slide."""
        seen = through(self._eye.look(slide), progress)
        base = replace(sight_of(seen), fingerprint=slide.fingerprint, profile=measure_profile(slide, seen))
        if base.score is None:
            return base
        tiles, features = through(self._eye.fields(slide), progress)
        if not tiles:
            return replace(base, score=None, why="no part of the tissue can be read")
        told = self._model.score(features, np.array([(tile.x, tile.y) for tile in tiles], dtype=np.int64))
        first = told.first
        order = np.argsort(-told.tile_logits, kind="stable")[:FIELDS]
        return replace(
            base,
            score=first.probability(self._class),
            why=f"{self._class} {first.probability(self._class):.2f}{_silent(told)}",
            uncertain=doubt_of(seen) or _undecided(told),
            alternatives=first.prediction_set,
            fields=tuple(tiles[index].xywh for index in order),
        )


def load_scorer(eye: Eye, folder: Path) -> SlideModelScorer:
    """The scorer of a slide model in a folder; raises `SetupError` when it is missing or made for another encoder."""
    return SlideModelScorer(eye, load_slide_model(folder, eye.encoder))


def _undecided(told: SlideScore) -> str | None:
    """Why this slide is one that the model does not settle; that it concludes nothing of any slide holds none back."""
    if not told.calibrated:
        return "its slide model was calibrated on too few patients"
    if len(told.first.prediction_set) > 1:
        return f"its 90 % set holds {' and '.join(told.first.prediction_set)}: the slide model does not settle it"
    return None


def _silent(told: SlideScore) -> str:
    return f"; not concluded: {told.first.reason}" if told.first.abstained else ""
