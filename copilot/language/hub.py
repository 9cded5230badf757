"""Any chat model that transformers can load: a folder on disk, or a hub name already in the local cache."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slides.errors import SetupError, UsageError
from slides.files import sha256_of

from .decoding import LocalModel
from .model import Message
from .tokens import complete_characters
from .transformers_network import TransformersNetwork

if TYPE_CHECKING:
    import torch

QUANTISED_FIX = 'pip install -c constraints.txt "pathcopilot[quantised]"'


def load_hub(name: str, *, quantise: str | None = None) -> LocalModel:
    """The chat model of a folder or of a hub name; nothing is ever downloaded.

    `quantise` "4bit" stores the weights as NF4 (Dettmers et al. 2023) through bitsandbytes.

    Raises
    ------
    SetupError : the model is not on this machine, or a package for it is missing
    UsageError : the model is no chat model, or `quantise` is unknown
    """
    if quantise not in (None, "4bit"):
        raise UsageError(f"unknown quantisation {quantise}: only 4bit is there")
    folder = _folder(name)
    let_transformers_import()
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokens = TemplateTokens(AutoTokenizer.from_pretrained(folder, **here), Path(name).name)
        model = AutoModelForCausalLM.from_pretrained(folder, **here, **_placement(quantise))
    except (OSError, ValueError, SafetensorError) as error:
        raise SetupError(f"{Path(name).name} cannot be loaded: {_first_line(error)}") from error
    tokens.ends |= _ends(model.generation_config.eos_token_id)
    return LocalModel(Path(name).name, weights_sha256(folder), TransformersNetwork(model), tokens)


class TemplateTokens:
    """A transformers tokenizer with the chat template that came with it.

    Texts of control tokens are taken out of what is said, so that no content can open a turn of its own.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        if not tokenizer.is_fast:
            raise SetupError(f"{name} has no fast tokenizer (tokenizer.json): save one into its folder")
        if not tokenizer.chat_template:
            raise UsageError(f"{name} has no chat template, so it is no chat model: take its instruct version")
        self._tokenizer = tokenizer
        self.ends = _ends(tokenizer.eos_token_id)
        control = sorted((t.content for t in tokenizer.added_tokens_decoder.values() if t.special), key=len)
        self._control = re.compile("|".join(map(re.escape, reversed(control))) or "(?!)")

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        from jinja2 import TemplateError

        turns: list[Message] = [{**turn, "content": self._control.sub("", turn["content"])} for turn in messages]
        try:
            return self._render(turns)
        except TemplateError:  # a template that knows no system turn (Gemma): it becomes the head of the question
            return self._render(_without_system(turns))

    def _render(self, turns: Sequence[Message]) -> list[int]:
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def reply(self, text: str) -> tuple[list[int], list[int]]:
        encoding = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
        )
        return encoding["input_ids"], complete_characters(encoding["offset_mapping"], len(text))

    def text(self, ids: Sequence[int]) -> str:
        said: str = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return said


def weights_sha256(folder: Path) -> str:
    """Hash of a model folder's weights: of its one file, or over the lines `hash  name` of several."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    hashes = [(_file_sha256(file), file.name) for file in files]
    if len(hashes) == 1:
        return hashes[0][0]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for digest, name in hashes).encode()).hexdigest()


def _file_sha256(file: Path) -> str:
    blob = file.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", blob):  # the hub's cache names large files by their SHA-256
        return blob
    return sha256_of(file)


def _folder(name: str) -> Path:
    if (Path(name).expanduser() / "config.json").is_file():
        return Path(name).expanduser()
    if Path(name).expanduser().exists():
        raise UsageError(f"{Path(name).name} is no model folder: it has no config.json")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (OSError, ValueError) as error:
        raise SetupError(
            f"no model {name} on this machine: give a folder with config.json and safetensors, "
            f"or fetch it first with `hf download {name}`"
        ) from error


def _placement(quantise: str | None) -> dict[str, Any]:
    import torch

    from .embedded import native_precision

    gpu = torch.cuda.is_available()
    dtype: torch.dtype = torch.bfloat16 if gpu else getattr(torch, native_precision())
    device = "cuda" if gpu else "cpu"
    if quantise is None:
        return {"dtype": dtype} | ({"device_map": device} if gpu else {})
    if not all(importlib.util.find_spec(package) for package in ("bitsandbytes", "accelerate")):
        raise SetupError(f"4bit needs bitsandbytes and accelerate: {QUANTISED_FIX}")
    from transformers import BitsAndBytesConfig

    # On a CPU, computing in bfloat16 takes seven times as long (measured: 7 against 53 tokens a second).
    compute = torch.bfloat16 if gpu else torch.float32
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)
    return {"quantization_config": config, "device_map": device, "dtype": compute}


def let_transformers_import() -> None:
    """A torchvision built for CUDA stops transformers' import on a CPU; without torchvision all is well."""
    if importlib.util.find_spec("torchvision"):
        from vision_encoder.torchvision_shim import import_torchvision

        with contextlib.suppress(ImportError):
            import_torchvision()


def _ends(tokens: int | list[int] | None) -> frozenset[int]:
    if tokens is None:
        return frozenset()
    return frozenset([tokens] if isinstance(tokens, int) else tokens)


def _without_system(turns: Sequence[Message]) -> list[Message]:
    first, *rest = turns
    if first["role"] != "system" or not rest:
        return list(turns)
    return [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
