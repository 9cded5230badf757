"""Encoders that run on a network of ours, in fp32: the one that ships, the ImageNet baseline, a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from slides.errors import SetupError

from .encoder import Features
from .networks import build_network, for_inference
from .on_planes import OnPlanes
from .preprocess import to_planes

if TYPE_CHECKING:
    from .catalog import EncoderRow

BATCH = 16


class EmbeddedEncoder:
    """Features float32 (n, d) of tiles of any size and mode.

    The centred square of a tile is resampled to `tile_px`, whatever its µm/px: the heads learn their
    scales from several. One precision for everything, fp32: 16 tiles of EfficientNet-Lite0 take 0.14 s
    on two cores without bf16 instructions, where bf16 takes 0.27 s and moves the features by up to 0.1.

    Raises `SetupError` where the file does not fit the row's network or gives no finite feature.
    """

    def __init__(self, row: EncoderRow, weights: Path) -> None:
        self.name = row.name
        self.dimension = row.dimension
        self.mpp = row.mpp
        self.tile_px = row.tile_px
        self.sha256 = row.sha256
        self._mean, self._deviation = row.mean, row.deviation
        self._network = for_inference(_filled(row, weights))
        blank = self._encode([Image.new("RGB", (row.tile_px, row.tile_px), (255, 255, 255))])
        if blank.shape != (1, row.dimension) or not np.isfinite(blank).all():
            raise SetupError(f"encoder '{row.name}' gives no finite feature of {row.dimension} numbers: {row.fix}")

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> Features:
        """Features float32 (n, d) of n tiles; a tile's features do not depend on its neighbours (1e-4).

        `mpp` is accepted for the protocol and changes nothing.
        """
        batches = [self._encode(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *batches])

    def on_planes(self) -> OnPlanes:
        """The same encoder on tensors; it shares the network with this one."""
        return OnPlanes(self._network, self.tile_px, self._mean, self._deviation)

    def _encode(self, images: Sequence[Image.Image]) -> Features:
        planes = to_planes(images, self.tile_px, self._mean, self._deviation)
        # A permuted view of (n, h, w, 3) already lies channels last: no copy.
        batch = torch.from_numpy(planes).permute(0, 3, 1, 2)
        with torch.inference_mode():
            features: Features = self._network(batch).numpy()
        return features


def _filled(row: EncoderRow, weights: Path) -> torch.nn.Module:
    """The row's network with the weights of the file as fp32, its ImageNet classifier `_fc` left out."""
    from safetensors import SafetensorError

    try:
        network = build_network(row.network, **row.settings)
        state = {name: value for name, value in _read_state(weights).items() if not name.startswith("_fc.")}
        network.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in state.items()})
    except (RuntimeError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise SetupError(
            f"the weights of encoder '{row.name}' do not fit network '{row.network}': {row.fix}"
        ) from error
    return network


def _read_state(weights: Path) -> dict[str, torch.Tensor]:
    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file

        state: dict[str, torch.Tensor] = load_file(weights)
        return state
    pickled: dict[str, torch.Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
    return pickled
