"""Laws of the vision transformer, and timm's of the same sizes as its oracle."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from slides.errors import UsageError
from vision_encoder import load_encoder
from vision_encoder.networks import build_network, for_inference, network_names
from vision_encoder.networks.vit import VisionTransformer
from vision_encoder.shipped import write_trained
from vision_encoder.torchvision_shim import import_torchvision

from ..conftest import paint_tissue

SIZES = {"width": 48, "depth": 3, "heads": 3, "image_px": 64, "registers": 4}


def tiny(**changed: object) -> VisionTransformer:
    torch.manual_seed(3)
    network = build_network("vit", **SIZES | changed)
    assert isinstance(network, VisionTransformer)
    for parameter in network.parameters():  # away from the start, where scales and tokens are nearly nothing
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def images(side: int = 64, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("side", [64, 96])
def test_it_equals_timms_with_the_same_weights(registers: int, side: int) -> None:
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    import_torchvision()
    import timm
    from timm.layers import resample_abs_pos_embed

    ours = tiny(registers=registers)
    peer = timm.models.VisionTransformer(
        img_size=side, patch_size=16, embed_dim=48, depth=3, num_heads=3, num_classes=0, init_values=0.1,
        reg_tokens=registers, no_embed_class=True,
    ).eval()  # fmt: skip
    state = {name: value.clone() for name, value in ours.state_dict().items() if name != "mask_token"}
    if registers == 0:
        del state["reg_token"]
    state["pos_embed"] = resample_abs_pos_embed(
        state["pos_embed"], (side // 16, side // 16), num_prefix_tokens=0, interpolation="bilinear", antialias=False
    )
    peer.load_state_dict(state)
    with torch.inference_mode():
        token, patches = ours.forward_tokens(images(side))
        theirs = peer.forward_features(images(side))
    assert torch.allclose(token, theirs[:, 0], atol=1e-4)
    assert torch.allclose(patches, theirs[:, 1 + registers :], atol=1e-4)
    assert torch.allclose(ours(images(side)), token)


@pytest.mark.parametrize(("width", "heads", "millions"), [(192, 3, 5.5), (384, 6, 21.7)], ids=["Ti", "S"])
def test_the_sizes_are_those_of_the_papers(width: int, heads: int, millions: float) -> None:
    with torch.device("meta"):
        network = VisionTransformer(width=width, heads=heads)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_a_masked_patch_is_not_seen_and_the_others_are() -> None:
    network = tiny()
    masked = torch.zeros(1, 16, dtype=torch.bool)
    masked[0, 5] = True  # row 1, column 1
    one, other = images(count=1), images(count=1)
    other[:, :, 16:32, 16:32] += 3
    with torch.inference_mode():
        unseen = [network.forward_tokens(image, masked) for image in (one, other)]
        seen = [network.forward_tokens(image)[0] for image in (one, other)]
    assert torch.equal(unseen[0][0], unseen[1][0])
    assert torch.equal(unseen[0][1], unseen[1][1])
    assert not torch.allclose(seen[0], seen[1], atol=1e-2)
    assert not torch.allclose(seen[0], unseen[0][0], atol=1e-2)


def test_any_side_of_whole_patches_is_taken_and_no_other_network_settings() -> None:
    network = tiny()
    with torch.inference_mode():
        token, patches = network.forward_tokens(torch.zeros(2, 3, 48, 96))
    assert token.shape == (2, 48)
    assert patches.shape == (2, 18, 48)
    with pytest.raises(ValueError, match="heads"):
        build_network("vit", width=50, heads=3)
    with pytest.raises(UsageError, match="efficientnet_lite0 or vit"):
        build_network("vgg")
    assert "vit" in network_names()


def test_dropped_paths_keep_the_mean_and_rest_in_evaluation() -> None:
    network = tiny(drop_path=0.5, depth=2)
    block = network.blocks[1]
    assert network.blocks[0].drop == 0
    block.train()
    torch.manual_seed(0)
    kept = block._kept(torch.ones(4000, 1, 2))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(kept[:, :, 0], kept[:, :, 1])  # a path is dropped as a whole
    assert kept.mean() == pytest.approx(1.0, abs=0.05)
    block.eval()
    with torch.inference_mode():
        assert torch.equal(network(images()), network(images()))


def test_gradients_reach_every_weight() -> None:
    network = tiny().train()
    masked = torch.zeros(2, 16, dtype=torch.bool)
    masked[:, 3] = True
    token, patches = network.forward_tokens(images(), masked)
    (token.sum() + patches.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_a_folder_with_it_is_an_encoder(tmp_path: Path) -> None:
    network = tiny()
    card = {"network": "vit", "settings": SIZES, "dimension": 48, "tile_px": 64, "mpp": None}
    card |= {"mean": [127 / 255] * 3, "deviation": [128 / 255] * 3}
    arrays = {name: value.half().numpy() for name, value in network.state_dict().items()}
    write_trained(tmp_path / "mine", "encoder", arrays, card)
    encoder = load_encoder(str(tmp_path / "mine"))
    features = encoder.encode_tiles([paint_tissue(64, 64), paint_tissue(64, 64, 8)])
    assert features.shape == (2, 48)
    assert not np.allclose(features[0], features[1], atol=1e-3)
    assert not for_inference(network.train()).training
