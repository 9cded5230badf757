"""Training views of a tile: what may change in a tile while its label stays.

Stain colour is moved in the haematoxylin–eosin–DAB space (Ruifrok & Johnston 2001; as augmentation: Tellez
et al., Med Image Anal 2019); crops stand for a higher magnification. Views are for training only: a tile
that is read is never changed. Each view of each tile has its own seed, so a rerun makes the same pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 256
# Optical density of haematoxylin, eosin and DAB per channel, Ruifrok & Johnston 2001.
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_TO_STAINS = np.linalg.inv(_STAINS)


def whole(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The tile as it is."""
    return image


def half(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A square of half the short side, anywhere in the tile: twice the magnification."""
    return _crop(image, 0.5, rng)


def stained(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Another laboratory's stain and scanner: stains ± 25 %, white balance, a crop, a turn, at times soft."""
    image = _crop(image, rng.uniform(0.6, 1.0), rng).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    density = -np.log(np.maximum(np.asarray(image, dtype=np.float64), 1) / 255)
    amounts = density @ _TO_STAINS * rng.uniform(0.75, 1.25, 3) + rng.uniform(-0.04, 0.04, 3)
    light = np.exp(-np.maximum(amounts @ _STAINS, 0))
    light = light * rng.uniform(0.9, 1.08) + rng.uniform(-0.03, 0.03, 3)
    turned = np.rot90(light, int(rng.integers(4)))
    turned = turned[:, ::-1] if rng.random() < 0.5 else turned
    image = Image.fromarray(_to_8_bit(turned))
    soft = rng.random() < 0.25
    return image.resize((SIDE // 2, SIDE // 2), Image.Resampling.BILINEAR) if soft else image


VIEWS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "whole": whole,
    "half": half,
    "stained": stained,
}


def view_of(image: Image.Image, view: str, tile_id: str) -> Image.Image:
    """The named view of the tile with this id; the same every time."""
    seed = int.from_bytes(hashlib.sha256(f"{view}/{tile_id}".encode()).digest()[:8], "big")
    return VIEWS[view](image, np.random.default_rng(seed))


def _crop(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    side = max(int(min(image.size) * share), 1)
    left = int(rng.integers(0, image.width - side + 1))
    top = int(rng.integers(0, image.height - side + 1))
    return image.crop((left, top, left + side, top + side))


def _to_8_bit(light: NDArray[np.float64]) -> NDArray[np.uint8]:
    return (light.clip(0, 1) * 255).astype(np.uint8)
