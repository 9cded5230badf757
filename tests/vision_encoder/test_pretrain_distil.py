"""Laws of distillation: the student comes near to the teacher, on tiles that it has not seen, and the teacher stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from slides.errors import PathcopilotError, UsageError
from vision_encoder import load_encoder
from vision_encoder.networks import build_network
from vision_encoder.pretrain.distil import Distillation
from vision_encoder.pretrain.draws import Draws
from vision_encoder.pretrain.objective import Batch, build_objective
from vision_encoder.shipped import write_trained

from .pretrain_tiles import Killed, checkpoint_of, run, same, striped, write_recipe, write_set

SIZES = {"width": 24, "depth": 1, "heads": 2, "patch": 8, "image_px": 32, "registers": 0}
VIEW = {"side": 32, "crop": (0.6, 1.0), "blur": 0.0}


def write_teacher(folder: Path, seed: int = 1) -> Path:
    """A random transformer that sees much of a tile, as an encoder folder."""
    torch.manual_seed(seed)
    network = build_network("vit", **SIZES, layer_scale=1.0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 and "blocks" in name:
                parameter.mul_(4)
    card = {"network": "vit", "settings": SIZES, "dimension": 24, "tile_px": 32, "mpp": None}
    card |= {"mean": [127 / 255] * 3, "deviation": [128 / 255] * 3}
    write_trained(folder, "encoder", {name: value.numpy() for name, value in network.state_dict().items()}, card)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher") / "big")


def made(teacher: Path | str, **changed: Any) -> Distillation:
    torch.manual_seed(9)
    student = build_network("vit", **SIZES | {"width": 16})
    objective = build_objective(student, 16, (), {"name": "distil", "teacher": str(teacher), "view": VIEW} | changed)
    assert isinstance(objective, Distillation)
    return objective


def toy(numbers: range) -> torch.Tensor:
    return torch.stack([striped(kind, 8 * number + kind) for number in numbers for kind in range(8)])


def batch(tiles: torch.Tensor, seed: int) -> Batch:
    none = torch.full((len(tiles),), -1)
    return Batch(tiles, len(tiles) // 2, none, none, Draws(torch.Generator().manual_seed(seed), len(tiles)), 0.0)


def likeness(objective: Distillation, tiles: torch.Tensor) -> float:
    """Mean cosine of what student and teacher say of tiles, standardised."""
    planes = F.interpolate(tiles.permute(0, 3, 1, 2).float() / 255, size=32)
    with torch.no_grad():
        told = (objective._teacher[0](planes) - objective.mean) / objective.variance.sqrt()
        said = objective.map(objective.network((planes * 255 - 127) / 128))
    return float(F.cosine_similarity(told, said).mean())


def test_a_student_comes_near_to_a_teacher_it_began_apart_from(teacher: Path) -> None:
    objective, tiles, unseen = made(teacher), toy(range(8)), toy(range(20, 24))
    optimiser = torch.optim.AdamW(objective.parameters(), lr=4e-3)
    objective(batch(tiles, 0))
    assert abs(likeness(objective, unseen)) < 0.2
    seen = []
    for step in range(60):
        rows = torch.randint(64, (24,), generator=torch.Generator().manual_seed(step))
        losses = objective(batch(tiles[rows], step))
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        seen.append({name: value.item() for name, value in losses.items()})
    first, last = (
        {name: np.mean([entry[name] for entry in part]) for name in seen[0]} for part in (seen[:5], seen[-10:])
    )
    assert last["angle"] < 0.5 * first["angle"]
    assert last["squared"] < 0.6 * first["squared"]
    assert likeness(objective, unseen) > 0.6


def test_the_teacher_is_neither_trained_nor_kept(teacher: Path) -> None:
    objective = made(teacher)
    names = set(objective.state_dict())
    assert {name.partition(".")[0] for name in names} == {
        "network", "map", "mean", "variance", "batches", "_extra_state",
    }  # fmt: skip
    weights = {id(parameter) for parameter in objective.parameters()}
    assert not weights & {id(parameter) for parameter in objective._teacher[0].parameters()}
    objective(batch(toy(range(1)), 1))["loss"].backward()
    assert all(parameter.grad is None for parameter in objective._teacher[0].parameters())


def test_targets_are_standardised(teacher: Path) -> None:
    objective = made(teacher)
    tiles = toy(range(8))
    views = tiles.permute(0, 3, 1, 2).float() / 255
    for _ in range(3):
        told = objective._told(views)
    assert told.mean(dim=0).abs().max() < 1e-4
    assert torch.allclose(told.std(dim=0), torch.ones(24), atol=0.05)


def test_an_encoder_on_tensors_gives_what_it_gives_of_pictures(teacher: Path) -> None:
    encoder = load_encoder(str(teacher))
    for side, close in ((32, 1e-5), (48, 0.05)):
        pixels = toy(range(1)).permute(0, 3, 1, 2).float()
        pixels = F.interpolate(pixels, size=side, mode="bilinear").round()
        pictures = [Image.fromarray(tile.permute(1, 2, 0).byte().numpy()) for tile in pixels]
        told = encoder.on_planes()(pixels / 255).numpy()  # type: ignore[attr-defined]
        assert np.abs(told - encoder.encode_tiles(pictures)).max() < close * np.abs(told).max()


def test_a_killed_run_goes_on_bit_for_bit_and_with_the_same_teacher_only(teacher: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("accelerate")
    data = write_set(tmp_path / "data")
    mine = tmp_path / "mine"
    mine.mkdir()
    for file in teacher.iterdir():
        (mine / file.name).write_bytes(file.read_bytes())
    recipe = write_recipe(tmp_path, objective={"name": '"distil"', "teacher": f'"{mine}"'})
    lines = recipe.read_text(encoding="utf-8").splitlines()
    recipe.write_text("\n".join(line for line in lines if not line.startswith("projector =")), encoding="utf-8")
    card = run(recipe, data, tmp_path / "whole")
    with pytest.raises(Killed):
        run(recipe, data, tmp_path / "killed", stop_at=3)
    run(recipe, data, tmp_path / "killed")
    assert same(checkpoint_of(tmp_path / "whole"), checkpoint_of(tmp_path / "killed"))
    assert card["teacher"] == "mine"
    assert card["teacher_sha256"] == json.loads((mine / "encoder.json").read_text())["sha256"]
    assert "mine" in card["licence"]
    write_teacher(mine, seed=2)
    load_encoder.cache_clear()
    with pytest.raises(UsageError, match="not that of the checkpoint"):
        run(recipe, data, tmp_path / "killed")


@pytest.mark.parametrize("name", ["no such folder", "timm:"])
def test_a_teacher_that_is_none_is_told_in_one_line(name: str) -> None:
    with pytest.raises(PathcopilotError) as told:
        made(name)
    assert "\n" not in str(told.value)
