"""Stand-ins for trained parts, simple enough that a test knows what they must answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from slides import Finding


class ColourEncoder:
    """Mean colour of the tile and its spread: six numbers."""

    name = "colour"
    dimension = 6
    mpp = None
    tile_px = 224
    sha256 = "0" * 64

    def __init__(self) -> None:
        self.encoded = 0

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> np.ndarray:
        self.encoded += len(images)
        pixels = [np.asarray(image, dtype=np.float32).reshape(-1, 3) / 255 for image in images]
        return np.stack([np.concatenate([tile.mean(axis=0), tile.std(axis=0)]) for tile in pixels])


@dataclass
class FixedReading:
    """A reading as looking uses it."""

    finding: Finding
    tile_probabilities: np.ndarray
    classes: tuple[str, ...]


@dataclass
class FixedHeads:
    """Says the same of every bag; a tile's probability of `colon` is its mean red."""

    stain: str = "HE"
    card: ClassVar = {"sha256": "1" * 64}
    added: ClassVar = ()

    def read(
        self, features: np.ndarray, *, mpp: float | None = None, organ: str | None = None
    ) -> tuple[FixedReading, ...]:
        self.mpp = mpp
        red = features[:, 0]
        pair = np.stack([red, 1 - red], axis=1).astype(np.float32)

        def reading(name: str, label: str, other: str, p: float) -> FixedReading:
            finding = Finding(name, label=label, probability=p, prediction_set=(label,), novelty=0.5)
            return FixedReading(finding, pair, (label, other))

        return (
            reading("category", "malignant", "normal", 0.8),
            reading("tissue breast", "tumour", "stroma", 0.6),
            reading("organ", "colon", "breast", 0.9),
            reading("tissue colon", "mucosa", "muscle", 0.7),
            reading("stain", self.stain, "other", 0.95),
        )


@dataclass
class FixedMatch:
    """A reference case as looking uses it."""

    title: str = "case one"
    diagnosis: str = "tubular adenoma"
    organ: str = "colon"
    category: str = "benign tumour"
    similarity: float = 0.9
    agreement: float = 0.7
    organ_agreement: float = 0.8


class FixedAtlas:
    """Every bag resembles one case."""

    card: ClassVar = {"sha256": "2" * 64}

    def nearest(self, features: np.ndarray, k: int = 3) -> tuple[FixedMatch, ...]:
        return (FixedMatch(),)[:k]
