"""Models of timm, open_clip and transformers through the one adapter, beside what those libraries give themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slides.errors import UsageError
from slides.files import sha256_of
from vision_encoder import load_encoder

from .library_models import (
    TINY_CLIP,
    TISSUE,
    know_tiny_clip,
    need_libraries,
    obey_the_laws,
    open_clip_repository,
    put_into_cache,
    refusal,
    timm_repository,
    tiny_timm,
    transformers_repository,
)

pytestmark = pytest.mark.usefixtures("forget_encoders")


def test_a_timm_file_gives_the_features_that_timm_gives(tmp_path: Path) -> None:
    need_libraries()
    import timm

    weights = tiny_timm(tmp_path)
    encoder = load_encoder(f"timm:test_vit@{weights}")
    obey_the_laws(encoder, 64, 160)
    assert encoder.sha256 == sha256_of(weights)
    peer = timm.create_model("test_vit", pretrained=False, num_classes=5, checkpoint_path=str(weights)).eval()
    settings = timm.data.resolve_model_data_config(peer) | {"crop_pct": 1.0}
    transform = timm.data.create_transform(**settings, is_training=False)
    with torch.inference_mode():
        expected = peer.forward_head(
            peer.forward_features(torch.stack([transform(t) for t in TISSUE])), pre_logits=True
        )
    np.testing.assert_allclose(encoder.encode_tiles(TISSUE), expected.numpy(), atol=1e-3)


def test_an_open_clip_repository_gives_the_features_that_open_clip_gives(tmp_path: Path, cache: Path) -> None:
    need_libraries()
    import open_clip

    snapshot = put_into_cache(cache, "someone/clip", open_clip_repository(tmp_path / "clip"))
    encoder = load_encoder("hf-hub:someone/clip")
    obey_the_laws(encoder, 32, 64)
    assert encoder.name == "hf-hub:someone/clip"
    assert encoder.sha256 == sha256_of(snapshot / "open_clip_model.safetensors")
    peer, _, transform = open_clip.create_model_and_transforms(f"local-dir:{snapshot}")
    with torch.inference_mode():
        expected = peer.eval().encode_image(torch.stack([transform(tile) for tile in TISSUE]))
    np.testing.assert_allclose(encoder.encode_tiles(TISSUE), expected.numpy(), atol=1e-3)


def test_a_repository_without_a_row_is_built_as_its_config_says(tmp_path: Path, cache: Path) -> None:
    need_libraries()
    put_into_cache(cache, "someone/vit", timm_repository(tmp_path / "vit"))
    encoder = load_encoder("hf-hub:someone/vit")
    obey_the_laws(encoder, 64, 160)
    put_into_cache(cache, "someone/dino", transformers_repository(tmp_path / "dino"))
    obey_the_laws(load_encoder("hf-hub:someone/dino"), 32, 56)
    placed = load_encoder(f"hf-hub:someone/dino@{tmp_path / 'dino'}")
    obey_the_laws(placed, 32, 56)
    (tmp_path / "dino" / "config.json").unlink()
    assert "no config" in refusal(f"hf-hub:someone/dino@{tmp_path / 'dino'}/model.safetensors", UsageError)


def test_a_library_loads_its_own_weights_from_the_cache(tmp_path: Path, cache: Path) -> None:
    need_libraries()
    assert "hf download timm/test_vit.r160_in1k" in refusal("timm:test_vit")
    snapshot = put_into_cache(cache, "timm/test_vit.r160_in1k", timm_repository(tmp_path / "vit"))
    encoder = load_encoder("timm:test_vit")
    obey_the_laws(encoder, 64, 160)
    assert encoder.sha256 == sha256_of(snapshot / "model.safetensors")
    placed = load_encoder(f"timm:test_vit@{snapshot / 'model.safetensors'}")
    np.testing.assert_allclose(placed.encode_tiles(TISSUE), encoder.encode_tiles(TISSUE), atol=1e-4)


def test_a_tag_of_open_clip_brings_its_own_normalisation(tmp_path: Path, cache: Path, monkeypatch: Any) -> None:
    need_libraries()
    import open_clip

    said = {"hf_hub": "someone/clip/", "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.5, 0.5), "interpolation": "bilinear"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, TINY_CLIP, {"mine": said})
    put_into_cache(cache, "someone/clip", open_clip_repository(tmp_path / "clip"))
    tagged = load_encoder(f"open_clip:{TINY_CLIP}@mine")
    obey_the_laws(tagged, 32, 64)
    only = load_encoder(f"open_clip:{TINY_CLIP}")
    assert np.array_equal(tagged.encode_tiles(TISSUE), only.encode_tiles(TISSUE))
    plain = load_encoder(f"open_clip:{TINY_CLIP}@{tmp_path / 'clip' / 'open_clip_model.safetensors'}")
    assert not np.allclose(tagged.encode_tiles(TISSUE), plain.encode_tiles(TISSUE), atol=1e-3)


def test_class_and_mean_leave_the_registers_out() -> None:
    need_libraries()
    import timm

    from vision_encoder.library_networks import Pooled

    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=0, reg_tokens=4, global_pool="").eval()
    x = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        tokens = network(x)
        feature = Pooled(network, "class+mean", network.num_prefix_tokens)(x)
    assert tokens.shape[1] == 1 + 4 + 100
    torch.testing.assert_close(feature, torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1))


@pytest.mark.parametrize(
    "content", [b"no weights at all", b"", b"PK\x03\x04" + b"\0" * 60], ids=["text", "empty", "zip"]
)
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_file_of_something_else_is_told_in_one_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    need_libraries()
    know_tiny_clip(tmp_path)
    path = tmp_path / f"pytorch_model.{suffix}"
    path.write_bytes(content)
    for name in (
        f"timm:test_vit@{path}",
        f"open_clip:{TINY_CLIP}@{path}",
        f"hf-hub:UNI@{path}",
        f"hf-hub:CONCH@{path}",
    ):
        assert "does not fit" in refusal(name)


def test_weights_of_another_architecture_do_not_fit(tmp_path: Path) -> None:
    need_libraries()
    know_tiny_clip(tmp_path)
    weights = tiny_timm(tmp_path)
    for name in ("timm:test_vit2", "timm:resnet18", f"open_clip:{TINY_CLIP}", "hf-hub:UNI2-h"):
        assert "does not fit" in refusal(f"{name}@{weights}")


def test_code_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    need_libraries()
    know_tiny_clip(tmp_path)

    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (tmp_path / "run",))  # type: ignore[return-value]

    torch.save({"pos_embed": Trap()}, tmp_path / "pytorch_model.bin")
    path = tmp_path / "pytorch_model.bin"
    for name in (f"timm:test_vit@{path}", f"open_clip:{TINY_CLIP}@{path}", f"hf-hub:CONCH@{path}"):
        assert "does not fit" in refusal(name)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["timm:test_vit@FILE", "open_clip:ViT-B-32@FILE", "hf-hub:MahmoodLab/UNI@FILE"])
def test_without_the_extra_the_command_that_brings_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"weights")
    for package in ("timm", "open_clip", "torchvision"):
        monkeypatch.setitem(sys.modules, package, None)
    assert "pathcopilot[encoders]" in refusal(name.replace("FILE", str(tmp_path / "weights.bin")))
