"""SmolLM2-135M-Instruct, the language model that comes with the package index and needs no network after set-up."""

from __future__ import annotations

from slides.errors import SetupError

from .adapter import Adapter, shipped_adapter
from .convert import GGUF_SHA256, Precision, convert
from .decoding import LocalModel

NAME = "SmolLM2-135M-Instruct"


def load_embedded(
    precision: Precision | None = None, *, adapter: Adapter | None = None, tuned: bool = True
) -> LocalModel:
    """The embedded model, converted first where that was not done at set-up.

    `precision` None takes what this processor multiplies fastest. `adapter` None takes the one that ships, where
    one does; with `tuned` False the weights are as published. Raises `SetupError` without the weights, or for an
    adapter of another model.
    """
    if adapter is None and tuned:
        adapter = shipped_adapter()
    if adapter is not None and adapter.base_sha256 != GGUF_SHA256:
        raise SetupError(f"the adapter {adapter.name} was tuned on another model than {NAME}: tune it again")
    folder = convert(precision or native_precision())
    from safetensors import SafetensorError

    from .llama import LlamaNetwork
    from .tokens import ChatML

    try:
        network, tokens = LlamaNetwork(folder, adapter), ChatML(folder / "tokenizer.json")
        if adapter is None:
            return LocalModel(NAME, GGUF_SHA256, network, tokens)
        return LocalModel(f"{NAME} ({adapter.name})", adapter.sha256, network, tokens, **adapter.sight())
    except (SafetensorError, KeyError, ValueError) as error:
        raise SetupError("the converted language model is damaged: run `pathcopilot doctor --prepare`") from error


def native_precision() -> Precision:
    """bfloat16 where the processor multiplies it in hardware, else float32.

    Without AVX512-BF16 or AMX torch emulates bfloat16 at a quarter of float32's rate.
    """
    import torch

    # torch has no public name for these two; absent in another build, float32 is right everywhere.
    asks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bfloat16" if any(ask() for ask in asks if ask) else "float32"
