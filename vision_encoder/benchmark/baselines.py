"""What every encoder is measured against in the same run: photographs, chance weights, colour, and peers.

Each is an `Encoder`, so that features, cache and probes are the same for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from slides.files import sha256_of

from ..catalog import load_encoder
from ..colour_baseline import BINS, colour_row
from ..encoder import Encoder, Features
from ..networks.efficientnet_lite0 import DIMENSION, EfficientNetLite0, fold_batch_norms
from ..preprocess import to_planes, to_rgb

BATCH = 16
HALF = (0.5, 0.5, 0.5)
PEERS = {"nic_multitask": "encoder_multitask-4.h5", "nic_bigan": "encoder_bigan.h5"}


class ColourEncoder:
    """The colour histogram as an encoder: what can be told without any texture."""

    name = "colour"
    dimension = 3 * BINS + 6
    mpp: float | None = None
    tile_px = 0
    sha256 = hashlib.sha256(b"colour histogram, 8 bins, half size").hexdigest()

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> Features:
        """Features float32 (n, 30); `mpp` changes nothing."""
        rows = [colour_row(to_rgb(image)) for image in images]
        return np.stack(rows) if rows else np.empty((0, self.dimension), dtype=np.float32)


class NetworkEncoder:
    """A torch module as an encoder: the centred square of a tile at `tile_px`, whatever its µm/px."""

    def __init__(self, name: str, network: torch.nn.Module, tile_px: int, dimension: int, sha256: str) -> None:
        self.name = name
        self.dimension = dimension
        self.mpp: float | None = None
        self.tile_px = tile_px
        self.sha256 = sha256
        self._network = network.eval()

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> Features:
        """Features float32 (n, d) of tiles in [-1, 1]; `mpp` changes nothing."""
        features = np.empty((len(images), self.dimension), dtype=np.float32)
        for start in range(0, len(images), BATCH):
            planes = to_planes(images[start : start + BATCH], self.tile_px, HALF, HALF)
            with torch.inference_mode():
                batch = self._network(torch.from_numpy(planes).permute(0, 3, 1, 2))
            features[start : start + BATCH] = batch.numpy()
        return features


def random_encoder(seed: int = 0) -> Encoder:
    """EfficientNet-Lite0 with weights drawn by He et al. 2015 (normal, fan in), the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    network = EfficientNetLite0()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, generator=generator)
    sha256 = hashlib.sha256(f"EfficientNet-Lite0, He normal, seed {seed}".encode()).hexdigest()
    folded = fold_batch_norms(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return NetworkEncoder("random", folded, 224, DIMENSION, sha256)


def peer_encoders(folder: Path) -> list[Encoder]:
    """The two histology encoders in the folder (Tellez et al., "Neural image compression", TPAMI 2021).

    Both take 128 px tiles and were trained at 0.5 µm/px; they see the same field as every other encoder here.
    The folder's own `load_nic.py` builds them; needs h5py.
    """
    spec = spec_from_file_location("load_nic", folder / "load_nic.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [
        NetworkEncoder(name, module.load(str(folder / file)), 128, 128, sha256_of(folder / file))
        for name, file in PEERS.items()
        if (folder / file).is_file()
    ]


def baselines(data: Path | None) -> tuple[list[Encoder], list[str]]:
    """ImageNet, random weights, colour and the peers under `data/peers/nic`; and a note where these are left out."""
    own: list[Encoder] = [load_encoder("imagenet"), random_encoder(), ColourEncoder()]
    if data is None or not (data / "peers" / "nic" / "load_nic.py").is_file():
        return own, ["no peers measured: the data hold no folder peers/nic"]
    if find_spec("h5py") is None:
        return own, ['no peers measured: their files need pip install -c constraints.txt "pathcopilot[train]"']
    return own + peer_encoders(data / "peers" / "nic"), []
