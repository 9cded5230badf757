"""An encoder on disk: `encoder.safetensors` beside `encoder.json`, its card, as `pathcopilot pretrain` writes them.

The card holds `network` (a name of `networks`), `dimension`, `tile_px`, `mpp` (null where it was trained over
several), `mean` and `deviation` of channels in [0, 1], and `sha256` of the weights; `settings` where the
network takes any; `licence` and `source` where they are known. Tensors may be fp16; they run as fp32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slides.errors import SetupError

from .catalog import EncoderRow

CARD, WEIGHTS_FILE = "encoder.json", "encoder.safetensors"


def has_encoder(folder: Path) -> bool:
    """True where the folder holds a card or weights; `read_row` says what of them is missing."""
    return (folder / CARD).is_file() or (folder / WEIGHTS_FILE).is_file()


def read_row(name: str, folder: Path, fix: str) -> EncoderRow:
    """The row that a folder's card states; `fix` ends the one line of every error about its weights.

    Raises
    ------
    SetupError : the card is missing, no JSON, or lacks a value
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return EncoderRow(
            name=name,
            network=str(card["network"]),
            package="",
            file=str(folder / WEIGHTS_FILE),
            sha256=str(card["sha256"]),
            fix=fix,
            dimension=int(card["dimension"]),
            tile_px=int(card["tile_px"]),
            mpp=None if card["mpp"] is None else float(card["mpp"]),
            mean=_channels(card["mean"]),
            deviation=_channels(card["deviation"]),
            licence=str(card.get("licence", "")),
            source=str(card.get("source", "")),
            settings=dict(card.get("settings", {})),
        )
    except KeyError as error:
        raise SetupError(f"the card of encoder '{name}' ({CARD}) states no {error.args[0]}: {fix}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SetupError(f"the card of encoder '{name}' ({CARD}) is missing or damaged: {fix}") from error


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
