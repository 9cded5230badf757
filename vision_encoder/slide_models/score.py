"""What a slide model says of one slide: calibrated probabilities, a set, and each tile's part in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration import prediction_set
from ..encoder import Encoder, Features
from ..shipped import REMEDY, WEIGHTS, MadeForAnother
from .bag import Bag, Matrix, Positions
from .calibrate import COVERAGE, LEAST_GROUPS, Calibration, calibration_from
from .cross_fit import SlideModel
from .multitask import UNKNOWN
from .pooling import Row
from .store import read_slide_model

LEAST_TILES = 4
"""Tiles below which a slide has hardly been seen."""


@dataclass(frozen=True)
class TaskScore:
    """One task's answer.

    `probabilities` (k,) go with `classes`; `prediction_set` holds the class of the patient in 90 % of patients like
    those calibrated on, most probable first. `tile_logits` (n, k) are each tile's part in the logits of the slide:
    their mean weighed by `attention` (n,), which sums to 1, makes the decision. Where `abstained`, `reason` says why
    in one clause and nothing may be concluded.
    """

    task: str
    classes: tuple[str, ...]
    probabilities: Row
    prediction_set: tuple[str, ...]
    tile_logits: Matrix
    attention: Row
    abstained: bool
    reason: str | None

    def probability(self, name: str) -> float:
        """The probability of one class."""
        return float(self.probabilities[self.classes.index(name)])

    def margins(self, name: str) -> Row:
        """How much each tile (n,) speaks for a class: its logit less the mean of the others'."""
        number = self.classes.index(name)
        others = np.delete(self.tile_logits, number, axis=1).mean(axis=1)
        margins: Row = self.tile_logits[:, number] - others
        return margins


@dataclass(frozen=True)
class SlideScore:
    """What a slide model says of one slide, the model's first task first.

    `tile_logits` (n,) and `attention` (n,) are of the first task: how much each tile speaks for its last class (of
    `malignant`: malignant). They tell what made the decision; whether that is where the tumour lies is on the card.
    """

    tasks: Mapping[str, TaskScore]
    tiles: int
    calibrated: bool

    @property
    def first(self) -> TaskScore:
        """The first task's answer."""
        return next(iter(self.tasks.values()))

    @property
    def probabilities(self) -> dict[str, dict[str, float]]:
        """By task and class."""
        return {
            name: dict(zip(score.classes, map(float, score.probabilities), strict=True))
            for name, score in self.tasks.items()
        }

    @property
    def tile_logits(self) -> Row:
        """How much each tile speaks for the last class of the first task."""
        return self.first.margins(self.first.classes[-1])

    @property
    def attention(self) -> Row:
        """Attention of the first task."""
        return self.first.attention


@dataclass(frozen=True)
class LoadedSlideModel:
    """A slide model with its calibration and card."""

    model: SlideModel
    calibrations: Mapping[str, Calibration]
    card: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return str(self.card["sha256"])

    def score(self, features: Features, coords: Positions | None = None, sex: int = UNKNOWN) -> SlideScore:
        """What the model says of a slide.

        Parameters
        ----------
        features : (n, d) of its tiles from the encoder that the card names, n at least 1
        coords : (n, 2) level-0 pixels; they change no figure and may be left out
        sex : 0 female, 1 male, -1 unknown; read by models that were trained with it

        Raises
        ------
        ValueError : no tile, or features of another length
        """
        rows = np.asarray(features, dtype=np.float32)
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != self.card["encoder"]["dimension"]:
            raise ValueError(f"features must be (n, {self.card['encoder']['dimension']}) with n of at least 1")
        places = np.zeros((len(rows), 2), dtype=np.int64) if coords is None else np.asarray(coords, dtype=np.int64)
        bag = Bag("slide", "", rows, places, sex)
        logits, tiles, attention = self.model.logits(bag), self.model.tile_logits(bag), self.model.attention(bag)
        tasks = {task: self._task(task, logits[task], tiles[task], attention[task]) for task in self.model.classes}
        return SlideScore(tasks, len(rows), all(self.calibrations[task].usable for task in tasks))

    def _task(self, task: str, logits: Row, tiles: Matrix, attention: Row) -> TaskScore:
        calibration, classes = self.calibrations[task], self.model.classes[task]
        probabilities: NDArray[np.float64] = calibration.probabilities(logits)
        chosen = tuple(classes[number] for number in prediction_set(probabilities, calibration.threshold))
        reason = _silence(calibration, chosen, len(tiles), self.card["silent"].get(task))
        return TaskScore(task, classes, probabilities, chosen, tiles, attention, reason is not None, reason)


def load_slide_model(folder: Path = WEIGHTS, encoder: Encoder | None = None) -> LoadedSlideModel:
    """The slide model in a folder; without one, the one that ships.

    Raises
    ------
    SetupError : it is missing or damaged
    MadeForAnother : `encoder` is not the one it was trained with
    """
    remedy = REMEDY if folder == WEIGHTS else "train it again with pathcopilot train-slide"
    model, card = read_slide_model(folder, remedy)
    if encoder is not None and encoder.sha256 != card["encoder"]["sha256"]:
        raise MadeForAnother(f"the slide model was trained with another encoder than '{encoder.name}': {remedy}")
    calibrations = {task: calibration_from(told) for task, told in card["calibration"].items()}
    return LoadedSlideModel(model, calibrations, card)


def _silence(calibration: Calibration, chosen: tuple[str, ...], tiles: int, silent: str | None) -> str | None:
    """Why nothing may be concluded, in one clause; None where something may."""
    if not calibration.usable:
        return f"calibrated on {calibration.groups} patients, {LEAST_GROUPS} are needed"
    if silent:
        return silent
    if tiles < LEAST_TILES:
        return f"only {tiles} fields were seen"
    if len(chosen) > 1:
        return f"its {COVERAGE:.0%} set holds {' and '.join(chosen)}: it does not settle it"
    return None
