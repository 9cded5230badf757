"""Two processes with half a batch each do what one does with the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slides.errors import UsageError
from vision_encoder.networks import compile_parts
from vision_encoder.pretrain.draws import Draws
from vision_encoder.pretrain.objective import Batch, build_objective

from .pretrain_tiles import checkpoint_of, dino_recipe, run, write_recipe, write_set

pytest.importorskip("pyarrow")
pytest.importorskip("accelerate")
ROOT = Path(__file__).parents[2]
VIT = """network = "vit"
network_settings = { width = 24, depth = 2, heads = 2, image_px = 32, registers = 1 }"""
TASK = '\n[[task]]\nsource = "made"\ncolumn = "tissue"\n'


def in_two_processes(recipe: Path, data: Path, out: Path) -> str:
    """What torchrun says on stderr."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "copilot.cli", "pretrain", str(recipe), "--data", str(data), "--out", str(out)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("encoder.safetensors") == 1  # one process tells
    return done.stderr


def farthest(one: Any, other: Any) -> float:
    if isinstance(one, torch.Tensor):
        return float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return max((farthest(one[key], other[key]) for key in one), default=0.0)
    return 0.0


def typical(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() - other.double()).abs().mean())


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", groups=8)
    states = []
    for batch, name in ((8, "one"), (4, "two")):
        objective: dict[str, object] = {"slide": 0.5, "labels": 0.5}
        recipe = write_recipe(tmp_path, VIT, objective, batch=batch, labelled=0.5, steps=4, watch=4, average=0.5)
        recipe.write_text(recipe.read_text() + TASK)
        if name == "one":
            run(recipe, data, tmp_path / name)
        else:
            said = in_two_processes(recipe, data, tmp_path / name)
            assert said.count("step 4 of 4") == 1
        states.append(checkpoint_of(tmp_path / name))
    one, two = states
    assert one["step"] == two["step"] == 4
    for key in ("loss", "tile", "slide", "labels", "rank"):
        assert two["history"][0][key] == pytest.approx(one["history"][0][key], rel=1e-4), key
    # First moments are running means of gradients: they would differ by a factor if a process counted twice.
    first = [[entry["exp_avg"] for entry in state["optimiser"]["state"].values()] for state in states]
    scale = max(float(moment.abs().max()) for moment in first[0])
    assert max(farthest(a, b) for a, b in zip(*first, strict=True)) < 2e-3 * scale
    for kept in ("objective", "average"):
        for name in one[kept]:
            # A weight whose gradient is all rounding may go the other way: the mean tells, not the farthest.
            assert is_free(name) or typical(one[kept][name], two[kept][name]) < 1e-5, name


@pytest.mark.slow
def test_two_processes_distil_as_one_does(tmp_path: Path) -> None:
    """Assignments are evened out over the whole batch, and its embeddings are kept apart as a whole."""
    data = write_set(tmp_path / "data", groups=8)
    states = []
    for batch, name in ((8, "one"), (4, "two")):
        recipe = dino_recipe(tmp_path, drop_path=0.0, batch=batch, steps=4, watch=4)
        run(recipe, data, tmp_path / name) if name == "one" else in_two_processes(recipe, data, tmp_path / name)
        states.append(checkpoint_of(tmp_path / name))
    one, two = states
    for key in ("loss", "class", "patch", "kde"):
        assert two["history"][0][key] == pytest.approx(one["history"][0][key], rel=1e-4), key
    first = [[entry["exp_avg"] for entry in state["optimiser"]["state"].values()] for state in states]
    scale = max(float(moment.abs().max()) for moment in first[0])
    assert max(farthest(a, b) for a, b in zip(*first, strict=True)) < 2e-3 * scale


@pytest.mark.slow
def test_compiled_networks_give_the_same_losses() -> None:
    """Traced, with the code left to torch: what a compiler makes of it is torch's."""
    from .test_pretrain_dino import batch as tiles
    from .test_pretrain_dino import made

    plain, compiled = made(), made()
    compile_parts(compiled, backend="aot_eager")
    for share in (0.1, 0.9):
        one, other = plain(tiles(share=share)), compiled(tiles(share=share))
        for objective, losses in ((plain, one), (compiled, other)):
            objective.zero_grad()
            losses["loss"].backward()
        assert all(other[name].item() == pytest.approx(one[name].item(), rel=1e-4) for name in one)
        for mine, theirs in zip(plain.network.parameters(), compiled.network.parameters(), strict=True):
            assert mine.grad is not None
            assert torch.allclose(mine.grad, theirs.grad, atol=1e-4)
    assert plain.state_dict().keys() == compiled.state_dict().keys()


def is_free(name: str) -> bool:
    """Whether the loss does not depend on a weight, as a batch norm or VICReg takes off any constant after it.

    Its gradient is rounding alone, which Adam scales up to a full step.
    """
    return name.endswith(("qkv.bias", "norm.bias", "projector.3.bias", "running_mean"))


@pytest.mark.parametrize("name", ["vicreg", "sigreg"])
def test_in_half_precision_views_and_losses_stay_exact(name: str) -> None:
    """On a GPU a step runs under autocast: only the network and the projectors may lose digits."""
    from vision_encoder.networks import build_network

    torch.manual_seed(1)
    network = build_network("vit", width=24, depth=2, heads=2, image_px=32, registers=1)
    settings: dict[str, Any] = {"name": name, "projector": (16, 8), "slide": 0.5, "view": {"side": 32, "blur": 1.0}}
    objective = build_objective(network, 24, (), settings)
    tiles = torch.randint(256, (8, 40, 40, 3), dtype=torch.uint8)
    nothing = torch.full((8,), -1)

    def losses() -> dict[str, torch.Tensor]:
        return objective(Batch(tiles, 4, nothing, nothing, Draws(torch.Generator().manual_seed(3), 8), 0.0))  # type: ignore[no-any-return]

    full = losses()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = losses()
    assert all(value.dtype == torch.float32 for value in half.values())
    assert half["loss"].item() == pytest.approx(full["loss"].item(), rel=0.05)
    half["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)


def test_a_setting_that_an_objective_lacks_is_told_before_the_first_step() -> None:
    with pytest.raises(UsageError, match=r"objective 'vicreg'.*knots"):
        build_objective(torch.nn.Identity(), 4, (), {"name": "vicreg", "knots": 3})
