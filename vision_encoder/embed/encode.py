"""From pixels to features, in the fastest engine that keeps the features of `load_encoder`."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, local
from typing import Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from slides import Pixels

from ..embedded import BATCH, EmbeddedEncoder
from ..encoder import Encoder, Features
from ..on_planes import OnPlanes
from ..preprocess import to_square

Engine = Literal["openvino", "onnx", "torch"]
_PACKAGES: dict[Engine, str] = {"openvino": "openvino", "onnx": "onnxruntime"}
"""Fastest first; each takes the network from `onnx`. OpenVINO is no dependency: its package brings its makers'
telemetry, unless installed without."""


class TileEngine(Protocol):
    """Encodes tiles; several threads may call it at once.

    name : of `Engine`
    precision : of the arithmetic, `float32`
    """

    name: str
    precision: str

    def encode(self, tiles: Sequence[Pixels], mpp: float | None) -> Features:
        """Features float32 (n, d) of n tiles RGB uint8 (h, w, 3)."""
        ...


def tile_engine(encoder: Encoder, workers: int, engine: Engine | None = None) -> TileEngine:
    """The engine named, or for a network of ours the fastest that is installed, else torch.

    One tile of EfficientNet-Lite0 takes 13.8 ms of a core in OpenVINO, 19.1 in ONNX Runtime, 23 in torch; centred
    features agree to a cosine of 0.999999, so that engines may be mixed.
    """
    if not isinstance(encoder, EmbeddedEncoder):
        return TorchEngine(encoder)
    engine = engine or next((name for name, package in _PACKAGES.items() if _installed("onnx", package)), "torch")
    if engine == "openvino":
        return OpenVinoEngine(encoder, workers)
    return OnnxEngine(encoder) if engine == "onnx" else TorchEngine(encoder)


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


class TorchEngine:
    """The encoder as `load_encoder` gives it, one batch at a time over all cores; other threads decode meanwhile."""

    name, precision = "torch", "float32"

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self._lock = encoder, Lock()

    def encode(self, tiles: Sequence[Pixels], mpp: float | None) -> Features:
        """As `TileEngine.encode`."""
        with self._lock:
            return self._encoder.encode_tiles([Image.fromarray(tile) for tile in tiles], mpp)


class _Graph:
    """The network of an encoder of ours with its normalisation as one graph on bytes, in batches of one size.

    Each worker runs batches by itself on one core: two batches at once take less than one on two cores.
    """

    name, precision = "", "float32"

    def __init__(self, encoder: EmbeddedEncoder) -> None:
        self._side, self._dimension = encoder.tile_px, encoder.dimension

    def encode(self, tiles: Sequence[Pixels], mpp: float | None) -> Features:
        """As `TileEngine.encode`; `mpp` changes nothing, as in `encode_tiles` of these networks."""
        features = np.empty((len(tiles), self._dimension), np.float32)
        batch = np.zeros((BATCH, self._side, self._side, 3), np.uint8)
        for start in range(0, len(tiles), BATCH):
            some = tiles[start : start + BATCH]
            for row, tile in zip(batch, some, strict=False):
                row[:] = np.asarray(to_square(Image.fromarray(tile), self._side))
            features[start : start + len(some)] = self._run(batch)[: len(some)]
        return features

    def _run(self, batch: Pixels) -> Features:
        raise NotImplementedError


class OpenVinoEngine(_Graph):
    """The graph in OpenVINO, a stream for each worker."""

    name = "openvino"

    def __init__(self, encoder: EmbeddedEncoder, workers: int) -> None:
        super().__init__(encoder)
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # it would call its makers
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # bf16, where the processor has it, moves features by up to 0.1
            "NUM_STREAMS": str(workers),
            "INFERENCE_NUM_THREADS": str(workers),
            "ENABLE_CPU_PINNING": False,  # pinned streams of several processes share one core
        }
        core = openvino.Core()
        # from ONNX, a quarter of the time that OpenVINO's own conversion from torch takes
        self._compiled = core.compile_model(core.read_model(_exported(encoder)), "CPU", settings)
        self._own = local()

    def _run(self, batch: Pixels) -> Features:
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        (features,) = request.infer([batch]).values()
        return np.asarray(features)


class OnnxEngine(_Graph):
    """The graph in ONNX Runtime, one thread for each worker."""

    name = "onnx"

    def __init__(self, encoder: EmbeddedEncoder) -> None:
        super().__init__(encoder)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(_exported(encoder), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def _run(self, batch: Pixels) -> Features:
        (features,) = self._session.run(None, {self._input: batch})
        return np.asarray(features)


def _exported(encoder: EmbeddedEncoder) -> bytes:
    """The network from bytes to features as an ONNX file."""
    example = torch.zeros((BATCH, encoder.tile_px, encoder.tile_px, 3), dtype=torch.uint8)
    module = _FromPixels(encoder.on_planes()).eval()
    with TemporaryDirectory() as folder, torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # the exporter by tracing: the newer one needs a package more, and gives the same graph of these networks
        torch.onnx.export(module, (example,), f"{folder}/graph.onnx", dynamo=False, opset_version=17)
        return Path(folder, "graph.onnx").read_bytes()


class _FromPixels(nn.Module):
    """uint8 (n, h, h, 3) → features (n, d): what `to_planes` and the network do, in one graph."""

    def __init__(self, on_planes: OnPlanes) -> None:
        super().__init__()
        self.on_planes = on_planes

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.on_planes(pixels.permute(0, 3, 1, 2).float() / 255)
        return features
