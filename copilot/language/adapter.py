"""A tuned adapter on disk: low-rank weights (LoRA, Hu et al. 2022), a projector, and a card that names their hashes.

The folder is one that peft reads (`adapter_config.json`, `adapter_model.safetensors`); `adapter.json` beside it
names the base by the hash of its weights, so that an adapter is never put onto another model than its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slides.errors import SetupError
from slides.files import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

CARD = "adapter.json"
LORA = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"
PROJECTOR = "projector.safetensors"
SHIPPED = Path(__file__).parent / "weights"
"""Where the adapter of the embedded model lies, once one has earned its place there."""

_PREFIX = "base_model.model."  # what peft puts before the names of the base's weights
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A folder whose files are those of its card.

    Attributes
    ----------
    name : shown to the user: the recipe that it was tuned by
    sha256 : hash of the low-rank weights
    base : the model it belongs to, as recipes name it: `embedded`, a folder or a hub name
    base_sha256 : hash of that model's weights
    scale : factor of the product of the two low-rank matrices
    sees : whether the model is to be given `records`, `pictures` or both
    """

    folder: Path
    card: Mapping[str, Any]
    name: str
    sha256: str
    base: str
    base_sha256: str
    scale: float
    sees: tuple[str, ...]

    def sight(self) -> dict[str, Any]:
        """What `LocalModel` needs to see by this adapter; raises `SetupError` for a projector that does not fit."""
        if PROJECTOR not in self.card["files"]:
            return {"sees": self.sees}
        from .projector import load_projector

        projector = load_projector(self.folder / PROJECTOR, self.card["visual_tokens"])
        return {"sees": self.sees, "projector": projector, "encoder_sha256": self.card["encoder"]["sha256"]}


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter of ours."""
    return (folder / CARD).is_file()


def read_adapter(folder: Path) -> Adapter:
    """The adapter of a folder, each file's hash verified.

    Raises
    ------
    SetupError : a file is missing, damaged, or not the card's
    """
    wrong = SetupError(f"the adapter {folder.name} is incomplete or altered: write it again with `pathcopilot tune`")
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if any(sha256_of(folder / name) != digest for name, digest in card["files"].items()):
            raise wrong
        base = card["base"]
        scale = settings["lora_alpha"] / settings["r"]
        sees = tuple(card["sees"])
        return Adapter(folder, card, card["recipe"], card["files"][LORA], base["name"], base["sha256"], scale, sees)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise wrong from error


def shipped_adapter() -> Adapter | None:
    """The adapter that comes with the package, None where none does; raises `SetupError` when it is damaged."""
    return read_adapter(SHIPPED) if is_adapter(SHIPPED) else None


def low_rank(adapter: Adapter) -> dict[str, tuple[Tensor, Tensor]]:
    """What the adapter adds to weights, by their transformers names: down (r, in) and up (out, r), scale within.

    Raises `SetupError` where one of the two is missing.
    """
    from safetensors.torch import load_file

    parts = load_file(adapter.folder / LORA)
    pairs = {}
    for name, down in parts.items():
        if not name.endswith(_DOWN):
            continue
        up = parts.get(name.removesuffix(_DOWN) + _UP)
        if up is None:
            raise misfit(adapter)
        target = name.removeprefix(_PREFIX).removesuffix(_DOWN) + ".weight"
        pairs[target] = (down.float(), adapter.scale * up.float())
    return pairs


def merge(weights: dict[str, Tensor], adapter: Adapter) -> None:
    """Adds the adapter's products to the weights of a Llama by their transformers names, in place of the mapping.

    Sums are made in float32 and kept in the weight's own precision.

    Raises
    ------
    SetupError : the adapter names a weight that the model does not have, or of another shape
    """
    for name, (down, up) in low_rank(adapter).items():
        weight = weights.get(name)
        if weight is None or weight.shape != (up.shape[0], down.shape[1]):
            raise misfit(adapter)
        weights[name] = (weight.float() + up @ down).to(weight.dtype)


def misfit(adapter: Adapter) -> SetupError:
    """The error of an adapter that belongs to another model."""
    return SetupError(f"the adapter {adapter.name} does not fit the language model it is put on")
