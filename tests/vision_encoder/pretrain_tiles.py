"""Small Parquet sets, recipes and runs for the laws of pretraining."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vision_encoder.pretrain.checkpoint import State
from vision_encoder.pretrain.pool import TilePool
from vision_encoder.pretrain.run import pretrain

from ..conftest import paint_tissue

LITE0 = 'network = "efficientnet_lite0"\nfrozen = 3'
VIT = """network = "vit"
network_settings = { width = 24, depth = 2, heads = 2, image_px = 32, registers = 1, drop_path = 0.2 }"""
USUAL: dict[str, object] = {
    "start": '"random"',
    "batch": 4,
    "steps": 5,
    "watch": 5,
    "checkpoint": 2,
    "tile_px": 48,
    "downsamples": [1],
    "rate": 1e-3,
    "readout": 0,
    "early": 0,
}
OBJECTIVE: dict[str, object] = {"name": '"vicreg"', "projector": [16, 8], "view": "{ side = 32 }"}

DINO: dict[str, object] = {
    "name": '"dino"',
    "large": "{ side = 32 }",
    "small": "{ side = 16 }",
    "smalls": 2,
    "prototypes": 32,
    "hidden": 32,
    "bottleneck": 8,
    "frozen": 0.1,
    "momentum": 0.95,
}


@lru_cache(maxsize=4)
def painted(number: int) -> bytes:
    """One of a few generated tiles of 64 px, as JPEG."""
    pixels = np.asarray(paint_tissue(128, 128, number).crop((32, 32, 96, 96))) * (1 - 0.04 * (number % 4))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def write_set(folder: Path, groups: int = 6, tiles: int = 2, **changed: dict[int, Any]) -> Path:
    """A data folder of one Parquet set; `changed` gives a column other values by the tile's number."""
    import pyarrow.parquet

    rows = [
        {
            "id": f"{group}-{tile}",
            "dataset": "made",
            "group": f"g{group}",
            "organ": "colon",
            "label": "tumour" if group % 2 else "normal",
            "disease": "",
            "category": "normal",
            "stain": "HE",
            "mpp": 0.5,
            "split": "train",
            "terms": "permissive",
            "jpeg": painted((group * tiles + tile) % 4),
        }
        for group in range(groups)
        for tile in range(tiles)
    ]
    for column, values in changed.items():
        for number, value in values.items():
            rows[number][column] = value
    (folder / "tiles").mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "tiles" / "made.parquet")
    return folder


def write_recipe(folder: Path, network: str = VIT, objective: dict[str, object] | None = None, **top: object) -> Path:
    """A recipe file of the usual settings with these changed or added."""
    lines = [network, *(f"{name} = {value}" for name, value in (USUAL | top).items()), "[objective]"]
    lines += [f"{name} = {value}" for name, value in (OBJECTIVE | (objective or {})).items()]
    path = folder / "tiny.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def dino_recipe(folder: Path, drop_path: float = 0.1, **top: object) -> Path:
    """A recipe of self-distillation by a small transformer."""
    network = f"""network = "vit"
network_settings = {{ width = 24, depth = 2, heads = 2, patch = 8, image_px = 32, drop_path = {drop_path} }}"""
    usual: dict[str, object] = {"average": 0, "decay": 0.04, "decay_end": 0.2, "decay_norms": "false"}
    path = write_recipe(folder, network, DINO, **usual | top)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join(line for line in lines if not line.startswith(("projector =", "view ="))), encoding="utf-8"
    )
    return path


def run(
    recipe: Path,
    data: Path | None,
    out: Path,
    until: int | None = None,
    stop_at: int | None = None,
    slides: Sequence[Path] = (),
) -> dict[str, Any]:
    """A run; `stop_at` ends it right after that step as a kill would, before anything more is written."""

    def report(line: str) -> None:
        if stop_at is not None and line.startswith(f"step {stop_at} of"):
            raise Killed

    card = pretrain(recipe, data, out, report, lambda what, done, total: None, until, slides)
    assert card is not None
    return card


class Killed(BaseException):
    """What no code of ours catches."""


def checkpoint_of(out: Path) -> State:
    """What a run has left on the disk."""
    state: State = torch.load(out / "checkpoint.pt", weights_only=True)
    return state


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def pool_of(slides: list[int], side: int = 8) -> TilePool:
    """A pool of even tiles, so many of each slide."""
    slide = np.repeat(np.arange(len(slides)), slides)
    pixels = torch.arange(len(slide), dtype=torch.uint8)[:, None, None, None].expand(-1, side, side, 3).contiguous()
    none = np.full(len(slide), -1)
    return TilePool(pixels, slide, none, none.copy())


def striped(kind: int, seed: int) -> torch.Tensor:
    """A tile of 40 px of one of eight kinds: two colours, four widths of stripes."""
    generator = torch.Generator().manual_seed(seed)
    across = torch.arange(40.0).expand(40, 40)
    wave = torch.sin((0.15, 0.3, 0.6, 1.2)[kind % 4] * across + 6 * torch.rand(1, generator=generator)) * 50
    colour = torch.tensor([[220.0, 150, 190], [120, 90, 170]])[kind // 4]
    noise = torch.randn(40, 40, 3, generator=generator) * 6
    return (colour + (wave.T if seed % 2 else wave)[:, :, None] + noise).clamp(0, 255).to(torch.uint8)
