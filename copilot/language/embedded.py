"""SmolLM2-135M-Instruct, the language model that comes with the package index and needs no network after set-up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slides.errors import SetupError

from .adapter import Adapter, shipped_adapter
from .convert import GGUF_SHA256, Precision, convert
from .decoding import LocalModel
from .graph import runtime_installed

if TYPE_CHECKING:
    from .decoding import Network

NAME = "SmolLM2-135M-Instruct"
Engine = Literal["onnx", "torch"]


def load_embedded(
    precision: Precision | None = None,
    *,
    adapter: Adapter | None = None,
    tuned: bool = True,
    engine: Engine | None = None,
) -> LocalModel:
    """The embedded model, converted first where that was not done at set-up.

    `engine` None takes `fastest_engine`; a `precision` asks for torch, None there for what this processor
    multiplies fastest. `adapter` None takes the one that ships, where one does; with `tuned` False the weights are
    as published. Raises `SetupError` without the weights, or for an adapter of another model.
    """
    if adapter is None and tuned:
        adapter = shipped_adapter()
    if adapter is not None and adapter.base_sha256 != GGUF_SHA256:
        raise SetupError(f"the adapter {adapter.name} was tuned on another model than {NAME}: tune it again")
    from safetensors import SafetensorError

    from .tokens import ChatML

    try:
        if precision is None and (engine or fastest_engine()) == "onnx":
            folder, network = _on_onnx(adapter)
        else:
            folder, network = _on_torch(precision or native_precision(), adapter)
        tokens = ChatML(folder / "tokenizer.json")
        if adapter is None:
            return LocalModel(NAME, GGUF_SHA256, network, tokens)
        return LocalModel(f"{NAME} ({adapter.name})", adapter.sha256, network, tokens, **adapter.sight())
    except (SafetensorError, KeyError, ValueError) as error:
        raise SetupError("the converted language model is damaged: run `pathcopilot doctor --prepare`") from error


def fastest_engine() -> Engine:
    """ONNX Runtime where it is installed, else torch: the same text from either, faster from the first."""
    return "onnx" if runtime_installed() else "torch"


def native_precision() -> Precision:
    """bfloat16 where the processor multiplies it in hardware, else float32.

    Without AVX512-BF16 or AMX torch emulates bfloat16 at a quarter of float32's rate.
    """
    import torch

    # torch has no public name for these two; absent in another build, float32 is right everywhere.
    asks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bfloat16" if any(ask() for ask in asks if ask) else "float32"


def _on_onnx(adapter: Adapter | None) -> tuple[Path, Network]:
    from .convert_graph import convert_graph
    from .onnx_network import OnnxNetwork

    folder = convert_graph(adapter)
    try:
        return folder, OnnxNetwork(folder)
    except Exception as error:  # the runtime's own kinds, for whatever is wrong in a file
        raise SetupError("the language model's graph is damaged: run `pathcopilot doctor --prepare`") from error


def _on_torch(precision: Precision, adapter: Adapter | None) -> tuple[Path, Network]:
    from .llama import LlamaNetwork

    folder = convert(precision)
    return folder, LlamaNetwork(folder, adapter)
