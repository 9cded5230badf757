"""Random models of other libraries, laid out as files, folders and the hub's cache are; every encoder's laws."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slides.errors import SetupError
from vision_encoder import load_encoder
from vision_encoder.encoder import Encoder

from ..conftest import paint_tissue

TINY_TIMM, TINY_CLIP = "test_vit", "tiny-clip"
OPEN_CLIP_FILE = "open_clip_model.safetensors"
TISSUE = [paint_tissue(256, 256, seed) for seed in range(3)]


def need_libraries() -> None:
    """Skips where the extra `encoders` is not installed."""
    from vision_encoder.torchvision_shim import import_torchvision

    try:
        import_torchvision()
        import open_clip  # noqa: F401
        import timm  # noqa: F401
    except ImportError:
        pytest.skip('the extra `encoders` is not installed: pip install "pathcopilot[encoders]"')


def know_tiny_clip(folder: Path) -> None:
    """Gives open_clip an architecture of 1.7 M weights, 64 px and 32 numbers, under the name TINY_CLIP."""
    import open_clip

    vision = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{TINY_CLIP}.json"
    path.write_text(json.dumps({"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)


def tiny_timm(folder: Path, seed: int = 0, **arguments: Any) -> Path:
    """pytorch_model.bin of timm's test_vit (0.4 M weights, 160 px, 64 numbers), its classifier included."""
    import timm

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    model = timm.create_model(TINY_TIMM, pretrained=False, num_classes=5, **arguments)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def timm_repository(folder: Path, seed: int = 0) -> Path:
    """A repository as timm pushes it: config.json with its architecture, and model.safetensors."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    model = timm.create_model(TINY_TIMM, pretrained=False, num_classes=0)
    save_file(model.state_dict(), folder / "model.safetensors")
    said = {"input_size": [3, 160, 160], "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2], "interpolation": "bicubic"}
    config = {"architecture": TINY_TIMM, "num_classes": 0, "num_features": 64, "pretrained_cfg": said}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def open_clip_repository(folder: Path, seed: int = 0) -> Path:
    """A repository as open_clip pushes it: open_clip_config.json and open_clip_model.safetensors."""
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    know_tiny_clip(folder / "architecture")
    model = open_clip.create_model(TINY_CLIP, pretrained=None)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / OPEN_CLIP_FILE)
    said = {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": open_clip.get_model_config(TINY_CLIP), "preprocess_cfg": said}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def transformers_repository(folder: Path, seed: int = 0) -> Path:
    """A DINOv2 of transformers with 32 numbers at 56 px, as it saves itself."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2, image_size=56, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder)
    said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "crop_size": {"height": 56, "width": 56}, "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


def put_into_cache(cache: Path, repository: str, source: Path) -> Path:
    """The folder's files as the hub's cache holds a repository's; returns its snapshot."""
    root = cache / f"models--{repository.replace('/', '--')}"
    commit = "0" * 40
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(source, root / "snapshots" / commit))


def refusal(name: str, kind: type[Exception] = SetupError) -> str:
    with pytest.raises(kind) as told:
        load_encoder(name)
    assert "\n" not in str(told.value)
    return str(told.value)


def obey_the_laws(encoder: Encoder, dimension: int, side: int) -> None:
    """What every encoder owes, however it was found: shape, type, determinism, independence of neighbours."""
    tiles = [*TISSUE, paint_tissue(90, 70).convert("L")]
    together = encoder.encode_tiles(tiles, mpp=0.5)
    assert together.shape == (4, dimension)
    assert (encoder.dimension, encoder.tile_px) == (dimension, side)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert np.array_equal(together, encoder.encode_tiles(tiles))
    alone = np.concatenate([encoder.encode_tiles([tile]) for tile in tiles])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 1e-4
    assert encoder.encode_tiles([]).shape == (0, dimension)
