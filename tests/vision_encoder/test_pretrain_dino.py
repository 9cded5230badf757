"""Laws of self-distillation: teacher, prototypes, hidden patches and spread; lightly's losses are their oracles."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from slides.errors import UsageError
from vision_encoder.networks import build_network
from vision_encoder.pretrain.dino import SelfDistillation
from vision_encoder.pretrain.draws import Draws
from vision_encoder.pretrain.objective import Batch, build_objective
from vision_encoder.pretrain.prototypes import Centre, PrototypeHead, class_loss, disagreement, sinkhorn
from vision_encoder.pretrain.spread import kernel_density, koleo

from .pretrain_tiles import Killed, checkpoint_of, dino_recipe, run, same, striped, write_set

VIT = {"width": 24, "depth": 2, "heads": 2, "patch": 8, "image_px": 32, "registers": 1}
SETTINGS: dict[str, Any] = {
    "name": "dino",
    "large": {"side": 32},
    "small": {"side": 16},
    "smalls": 2,
    "prototypes": 16,
    "hidden": 32,
    "bottleneck": 8,
}


def made(**changed: Any) -> SelfDistillation:
    torch.manual_seed(2)
    objective = build_objective(build_network("vit", **VIT), 24, (), SETTINGS | changed)
    assert isinstance(objective, SelfDistillation)
    return objective


def batch(seed: int = 1, share: float = 0.5, count: int = 6) -> Batch:
    tiles = torch.randint(256, (count, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    nothing = torch.full((count,), -1)
    return Batch(tiles, count // 2, nothing, nothing, Draws(torch.Generator().manual_seed(seed), count), share)


def cosines(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def lightly() -> ModuleType:
    if find_spec("lightly") is None:
        pytest.skip("lightly is not installed")
    from vision_encoder.torchvision_shim import import_torchvision

    import_torchvision()
    import lightly.loss

    return lightly.loss  # type: ignore[no-any-return]


def test_the_class_loss_equals_lightlys_over_steps_of_a_moving_centre(lightly: ModuleType) -> None:
    theirs = lightly.DINOLoss(12, teacher_temp=0.06, warmup_teacher_temp=0.06)
    centre = Centre(12)
    for step in range(3):
        teacher, student = cosines(2, 5, 12, seed=step), cosines(6, 5, 12, seed=10 + step)
        expected = theirs(list(teacher), list(student))
        told = centre(teacher.flatten(0, 1), 0.06).unflatten(0, (2, 5))
        assert class_loss(told, student) == pytest.approx(float(expected), rel=1e-5)
    assert torch.allclose(centre.mean, theirs.center.flatten(), atol=1e-6)


def test_the_patch_loss_equals_lightlys(lightly: ModuleType) -> None:
    objective = made(centring="softmax")
    masks = torch.zeros(4, 16, dtype=torch.bool)
    masks[0, :5], masks[1, 3:6], masks[3, 7] = True, True, True
    tokens, seen = torch.randn(4, 16, 24), torch.randn(4, 16, 24)
    assert objective.places is not None
    theirs = lightly.IBOTPatchLoss(16, teacher_temp=0.05)
    expected = theirs(
        objective.places.teacher(tokens[masks]), objective.places(seen[masks]), masks.unflatten(1, (4, 4))
    )
    assert objective._of_hidden(masks, tokens, seen, 0.05).item() == pytest.approx(expected.item(), rel=1e-5)


def test_koleo_equals_lightlys(lightly: ModuleType) -> None:
    embeddings = torch.randn(20, 6)
    assert koleo(embeddings) == pytest.approx(float(lightly.KoLeoLoss()(embeddings)), rel=1e-5)


def test_sinkhorn_equals_lightlys(lightly: ModuleType) -> None:
    from lightly.loss.swav_loss import sinkhorn as theirs

    given = cosines(30, 8)
    assert torch.allclose(sinkhorn(given, 0.05, 3), theirs(given, 3, 0.05), atol=1e-6)


def test_sinkhorn_uses_all_prototypes_alike() -> None:
    given = cosines(64, 8) * 0.3
    given[:, 2] += 0.5  # one prototype is nearest to every row
    assigned = sinkhorn(given, 0.05, 20)
    assert torch.allclose(assigned.sum(dim=1), torch.ones(64))
    assert torch.allclose(assigned.sum(dim=0), torch.full((8,), 8.0), atol=0.05)
    assert F.softmax(given / 0.05, dim=1).sum(dim=0)[2] > 50


def test_prototypes_and_projections_are_directions() -> None:
    head = PrototypeHead(24, 32, 8, 16)
    tokens = torch.randn(10, 24)
    said = head(tokens)
    assert said.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        head.prototypes *= torch.arange(1, 17)[:, None]
    assert torch.allclose(head(tokens), said, atol=1e-6)


def test_disagreement_is_least_where_the_student_says_the_same() -> None:
    given = cosines(12, 8)
    told = F.softmax(given / 0.1, dim=1)
    entropy = -(told * told.log()).sum(dim=1)
    assert torch.allclose(disagreement(told, given), entropy, atol=1e-5)
    assert (disagreement(told, given.roll(1, 0)) > entropy).all()


@pytest.mark.parametrize("spread", [koleo, kernel_density])
def test_spread_is_less_the_farther_apart_embeddings_lie(spread: Any) -> None:
    apart = torch.cat([torch.eye(6), -torch.eye(6)]).requires_grad_()
    near = torch.ones(12, 6) + 0.1 * torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
    assert (
        spread(apart)
        < spread(torch.randn(12, 6))
        < spread(near)
        < spread(torch.ones(12, 6) + 1e-4 * torch.randn(12, 6))
    )
    assert torch.allclose(spread(apart), spread(7 * apart))
    given = near.clone().double().requires_grad_()
    (slope,) = torch.autograd.grad(spread(given), given)
    assert spread(near - 0.05 * F.normalize(slope.float(), dim=1)) < spread(near)


def test_the_density_of_equal_and_of_opposite_embeddings_is_known() -> None:
    assert kernel_density(torch.ones(9, 4), 5.0) == pytest.approx(5.0)
    assert kernel_density(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 5.0) == pytest.approx(-5.0)
    assert kernel_density(torch.randn(2000, 32), 5.0) == pytest.approx(25 / 64, abs=0.05)


def test_half_of_the_large_views_have_blots_hidden_and_as_many_every_step() -> None:
    objective = made(masked=(0.1, 0.5), large={"side": 64})
    counts = []
    for seed in range(20):
        masks = objective._masks(Draws(torch.Generator().manual_seed(seed), 6), 6)
        assert masks.shape == (12, 64)
        both = masks.unflatten(0, (2, 6)).sum(dim=2)
        assert ((both > 0).sum(dim=0) == 1).all()  # one of the two views of each tile
        counts.append(both.sum(dim=0).tolist())
    assert all(count == counts[0] for count in counts)
    assert counts[0] == [6, 12, 17, 22, 27, 32]
    half = masks.unflatten(0, (2, 6)).any(dim=0)[-1].view(8, 8).float()
    neighbours = (half[:, 1:] == half[:, :-1]).float().mean()
    assert neighbours > 0.6  # of single patches at random half would be


def test_the_teacher_follows_the_student_along_a_cosine_and_gets_no_gradient() -> None:
    objective = made(momentum=0.9)
    before = copy.deepcopy(objective.teacher.state_dict())
    with torch.no_grad():
        for parameter in objective.network.parameters():
            parameter.add_(1.0)
    for share, step in ((0.0, 0.1), (0.5, 0.05), (1.0, 0.0)):
        objective.teacher.load_state_dict(before)
        objective.after_step(share)
        moved = objective.teacher.state_dict()["norm.weight"] - before["norm.weight"]
        assert torch.allclose(moved, torch.full_like(moved, step), atol=1e-6)
    losses = objective(batch())
    losses["loss"].backward()
    assert set(losses) == {"loss", "class", "patch", "kde"}
    assert all(parameter.grad is None for parameter in objective.teacher.parameters())
    assert all(parameter.grad is not None for parameter in objective.network.parameters())
    assert objective.shipped() is objective.teacher
    assert objective.train().network.training
    assert not objective.teacher.training


def test_prototypes_rest_at_first() -> None:
    objective = made(frozen=0.1)
    for share, rests in ((0.0, True), (0.09, True), (0.1, False)):
        objective.zero_grad()
        objective(batch(share=share))["loss"].backward()
        objective.before_step(share)
        assert (objective.classes.student.prototypes.grad is None) == rests
        assert objective.classes.student.layers[0].weight.grad is not None


def test_the_teachers_temperature_rises_and_stays() -> None:
    objective = made(temperature=(0.04, 0.07), temperature_warm_up=0.3)
    assert [objective._heat(share) for share in (0, 0.15, 0.3, 1.0)] == pytest.approx([0.04, 0.055, 0.07, 0.07])


def test_the_same_draws_give_the_same_losses_and_half_precision_nearly() -> None:
    objective = made()
    first, again, other = (objective(batch(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["loss"], other["loss"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = objective(batch(1))
    assert all(value.dtype == torch.float32 for value in half.values())
    assert half["loss"].item() == pytest.approx(first["loss"].item(), rel=0.05)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"centring": "mean"}, "centring"),
        ({"spread_by": "luck"}, "spread_by"),
        ({"large": {"side": 30}}, "multiples"),
        ({"large": {"sides": 32}}, "sides"),
    ],
)
def test_settings_that_cannot_be_are_told(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        made(**changed)


def test_a_network_without_patch_tokens_learns_from_class_tokens_alone() -> None:
    network = build_network("efficientnet_lite0", folded=True)
    with pytest.raises(UsageError, match="patches = 0"):
        build_objective(network, 1280, (), SETTINGS)
    sides = {"large": {"side": 64}, "small": {"side": 32}}
    objective = build_objective(network, 1280, (), SETTINGS | sides | {"patches": 0})
    losses = objective(batch(count=2))
    assert set(losses) == {"loss", "class", "kde"}
    assert losses["loss"].isfinite()


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("accelerate")
    data, recipe = write_set(tmp_path / "data"), dino_recipe(tmp_path)
    card = run(recipe, data, tmp_path / "whole")
    with pytest.raises(Killed):
        run(recipe, data, tmp_path / "killed", stop_at=3)
    run(recipe, data, tmp_path / "killed")
    whole, killed = checkpoint_of(tmp_path / "whole"), checkpoint_of(tmp_path / "killed")
    assert same(whole, killed)
    assert card["objective"] == "dino"
    teacher = {name.removeprefix("teacher."): value for name, value in whole["objective"].items()}
    assert all(torch.equal(value, teacher[name]) for name, value in whole["average"].items())
    decays = {group["weight_decay"] for group in whole["optimiser"]["param_groups"]}
    assert 0.0 in decays
    assert max(decays) == pytest.approx(0.2 - 0.16 * 0.5 * (1 + np.cos(np.pi * 0.8)))


def trained(objective: SelfDistillation, steps: int) -> dict[str, float]:
    """Mean losses of the last 15 steps on 64 tiles of eight kinds."""
    tiles = torch.stack([striped(kind, 8 * number + kind) for number in range(8) for kind in range(8)])
    optimiser = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=5e-3, weight_decay=0.04)
    seen: dict[str, list[float]] = {}
    none = torch.full((16,), -1)
    for step in range(steps):
        rows = torch.randint(64, (16,), generator=torch.Generator().manual_seed(step))
        draws = Draws(torch.Generator().manual_seed(step), 16)
        losses = objective(Batch(tiles[rows], 8, none, none, draws, step / steps))
        optimiser.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 3.0)
        optimiser.step()
        objective.after_step(step / steps)
        for name, value in losses.items():
            seen.setdefault(name, []).append(value.item())
    return {name: float(np.mean(values[-15:])) for name, values in seen.items()}


def test_student_and_teacher_learn_a_toy_set_together() -> None:
    """The loss falls below that of a student that says the same of every tile."""
    objective = made(momentum=0.9, frozen=0.0, temperature=(0.03, 0.03))
    before = copy.deepcopy(objective.teacher.state_dict())
    assert trained(objective, 80)["class"] < np.log(16) - 0.2
    moved = objective.teacher.state_dict()
    assert all(not torch.equal(value, moved[name]) for name, value in before.items() if "mask" not in name)


def test_hidden_patches_are_told_from_what_is_around_them() -> None:
    """With a teacher that stays the student learns what it says of patches that only the teacher sees."""
    objective = made(momentum=1.0, frozen=0.0, temperature=(0.02, 0.02), patches=5.0, smalls=0)
    assert trained(objective, 50)["patch"] < np.log(16) / 2 - 0.1
