"""The model that is tuned, as transformers has it, and the tokens that the product would put to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slides.errors import SetupError

from ..language.convert import GGUF_SHA256, convert
from ..language.hub import TUNED_FIX, TemplateTokens, first_line, let_transformers_import, model_folder, placement
from ..language.hub import weights_sha256 as hash_of_weights
from ..language.tokens import ChatML, Tokens


@dataclass(frozen=True, slots=True)
class Base:
    """A causal language model of transformers with its tokens.

    Attributes
    ----------
    name : as a recipe names it
    sha256 : hash of the weights as published
    width : length of a token's embedding
    """

    model: Any
    tokens: Tokens
    name: str
    sha256: str

    @property
    def width(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[1])


def load_base(name: str, quantise: str) -> Base:
    """The base of a recipe. The embedded model is float32, as on a CPU it is; others as the product loads them.

    Raises
    ------
    SetupError : peft or accelerate, the model, or a package for it is missing
    UsageError : the model is no chat model
    """
    let_transformers_import()
    try:
        import accelerate  # noqa: F401
        import peft  # noqa: F401
    except ImportError as error:
        raise SetupError(f"tuning needs peft and accelerate: {TUNED_FIX}") from error
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    if name == "embedded":
        folder = convert("float32")
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="float32")
        return Base(model, ChatML(folder / "tokenizer.json"), name, GGUF_SHA256)
    folder, shown = model_folder(name), Path(name).name
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokens = TemplateTokens(AutoTokenizer.from_pretrained(folder, **here), shown)
        model = AutoModelForCausalLM.from_pretrained(folder, **here, **placement(quantise or None, training=True))
    except (OSError, ValueError, SafetensorError) as error:
        raise SetupError(f"{shown} cannot be loaded: {first_line(error)}") from error
    return Base(model, tokens, name, hash_of_weights(folder))
