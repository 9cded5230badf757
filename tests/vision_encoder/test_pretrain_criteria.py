"""Laws of the losses and of the watch; lightly's losses are their oracles."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_encoder.pretrain.criteria import gaussian_distance, sigreg, vicreg
from vision_encoder.pretrain.watch import Watch, rank_me


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module")
def lightly() -> ModuleType:
    if find_spec("lightly") is None:
        pytest.skip("lightly is not installed")
    from vision_encoder.torchvision_shim import import_torchvision

    import_torchvision()
    import lightly.loss

    return lightly.loss  # type: ignore[no-any-return]


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_vicreg_equals_lightlys(lightly: ModuleType, weights: tuple[float, float, float]) -> None:
    first, second = 0.7 * normal(24, 10), 0.7 * normal(24, 10, seed=2) + 0.1
    theirs = lightly.VICRegLoss(*weights)(first, second)
    assert vicreg(first, second, *weights) == pytest.approx(float(theirs), rel=1e-5)


def test_the_distance_from_a_gaussian_equals_lightlys(lightly: ModuleType) -> None:
    from lightly.loss.lejepa_loss import SIGReg

    embeddings = 1.3 * normal(50, 6) + 0.2
    theirs = SIGReg(num_vectors=64)
    torch.manual_seed(5)
    expected = theirs(embeddings)
    torch.manual_seed(5)
    axes = F.normalize(torch.randn(6, 64), dim=0)
    assert gaussian_distance(embeddings @ axes) == pytest.approx(float(expected), rel=1e-5)


def test_the_distance_from_a_gaussian_is_least_for_a_gaussian() -> None:
    samples = normal(4000, 1)
    least = gaussian_distance(samples)
    for other in (0.5 * samples, 2 * samples, samples + 1, samples.sign(), torch.zeros_like(samples)):
        assert gaussian_distance(other) > 10 * least
    # of n samples the mean of n · |φ_n - φ|² is 1 - |φ|², integrated with the weight
    t = torch.linspace(-3, 3, 2001, dtype=torch.float64)
    expected = torch.trapezoid((1 - torch.exp(-(t**2))) * torch.exp(-(t**2) / 2), t)
    drawn = torch.stack([gaussian_distance(normal(200, 50, seed=seed)) for seed in range(10)])
    assert drawn.mean() == pytest.approx(float(expected), rel=0.1)


def test_vicreg_is_least_for_equal_views_that_are_spread_and_uncorrelated() -> None:
    good = torch.linalg.qr(normal(64, 8) - normal(64, 8).mean(dim=0)).Q
    good = (good - good.mean(dim=0)) * 63**0.5
    good = good @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(good.T))).T * 1.01
    least = float(vicreg(good, good))
    assert least == pytest.approx(0, abs=1e-4)
    mixed = good @ torch.linalg.qr(normal(8, 8)).Q.T * torch.linspace(1, 3, 8)
    for first, second in (
        (good, good.roll(1, 0)),  # views of other tiles
        (0.1 * good, 0.1 * good),  # not spread
        (mixed @ normal(8, 8), mixed @ normal(8, 8)),  # correlated
        (torch.ones_like(good), torch.ones_like(good)),  # collapsed
    ):
        assert vicreg(first, second) > least + 1


def test_sigreg_holds_views_together_and_spreads_them() -> None:
    def loss(first: Tensor, second: Tensor) -> float:
        return float(sigreg(first, second, torch.Generator().manual_seed(3), weight=0.05, directions=64))

    good = normal(400, 8)
    assert loss(good, good) < loss(good, good.roll(1, 0))
    assert loss(good, good) < loss(torch.zeros_like(good), torch.zeros_like(good))
    assert loss(good, good) < loss(0.2 * good, 0.2 * good)
    assert loss(good, good) == loss(good, good)


@pytest.mark.parametrize("criterion", ["vicreg", "sigreg"])
def test_gradients_are_those_of_finite_differences(criterion: str) -> None:
    first = (0.4 * normal(6, 3, dtype=torch.float64)).requires_grad_()
    second = (0.4 * normal(6, 3, seed=2, dtype=torch.float64)).requires_grad_()
    if criterion == "vicreg":
        assert torch.autograd.gradcheck(vicreg, (first, second))
        return
    # The distance itself runs in single precision: its slope along one direction is compared.
    distance = gaussian_distance(first @ torch.eye(3, dtype=torch.float64))
    (slope,) = torch.autograd.grad(distance, first)
    step = 1e-2 * F.normalize(slope, dim=(0, 1))
    with torch.no_grad():
        rise = gaussian_distance(first + step) - gaussian_distance(first - step)
    assert float(rise) == pytest.approx(2 * float((slope * step).sum()), rel=0.02)


def test_rank_me_is_the_number_of_equal_directions() -> None:
    isotropic = normal(4000, 16).numpy()
    assert rank_me(isotropic) == pytest.approx(16, rel=0.02)
    line = np.outer(np.arange(1, 200), np.arange(1, 17)).astype(np.float32)
    assert rank_me(line) == pytest.approx(1, abs=0.01)
    flat = isotropic.copy()
    flat[:, 5:] = 0
    assert rank_me(flat) == pytest.approx(5, rel=0.02)


def test_the_watch_tells_a_network_that_sees_from_one_that_does_not() -> None:
    generator = torch.Generator().manual_seed(4)
    label = np.tile(np.array(["dark", "light"], dtype=object), 30)
    tint = torch.where(torch.arange(60) % 2 == 0, 60, 180)[:, None, None, None]
    pixels = (tint + torch.randint(-20, 20, (60, 16, 16, 3), generator=generator)).to(torch.uint8)
    group = np.array([f"g{number // 4}" for number in range(60)], dtype=object)
    watch = Watch(pixels, 16, group, np.array(["made"] * 60, dtype=object), label)

    class Mean(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([images.mean(dim=(2, 3)), images[:, :, 0, 0]], dim=1)

    class Blind(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.ones(len(images), 6) + 1e-3 * images[:, :, :2, 0].flatten(1)

    seeing = watch.look(Mean().train(), torch.device("cpu"))
    blind = watch.look(Blind(), torch.device("cpu"))
    assert seeing.probe == 1.0
    assert seeing.rank > blind.rank
    assert seeing.spread > 10 * blind.spread
    assert blind.cosine > 0.999 > seeing.cosine
    unlabelled = Watch(pixels, 16, group, group, np.array([""] * 60, dtype=object))
    assert unlabelled.look(Mean(), torch.device("cpu")).probe is None


def test_a_neighbour_of_the_same_group_has_no_vote() -> None:
    """Each group holds two labels alike in picture: only its own group would tell the right one."""
    pixels = torch.zeros(8, 8, 8, 3, dtype=torch.uint8)
    pixels[:] = torch.arange(8)[:, None, None, None] // 2 * 60
    label = np.array(["a", "a", "b", "b"] * 2, dtype=object)
    group = np.array(["1", "1", "2", "2", "3", "3", "4", "4"], dtype=object)
    watch = Watch(pixels, 8, group, np.array(["made"] * 8, dtype=object), label)

    class Grey(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            level = images.mean(dim=(1, 2, 3))[:, None]
            return torch.cat([level, 1 - level], dim=1)

    probe = watch.look(Grey(), torch.device("cpu")).probe
    assert probe is not None
    assert probe < 1.0
