"""Encoders of timm and open_clip, with weights that lie on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from slides.errors import SetupError
from slides.files import sha256_of

from .encoder import Features
from .preprocess import to_planes
from .torchvision_shim import import_torchvision

BATCH = 16


class LibraryEncoder:
    """Image features of a timm or open_clip model, float32 (n, d), with our own preprocessing."""

    def __init__(
        self,
        name: str,
        network: torch.nn.Module,
        tile_px: int,
        mean: tuple[float, float, float],
        deviation: tuple[float, float, float],
        sha256: str,
    ) -> None:
        self.name = name
        self.mpp: float | None = None
        self.tile_px = tile_px
        self.sha256 = sha256
        self._network = network.eval()
        self._mean, self._deviation = mean, deviation
        blank = Image.new("RGB", (tile_px, tile_px), (255, 255, 255))
        self.dimension = int(self._encode([blank]).shape[1])

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> Features:
        """Features float32 (n, d) of n tiles of any size and mode."""
        batches = [self._encode(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *batches])

    def _encode(self, images: Sequence[Image.Image]) -> Features:
        planes = to_planes(images, self.tile_px, self._mean, self._deviation)
        with torch.inference_mode():
            features = self._network(torch.from_numpy(planes).permute(0, 3, 1, 2).contiguous())
        rows: Features = features.float().flatten(1).numpy()
        return rows


def load_library_encoder(library: str, architecture: str, weights: Path) -> LibraryEncoder:
    """The encoder `library:architecture` with the weights file.

    Raises
    ------
    SetupError : the extra `encoders` is not installed, or the file does not fit the architecture
    """
    try:
        import_torchvision()
        build = _open_clip if library == "open_clip" else _timm
        network, tile_px, mean, deviation = build(architecture, weights)
    except ImportError as error:
        raise SetupError(
            f'{library} is not installed: pip install -c constraints.txt "pathcopilot[encoders]"'
        ) from error
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise SetupError(
            f"the weights file does not fit {library}:{architecture}: give the file of that architecture"
        ) from error
    name = f"{library}:{architecture}"
    return LibraryEncoder(name, network, tile_px, mean, deviation, sha256_of(weights))


_Built = tuple[torch.nn.Module, int, tuple[float, float, float], tuple[float, float, float]]


def _timm(architecture: str, weights: Path) -> _Built:
    import timm

    network = timm.create_model(architecture, pretrained=False, num_classes=0, checkpoint_path="")
    timm.models.load_checkpoint(network, str(weights), strict=False)
    _refuse_strangers(network, timm.models.load_state_dict(str(weights)))
    settings = timm.data.resolve_model_data_config(network)
    return network, settings["input_size"][-1], tuple(settings["mean"]), tuple(settings["std"])


def _open_clip(architecture: str, weights: Path) -> _Built:
    import open_clip

    # A path as `pretrained` is read from disk; `weights_only` refuses pickled code.
    model = open_clip.create_model(architecture, pretrained=str(weights), weights_only=True)
    settings: dict[str, Any] = open_clip.get_model_preprocess_cfg(model)
    side = settings["size"]
    side = side if isinstance(side, int) else side[0]
    return _ImageTower(model), side, tuple(settings["mean"]), tuple(settings["std"])


class _ImageTower(torch.nn.Module):
    """The image half of a CLIP model: its embedding in the space shared with text."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self.model.encode_image(x)
        return embedding


def _refuse_strangers(network: torch.nn.Module, state: dict[str, Any]) -> None:
    """timm is asked leniently because the file may hold a classifier; a missing layer is still an error."""
    missing = set(network.state_dict()) - set(state)
    if missing:
        raise ValueError(f"{len(missing)} layers are missing")
