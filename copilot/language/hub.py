"""Any chat model that transformers can load: a folder on disk, or a hub name already in the local cache."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slides.errors import SetupError, UsageError
from slides.files import sha256_of

from .decoding import LocalModel
from .model import Message
from .tokens import complete_characters, encode_around
from .transformers_network import TransformersNetwork

if TYPE_CHECKING:
    import torch

    from .adapter import Adapter

QUANTISED_FIX = 'pip install -c constraints.txt "pathcopilot[quantised]"'
TUNED_FIX = 'pip install -c constraints.txt "pathcopilot[tune]"'


def load_hub(name: str, *, quantise: str | None = None, adapter: Adapter | None = None) -> LocalModel:
    """The chat model of a folder or of a hub name; nothing is ever downloaded.

    `quantise` "4bit" stores the weights as NF4 (Dettmers et al. 2023), "8bit" as LLM.int8 (Dettmers et al. 2022),
    both through bitsandbytes. An `adapter` is put on by peft: merged into whole weights, beside quantised ones.

    Raises
    ------
    SetupError : the model is not on this machine, a package for it is missing, or the adapter is another model's
    UsageError : the model is no chat model, or `quantise` is unknown
    """
    if quantise not in (None, "4bit", "8bit"):
        raise UsageError(f"unknown quantisation {quantise}: 4bit and 8bit are there")
    folder = model_folder(name)
    let_transformers_import()
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokens = TemplateTokens(AutoTokenizer.from_pretrained(folder, **here), Path(name).name)
        model = AutoModelForCausalLM.from_pretrained(folder, **here, **placement(quantise))
    except (OSError, ValueError, SafetensorError) as error:
        raise SetupError(f"{Path(name).name} cannot be loaded: {first_line(error)}") from error
    tokens.ends |= _ends(model.generation_config.eos_token_id)
    shown, sha256 = Path(name).name, weights_sha256(folder)
    if adapter is None:
        return LocalModel(shown, sha256, TransformersNetwork(model), tokens)
    if adapter.base_sha256 != sha256:
        raise SetupError(f"the adapter {adapter.name} was tuned on another {shown} than the one on this machine")
    network = TransformersNetwork(_adapted(model, adapter, keep_apart=quantise is not None))
    return LocalModel(f"{shown} ({adapter.name})", adapter.sha256, network, tokens, **adapter.sight())


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
        special = {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        control = sorted(special.values(), key=len)
        self._control = re.compile("|".join(map(re.escape, reversed(control))) or "(?!)")
        self.end = self._closing(special)
        self.ends = _ends(tokenizer.eos_token_id) | {self.end}

    def prompt(self, messages: Sequence[Message], pictures: Sequence[Sequence[int]] = ()) -> list[int]:
        from jinja2 import TemplateError

        turns: list[Message] = [{**turn, "content": self._control.sub("", turn["content"])} for turn in messages]
        try:
            text = self._render(turns)
        except TemplateError:  # a template that knows no system turn (Gemma): it becomes the head of the question
            text = self._render(_without_system(turns))
        return encode_around(text, self._encode, iter(pictures))

    def _render(self, turns: Sequence[Message], *, ask: bool = True) -> str:
        text: str = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask)
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _closing(self, special: Mapping[int, str]) -> int:
        """The control token that the template sets behind an answer; the end of a text where it sets none."""
        said = "Yes."
        text = self._render([{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": said}], ask=False)
        behind = self._encode(text[text.rindex(said) + len(said) :])
        closing: int = next((number for number in behind if number in special), self._tokenizer.eos_token_id)
        return closing

    def reply(self, text: str) -> tuple[list[int], list[int]]:
        encoding = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
        )
        return encoding["input_ids"], complete_characters(encoding["offset_mapping"], len(text))

    def text(self, ids: Sequence[int]) -> str:
        said: str = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return said


def _adapted(model: Any, adapter: Adapter, *, keep_apart: bool) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise SetupError(f"an adapter needs peft: {TUNED_FIX}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is going
            adapted = PeftModel.from_pretrained(model, str(adapter.folder))
    except (ValueError, RuntimeError) as error:
        raise SetupError(f"the adapter {adapter.name} does not fit its model: {first_line(error)}") from error
    return adapted if keep_apart else adapted.merge_and_unload()


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


def model_folder(name: str) -> Path:
    """The folder of a model on this machine, by path or by hub name; raises `UsageError` or `SetupError`."""
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


def placement(quantise: str | None, *, training: bool = False) -> dict[str, Any]:
    """Precision, device and quantisation for `from_pretrained`; raises `SetupError` where a package is missing.

    For `training` on a CPU weights are float32, since adapters are too small for bfloat16's steps.
    """
    import torch

    from .embedded import native_precision

    gpu = torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    if gpu and training:  # each process on the card that its launcher gave it
        from accelerate import PartialState

        device = f"cuda:{PartialState().local_process_index}"
    dtype: torch.dtype = torch.bfloat16 if gpu else getattr(torch, "float32" if training else native_precision())
    if quantise is None:
        return {"dtype": dtype} | ({"device_map": device} if gpu else {})
    if not all(importlib.util.find_spec(package) for package in ("bitsandbytes", "accelerate")):
        raise SetupError(f"{quantise} needs bitsandbytes and accelerate: {QUANTISED_FIX}")
    from transformers import BitsAndBytesConfig

    # On a CPU, computing in bfloat16 takes seven times as long (measured: 7 against 53 tokens a second).
    compute = torch.bfloat16 if gpu else torch.float32
    if quantise == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": device, "dtype": compute}
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


def first_line(error: Exception) -> str:
    """The first line of what another library says, for an error of one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
