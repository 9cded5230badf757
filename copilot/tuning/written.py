"""Writes what was learned: a folder that peft reads, a projector, and a card that names every hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slides.errors import UsageError
from slides.files import write_atomically

from ..language.adapter import CARD, LORA, PROJECTOR, SETTINGS
from ..language.embedded import NAME
from .student import of_projector

MOST_BYTES = 40_000_000
"""What ships beside the embedded model may be so large."""


def write_adapter(out: Path, student: Any, card: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the student's adapter, its projector where it has one, and the card with their hashes, which it returns.

    Weights are kept in half precision. The card is written last: a folder without one holds no adapter.

    Raises
    ------
    UsageError : the disk is full or the folder cannot be written
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    lora = get_peft_model_state_dict(student)
    projector = {name: value for name, value in student.state_dict().items() if of_projector(name)}
    contents = {LORA: save(_halved(lora)), SETTINGS: _settings(student, card["base"]["name"])}
    if projector:
        contents[PROJECTOR] = save(_halved({name.partition(".")[2]: value for name, value in projector.items()}))
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    whole = {**card, "files": files, "bytes": sum(map(len, contents.values()))}
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / CARD).unlink(missing_ok=True)
        for name, content in contents.items():
            write_atomically(out / name, content)
        write_atomically(out / CARD, json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UsageError(
            f"the adapter could not be written ({error.strerror}): make room and run the command again, it is all there"
        ) from error
    return whole


def _halved(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: weights[name].detach().cpu().half().contiguous() for name in sorted(weights)}


def _settings(student: Any, base: str) -> bytes:
    """peft's own settings; the base by its name, never by a path of this machine."""
    settings = student.peft_config["default"].to_dict()
    settings["base_model_name_or_path"] = NAME if base == "embedded" else base
    settings["inference_mode"] = True
    plain = {name: sorted(value) if isinstance(value, set) else value for name, value in settings.items()}
    return (json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True, default=str) + "\n").encode()
