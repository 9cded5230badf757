"""Encoders of ours by name: the baseline, folders, and what each refusal says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slides.errors import SetupError, UsageError
from vision_encoder import catalog, load_encoder
from vision_encoder.catalog import IMAGENET, embedded_row, verified_weights
from vision_encoder.encoder import Encoder
from vision_encoder.heads import load_heads
from vision_encoder.networks import build_network
from vision_encoder.preprocess import to_planes
from vision_encoder.retrieval import load_atlas
from vision_encoder.shipped import write_trained

from .library_models import TISSUE, refusal

pytestmark = pytest.mark.usefixtures("forget_encoders")


def save_folder(folder: Path, state: dict[str, torch.Tensor], **card: Any) -> Path:
    """An encoder folder as pretraining writes it: these weights as fp16, and a card; None leaves a value out."""
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    sha256 = write_trained(folder, "encoder", {key: value.numpy() for key, value in half.items()}, {})
    values = {"network": "efficientnet_lite0", "dimension": 1280, "tile_px": 224, "mpp": 0.5, "sha256": sha256}
    values |= {"mean": [127 / 255] * 3, "deviation": [128 / 255] * 3, "recipe": "test.toml"}
    kept = {key: value for key, value in (values | card).items() if value != "left out"}
    (folder / "encoder.json").write_text(json.dumps(kept))
    return folder


def imagenet_state() -> dict[str, torch.Tensor]:
    state = torch.load(verified_weights(IMAGENET), weights_only=True)
    return {key: value for key, value in state.items() if not key.startswith("_fc.")}


def test_until_another_encoder_ships_the_default_is_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    default, baseline = load_encoder("embedded"), load_encoder("imagenet")
    assert (default.name, baseline.name) == ("embedded", "imagenet")
    assert default.sha256 == baseline.sha256 == IMAGENET.sha256
    assert np.array_equal(default.encode_tiles(TISSUE), baseline.encode_tiles(TISSUE))


def test_weights_that_ship_are_the_default_and_the_baseline_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    save_folder(tmp_path, build_network("efficientnet_lite0").state_dict())
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    shipped, baseline = load_encoder("embedded"), load_encoder("imagenet")
    assert shipped.sha256 == embedded_row().sha256 != baseline.sha256 == IMAGENET.sha256
    assert (shipped.mpp, baseline.mpp) == (0.5, None)
    assert not np.allclose(shipped.encode_tiles(TISSUE), baseline.encode_tiles(TISSUE), atol=0.1)


def test_heads_and_atlas_of_other_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.manual_seed(1)
    stranger = load_encoder(str(save_folder(tmp_path / "mine", build_network("efficientnet_lite0").state_dict())))
    for load in (load_heads, load_atlas):
        with pytest.raises(SetupError, match="for encoder 'mine'") as told:
            load(stranger)
        assert "\n" not in str(told.value)


def test_half_precision_on_disk_gives_the_features_of_full_precision(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "half", imagenet_state())
    half, full = load_encoder(str(folder)), load_encoder("imagenet")
    assert half.sha256 == hashlib.sha256((folder / "encoder.safetensors").read_bytes()).hexdigest()
    one, other = half.encode_tiles(TISSUE), full.encode_tiles(TISSUE)
    assert one.dtype == np.float32
    assert np.abs(one - other).max() < 0.02 * np.abs(other).max()
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.9995


@pytest.mark.parametrize(
    ("network", "settings", "dimension"),
    [
        ("efficientnet_lite0", {}, 1280),
        ("efficientnet_lite0", {"folded": True}, 1280),
        ("vit", {"width": 48, "depth": 2, "heads": 4, "patch": 16, "registers": 2}, 48),
    ],
    ids=["lite0", "lite0 folded", "vit"],
)
def test_a_folder_gives_what_its_network_gives(
    tmp_path: Path, network: str, settings: dict[str, Any], dimension: int
) -> None:
    torch.manual_seed(2)
    built = build_network(network, **settings).eval()
    card = {"network": network, "settings": settings, "dimension": dimension}
    encoder = load_encoder(str(save_folder(tmp_path / "mine", built.state_dict(), **card)))
    planes = torch.from_numpy(to_planes(TISSUE, 224, (127 / 255,) * 3, (128 / 255,) * 3)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = built(planes).numpy()
    found = encoder.encode_tiles(TISSUE)
    assert found.shape == (3, dimension)
    assert np.abs(found - expected).max() <= 0.02 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"network": "left out"}, "states no network"),
        ({"mean": [0.5, 0.5]}, "damaged"),
        ({"network": "no_such_network"}, "no network 'no_such_network'"),
        ({"settings": {"depth": 3}}, "do not fit"),
        ({"dimension": 640}, "640"),
        ({"sha256": "0" * 64}, "differ from their hash"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_card_that_is_wrong_is_told_in_one_line(tmp_path: Path, card: dict[str, Any], said: str) -> None:
    folder = save_folder(tmp_path / "mine", imagenet_state(), **card)
    told = refusal(str(folder), (SetupError, UsageError))  # type: ignore[arg-type]
    assert said in told


def test_a_folder_with_half_of_an_encoder_is_told_in_one_line(tmp_path: Path) -> None:
    assert "no encoder folder" in refusal(str(tmp_path), UsageError)
    folder = save_folder(tmp_path / "mine", imagenet_state())
    (folder / "encoder.safetensors").rename(folder / "elsewhere")
    assert "pathcopilot pretrain" in refusal(str(folder))
    (folder / "elsewhere").rename(folder / "encoder.safetensors")
    (folder / "encoder.json").write_text("{")
    assert "missing or damaged" in refusal(str(folder))


@pytest.mark.parametrize("damage", [b"no tensors at all", b""], ids=["other", "empty"])
def test_weights_that_are_none_are_told_in_one_line(tmp_path: Path, damage: bytes) -> None:
    folder = save_folder(tmp_path / "mine", imagenet_state(), sha256=hashlib.sha256(damage).hexdigest())
    (folder / "encoder.safetensors").write_bytes(damage)
    assert "do not fit" in refusal(str(folder))


def test_weights_that_diverged_are_refused(tmp_path: Path) -> None:
    state = imagenet_state()
    state["_conv_head.weight"] = torch.full_like(state["_conv_head.weight"], torch.nan)
    assert "no finite feature" in refusal(str(save_folder(tmp_path / "mine", state)))


def test_encoders_answer_alike(tmp_path: Path) -> None:
    encoder: Encoder = load_encoder(str(save_folder(tmp_path / "mine", imagenet_state())))
    assert (encoder.name, encoder.dimension, encoder.tile_px, encoder.mpp) == ("mine", 1280, 224, 0.5)
    assert encoder.encode_tiles([]).shape == (0, 1280)
