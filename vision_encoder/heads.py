"""Heads on frozen features: what a bag of tiles is, with a calibrated probability and a 90 % set.

A head is a linear map from features to class logits. A bag of n tiles is read together: the mean of its
tiles' logits, scaled by n to a fitted power over a fitted temperature, both from held-out groups. A
`composition` head (what tissue a tile shows) averages the tiles' probabilities instead, because one region
holds several tissues. A head keeps its numbers and abstains where it was not validated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError
from slides.finding import Finding

from .calibration import bag_scale, prediction_set, softmax
from .encoder import Encoder, Features
from .novelty import NOVELTY_LEVEL, Novelty, Strata, calibrated, novelty_components
from .projection import Projection
from .shipped import WEIGHTS, MadeForAnother, read_trained

NOT_HISTOLOGY = "not histology"


@dataclass(frozen=True)
class Reading:
    """What one head says of a bag of n tiles.

    `tile_probabilities` float32 (n, k) are those of each tile read alone, in the order of `classes`;
    `accepted` is the probability from which the head speaks on tissue of this kind, above 1 if never.
    """

    finding: Finding
    tile_probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    accepted: float


@dataclass(frozen=True)
class Scope:
    """Where a head was validated: stain, organ (empty = any), µm/px at the encoder's tile side."""

    stain: str
    organ: str
    mpp_low: float
    mpp_high: float
    words: str


@dataclass(frozen=True)
class Head:
    """One trained head.

    By bag size and stratum, `thresholds` is the least probability of a class in the 90 % set, and `accepted`
    the least top probability from which held-out groups were right often enough to speak, above 1 where
    they never were.
    """

    name: str
    classes: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float
    growth: float
    thresholds: Strata[float]
    accepted: Strata[float]
    composition: bool
    scope: Scope
    novelty: Novelty
    source: str

    def logits(self, features: Features) -> NDArray[np.float64]:
        """Uncalibrated logits (n, k) of n tiles."""
        logits: NDArray[np.float64] = (features @ self.weight.T + self.bias).astype(np.float64)
        return logits

    def tile_probabilities(self, features: Features) -> NDArray[np.float64]:
        """Calibrated probabilities (n, k) of n tiles, each read alone."""
        return softmax(self.logits(features) / self.temperature)

    def bag_probabilities(self, features: Features) -> NDArray[np.float64]:
        """Calibrated probabilities (k,) of the n tiles read as one bag."""
        if self.composition:
            shares: NDArray[np.float64] = self.tile_probabilities(features).mean(axis=0)
            return shares
        scale = bag_scale(len(features), self.temperature, self.growth)
        return softmax(self.logits(features).mean(axis=0) * scale)

    def read(self, features: Features, components: NDArray[np.float32]) -> Reading:
        """The head's reading of a bag, before any look at its scope."""
        probabilities = self.bag_probabilities(features)
        novelty, stratum = self.novelty.read(components)
        threshold = calibrated(self.thresholds, len(features), stratum)
        order = np.argsort(-probabilities, kind="stable")
        finding = Finding(
            name=self.name,
            label=self.classes[int(order[0])],
            probability=float(probabilities[order[0]]),
            prediction_set=tuple(self.classes[index] for index in prediction_set(probabilities, threshold)),
            distribution=tuple((self.classes[index], float(probabilities[index])) for index in order),
            novelty=novelty,
            scope=self.scope.words,
            source=self.source,
        )
        accepted = calibrated(self.accepted, len(features), stratum)
        tiles = self.tile_probabilities(features).astype(np.float32)
        return Reading(finding, tiles, self.classes, accepted)


