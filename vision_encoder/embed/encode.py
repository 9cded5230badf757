"""From pixels to features, in the fastest engine that keeps the features of `load_encoder`."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from threading import Lock, local
from typing import Any, Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from slides import Pixels

from ..embedded import BATCH, EmbeddedEncoder
from ..encoder import Encoder, Features
from ..on_planes import OnPlanes
from ..preprocess import to_square

Engine = Literal["openvino", "torch"]


class TileEngine(Protocol):
    """Encodes tiles; several threads may call it at once.

    name : `torch` or `openvino`
    precision : of the arithmetic, `float32`
    """

    name: str
    precision: str

    def encode(self, tiles: Sequence[Pixels], mpp: float | None) -> Features:
        """Features float32 (n, d) of n tiles RGB uint8 (h, w, 3)."""
        ...


def tile_engine(encoder: Encoder, workers: int, engine: Engine | None = None) -> TileEngine:
    """The engine named, or OpenVINO where it is installed and the network is ours, else torch."""
    ours = isinstance(encoder, EmbeddedEncoder)
    if engine is None:
        engine = "openvino" if ours and importlib.util.find_spec("openvino") is not None else "torch"
    if engine == "openvino" and isinstance(encoder, EmbeddedEncoder):
        return OpenVinoEngine(encoder, workers)
    return TorchEngine(encoder)


class TorchEngine:
    """The encoder as `load_encoder` gives it, one batch at a time over all cores; other threads decode meanwhile."""

    name, precision = "torch", "float32"

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self._lock = encoder, Lock()

    def encode(self, tiles: Sequence[Pixels], mpp: float | None) -> Features:
        """As `TileEngine.encode`."""
        with self._lock:
            return self._encoder.encode_tiles([Image.fromarray(tile) for tile in tiles], mpp)


class OpenVinoEngine:
    """The same network compiled by OpenVINO, the normalisation within it; each thread has a stream of its own."""

    name, precision = "openvino", "float32"

    def __init__(self, encoder: EmbeddedEncoder, workers: int) -> None:
        self._side, self._dimension = encoder.tile_px, encoder.dimension
        self._compiled = _compiled(encoder, workers)
        self._own = local()

    def encode(self, tiles: Sequence[Pixels], mpp: float | None) -> Features:
        """As `TileEngine.encode`; `mpp` changes nothing, as in `encode_tiles` of these networks."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        features = np.empty((len(tiles), self._dimension), np.float32)
        batch = np.zeros((BATCH, self._side, self._side, 3), np.uint8)
        for start in range(0, len(tiles), BATCH):
            some = tiles[start : start + BATCH]
            for row, tile in zip(batch, some, strict=False):
                row[:] = np.asarray(to_square(Image.fromarray(tile), self._side))
            (result,) = request.infer([batch]).values()
            features[start : start + len(some)] = result[: len(some)]
        return features


class _FromPixels(nn.Module):
    """uint8 (n, h, h, 3) → features (n, d): what `to_planes` and the network do, in one graph."""

    def __init__(self, on_planes: OnPlanes) -> None:
        super().__init__()
        self.on_planes = on_planes

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.on_planes(pixels.permute(0, 3, 1, 2).float() / 255)
        return features


def _compiled(encoder: EmbeddedEncoder, workers: int) -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # it would call its makers
    import openvino

    shape = [BATCH, encoder.tile_px, encoder.tile_px, 3]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Converting a tensor")  # sizes are constants here, as they should be
        graph = openvino.convert_model(
            _FromPixels(encoder.on_planes()),
            example_input=torch.zeros(shape, dtype=torch.uint8),
            input=[(shape, openvino.Type.u8)],
        )
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # bf16, where the processor has it, moves features by up to 0.1
        "NUM_STREAMS": str(workers),
        "INFERENCE_NUM_THREADS": str(workers),
        "ENABLE_CPU_PINNING": False,  # pinned streams of several processes share one core
    }
    return openvino.Core().compile_model(graph, "CPU", settings)
