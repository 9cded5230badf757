"""The last layer: decorrelated, in order, the same for the same features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vision_encoder.networks.efficientnet_lite0 import EfficientNetLite0
from vision_encoder.pretrain.readout import principal_layer


@pytest.fixture
def features() -> np.ndarray:
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(24, 24)) * np.geomspace(1, 0.01, 24)
    return rng.normal(size=(2000, 24)) @ mixing.T + rng.normal(size=24) * 5


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_outputs_are_centred_uncorrelated_and_in_falling_order(features: np.ndarray, whitening: float) -> None:
    weight, bias = principal_layer(features, 8, whitening)
    outputs = features @ weight.T + bias
    covariance = np.cov(outputs.T)
    assert np.allclose(outputs.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-6 * covariance[0, 0])
    assert (np.diff(np.diag(covariance)) <= 1e-9).all()
    assert np.diag(covariance).mean() == pytest.approx(1)


def test_full_whitening_makes_all_variances_one(features: np.ndarray) -> None:
    weight, bias = principal_layer(features, 8, 1.0)
    assert np.allclose(np.var(features @ weight.T + bias, axis=0, ddof=1), 1)


def test_no_whitening_keeps_distances_of_the_kept_axes(features: np.ndarray) -> None:
    weight, bias = principal_layer(features, 24, 0.0)
    outputs = features @ weight.T + bias
    before = np.linalg.norm(features[:50, None] - features[None, :50], axis=-1)
    after = np.linalg.norm(outputs[:50, None] - outputs[None, :50], axis=-1)
    ratio = after[before > 0] / before[before > 0]
    assert np.allclose(ratio, ratio[0])


def test_equal_features_give_an_equal_layer(features: np.ndarray) -> None:
    first, second = principal_layer(features, 8, 0.5), principal_layer(features[::-1], 8, 0.5)
    assert np.allclose(first[0], second[0])
    assert np.allclose(first[1], second[1])


def test_a_network_with_a_readout_is_the_one_without_and_a_linear_layer() -> None:
    torch.manual_seed(1)
    bare, longer = EfficientNetLite0().eval(), EfficientNetLite0(readout=8).eval()
    longer.load_state_dict(bare.state_dict(), strict=False)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(longer(x), longer._readout(bare(x)), atol=1e-6)


def test_early_features_stand_after_the_deep_ones_and_do_not_change_them() -> None:
    torch.manual_seed(1)
    deep, both = EfficientNetLite0(readout=8).eval(), EfficientNetLite0(readout=8, early=4).eval()
    both.load_state_dict(deep.state_dict(), strict=False)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert both(x).shape == (2, 12)
        assert torch.equal(both(x)[:, :8], deep(x))


def test_early_features_tell_a_blurred_picture_from_a_sharp_one_by_more_than_noise() -> None:
    torch.manual_seed(1)
    network = EfficientNetLite0().eval()
    sharp = torch.rand(8, 3, 64, 64)
    soft = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)
    with torch.no_grad():
        one, other = (network.pooled(x)["_readout_early"] for x in (sharp, soft))
    assert ((one.mean(dim=0) - other.mean(dim=0)).abs() > 2 * one.std(dim=0)).any()


def test_a_second_tail_stands_beside_the_first_and_is_that_of_the_other_network() -> None:
    torch.manual_seed(1)
    one, other = (EfficientNetLite0(folded=True).eval() for _ in range(2))
    for trunk in ("_conv_stem", *(f"_blocks.{number}" for number in range(5))):  # what both share
        other.get_submodule(trunk).load_state_dict(one.get_submodule(trunk).state_dict())
    both = EfficientNetLite0(folded=True, beside=6).eval()
    both.load_state_dict(one.state_dict(), strict=False)
    both.set_beside(other)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = both(x)
        assert torch.allclose(features[:, :1280], one(x), atol=1e-5)
        assert torch.allclose(features[:, 1280:], both._readout_beside(other(x)), atol=1e-5)
    with pytest.raises(ValueError, match="folded"):
        one.set_beside(other)
