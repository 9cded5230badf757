"""Trained files: a safetensors file of arrays and a JSON beside it that names its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import SetupError
from slides.files import write_atomically

WEIGHTS = Path(__file__).parent / "weights"
Arrays = Mapping[str, NDArray[Any]]


class MadeForAnother(SetupError):
    """Raised when a trained file belongs to another encoder than the one that is loaded."""


def write_trained(folder: Path, name: str, arrays: Arrays, card: Mapping[str, Any]) -> str:
    """Writes `name.safetensors` and `name.json` into the folder, each atomically; returns the hash.

    The JSON is the card with `sha256` of the arrays file added. Equal arrays give equal bytes.
    """
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    content = save({key: np.ascontiguousarray(arrays[key]) for key in sorted(arrays)})
    sha256 = hashlib.sha256(content).hexdigest()
    write_atomically(folder / f"{name}.safetensors", content)
    text = json.dumps({"sha256": sha256, **card}, ensure_ascii=False, indent=1) + "\n"
    write_atomically(folder / f"{name}.json", text)
    return sha256


REMEDY = "reinstall pathcopilot, or train it again with the recipe of the same name"


def read_trained(folder: Path, name: str, remedy: str = REMEDY) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the card written by `write_trained`, the hash verified; `remedy` ends each error.

    Raises
    ------
    SetupError : a file is missing, damaged, or the arrays are not those of the card
    """
    from safetensors.numpy import load

    try:
        content = (folder / f"{name}.safetensors").read_bytes()
        card: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"the trained file '{name}' is missing or damaged: {remedy}") from error
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise SetupError(f"the trained file '{name}' differs from its hash: {remedy}")
    return dict(load(content)), card
