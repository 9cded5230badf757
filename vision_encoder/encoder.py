"""What every encoder is: tiles in, float32 features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Features = NDArray[np.float32]


class Encoder(Protocol):
    """A frozen network that turns tiles into features.

    Attributes
    ----------
    name : as given to `load_encoder`
    dimension : length d of a feature
    mpp : µm/px it expects, None when it was trained over several
    tile_px : side of the square it sees, in pixels
    sha256 : hash of its weights file
    """

    name: str
    dimension: int
    mpp: float | None
    tile_px: int
    sha256: str

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> Features:
        """Features float32 (n, d) of n RGB tiles of any size; `mpp` is their µm/px where known."""
        ...