class HeadSet:
    """All heads of one encoder, read together because the stain and the organ decide who may speak."""

    def __init__(
        self, heads: tuple[Head, ...], axes: Projection, card: Mapping[str, Any], added: Sequence[HeadSet] = ()
    ) -> None:
        own = {head.name for others in added for head in others.heads}
        self.heads: tuple[Head, ...] = tuple(head for head in heads if head.name not in own)
        self.axes = axes
        self.card = card
        self.added = tuple(added)

    def with_added(self, *others: HeadSet) -> HeadSet:
        """These heads and a laboratory's own, which take the place of those of their name."""
        return HeadSet(self.heads, self.axes, self.card, (*self.added, *others))

    def __getitem__(self, name: str) -> Head:
        return next(head for part in (self, *self.added) for head in part.heads if head.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the findings, in the order of `read`."""
        return tuple(head.name for part in (self, *self.added) for head in part.heads)

    def read(self, features: Features, *, mpp: float | None = None, organ: str | None = None) -> tuple[Reading, ...]:
        """One reading a head of a bag of n ≥ 1 tiles.

        Parameters
        ----------
        features : float32 (n, d) from the encoder the heads were trained on
        mpp : µm per pixel of the tiles at the encoder's side (224 px), None where not known
        organ : the organ where it is known (from the request, not from the picture)

        Raises
        ------
        ValueError : no tile, or features of another length
        """
        if features.ndim != 2 or not len(features) or features.shape[1] != len(self.axes.mean):
            raise ValueError(f"expected features (n, {len(self.axes.mean)}), got {features.shape}")
        readings: dict[str, Reading] = {}
        for part in (self, *self.added):
            components = novelty_components(features, part.axes)
            readings |= {head.name: head.read(features, components) for head in part.heads}
        return tuple(
            _abstaining(reading, _objection(self[name], reading, readings, mpp, organ))
            for name, reading in readings.items()
        )


def load_heads(encoder: Encoder, folder: Path = WEIGHTS) -> HeadSet:
    """The heads trained on this encoder's features, hash verified.

    Raises
    ------
    SetupError : no heads for this encoder, or the file is missing or differs from its hash
    """
    arrays, card = read_trained(folder, "heads")
    if card["encoder"]["sha256"] != encoder.sha256:
        raise MadeForAnother(
            f"no heads were trained for encoder '{encoder.name}': use embedded, or train them with a recipe"
        )
    return assemble(arrays, card)


def load_own_head(encoder: Encoder, path: Path) -> HeadSet:
    """A head that `pathcopilot adapt` wrote as HEAD.json and HEAD.safetensors, hash verified.

    Raises
    ------
    UsageError : no such file, no head, or a head of another encoder
    SetupError : the arrays differ from their hash
    """
    remedy = "make it again with pathcopilot adapt, and keep its .json and .safetensors together"
    if path.suffix not in (".json", ".safetensors") or not path.is_file():
        raise UsageError(f"{path.name}: no head there: name the HEAD.json that pathcopilot adapt wrote")
    arrays, card = read_trained(path.parent, path.stem, remedy)
    try:
        made_with, sha256 = card["encoder"]["name"], card["encoder"]["sha256"]
        if sha256 == encoder.sha256:
            return assemble(arrays, card)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path.name} holds no head: {remedy}") from error
    raise UsageError(
        f"{path.name} was made with encoder '{made_with}' ({sha256[:8]}), and '{encoder.name}' "
        f"({encoder.sha256[:8]}) is in use: adapt it again with this encoder, or load its own with --encoder"
    )


def assemble(arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any]) -> HeadSet:
    """The heads of trained arrays and their card, which names their hash."""
    axes = arrays["novelty.axes"].astype(np.float32)
    heads = tuple(_head(row, arrays, card["sha256"]) for row in card["heads"])
    return HeadSet(heads, Projection(np.zeros(len(axes), dtype=np.float32), axes), card)


def _head(row: Mapping[str, Any], arrays: Mapping[str, Any], sha256: str) -> Head:
    name = row["name"]
    own = arrays[f"{name}.reference"]
    return Head(
        name=name,
        classes=tuple(row["classes"]),
        weight=arrays[f"{name}.weight"],
        bias=arrays[f"{name}.bias"],
        temperature=row["temperature"],
        growth=row["growth"],
        thresholds=_by_size(row["thresholds"]),
        accepted=_by_size(row["accepted"]),
        composition=row["composition"],
        scope=Scope(**row["scope"]),
        novelty=Novelty(
            arrays["novelty.reference"][own].astype(np.float32),
            arrays["novelty.of_cases"][own].astype(np.bool_),
            _by_size(row["novelty"]),
        ),
        source=f"head {name}@{sha256[:8]}",
    )


def _by_size(table: Mapping[str, Any]) -> dict[int, Any]:
    """JSON has only words for keys."""
    return {int(size): strata for size, strata in table.items()}


def _objection(
    head: Head, reading: Reading, readings: Mapping[str, Reading], mpp: float | None, organ: str | None
) -> str | None:
    """Why this head must not speak about this bag, in one sentence; None when it may."""
    finding, scope = reading.finding, head.scope
    assert finding.probability is not None
    assert finding.novelty is not None
    stain = readings["stain"].finding if "stain" in readings else None
    if scope.stain and stain is not None and stain.label != scope.stain:
        return f"the picture reads as {stain.label} ({stain.probability:.2f}); validated on {scope.stain} only"
    if scope.stain and stain is not None and len(stain.prediction_set) > 1:
        return f"validated on {scope.stain} only; the stain may be {' or '.join(stain.prediction_set)}"
    if mpp is not None and not scope.mpp_low <= mpp <= scope.mpp_high:
        return f"seen at {mpp:.2g} µm/px; validated from {scope.mpp_low:g} to {scope.mpp_high:g}"
    if scope.organ and (reason := _another_organ(scope.organ, readings.get("organ"), organ)):
        return reason
    # What is no histology is unlike every tissue: there novelty confirms the label.
    if finding.label != NOT_HISTOLOGY and finding.novelty < NOVELTY_LEVEL:
        return f"unlike the tissue it was trained on (novelty p {finding.novelty:.3f})"
    if len(finding.prediction_set) == len(head.classes):
        return "its 90 % set holds every class, so the picture does not settle it"
    if reading.accepted > 1:
        return f"right too seldom on held-out cases of this kind to speak; most probable {finding.label}"
    if finding.probability < reading.accepted:
        return f"most probable {finding.label} with {finding.probability:.2f}; it speaks from {reading.accepted:.2f} up"
    return None


def _another_organ(needed: str, reading: Reading | None, stated: str | None) -> str | None:
    """Why the organ is not, or not surely, the one a head needs; what is stated outweighs what is read."""
    if stated is not None:
        return None if stated.casefold() == needed.casefold() else f"validated on {needed}, not {stated}"
    if reading is None:
        return f"validated on {needed} only; no organ is stated"
    finding = reading.finding
    if finding.label != needed:
        return f"validated on {needed} only; the organ reads as {finding.label} ({finding.probability:.2f})"
    sure = (finding.probability or 0) >= reading.accepted and (finding.novelty or 0) >= NOVELTY_LEVEL
    return None if sure else f"validated on {needed} only; the organ reads as that, but not surely"


def _abstaining(reading: Reading, reason: str | None) -> Reading:
    if reason is None:
        return reading

    return replace(reading, finding=replace(reading.finding, abstained=True, reason=reason))
