"""Networks of timm, open_clip and transformers, each as one module: pixels (n, 3, side, side) → features (n, d)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from .known_encoders import Channels, Pooling


@dataclass(frozen=True, slots=True)
class Built:
    """A network with its weights, and the pixels it takes: channels of [0, 1] less `mean`, over `deviation`."""

    network: nn.Module
    tile_px: int
    mean: Channels
    deviation: Channels
    resample: Image.Resampling = Image.Resampling.BICUBIC


class Pooled(nn.Module):
    """The class token of a transformer's tokens (n, t, d), with the mean of its patch tokens after it on demand.

    `prefix` tokens (class token and registers) come before the patch tokens.
    """

    def __init__(self, network: nn.Module, pooling: Pooling, prefix: int) -> None:
        super().__init__()
        self.network = network
        self.pooling = pooling
        self.prefix = prefix

    def tokens(self, x: Tensor) -> Tensor:
        """Tokens (n, t, d) after the last norm."""
        found: Tensor = self.network.forward_features(x)  # type: ignore[operator]
        return found

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        if self.pooling == "class":
            return tokens[:, 0]
        return torch.cat([tokens[:, 0], tokens[:, self.prefix :].mean(dim=1)], dim=1)


class PooledHidden(Pooled):
    """The same of a network of transformers."""

    def tokens(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(pixel_values=x).last_hidden_state
        return found


class ImageTower(nn.Module):
    """The image half of a CLIP model: its embedding in the space shared with text."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.model.encode_image(x)
        return embedding


def timm_network(
    architecture: str,
    weights: Path,
    arguments: Mapping[str, Any] | None = None,
    pooling: Pooling | None = None,
    published: bool = False,
) -> Built:
    """An architecture of timm with a weights file; a classifier in the file is left out.

    `local-dir:FOLDER` is the architecture that a folder's config.json names. `published` files may need timm's
    own conversion. Without `pooling` the network's own pooling stands.

    Raises
    ------
    RuntimeError, ValueError, KeyError, OSError : the file is damaged, or of another network
    """
    import timm

    own = {"num_classes": 0, **_resolved(arguments or {})}
    if published:
        place = {"source": "", "file": str(weights)}
        network = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=place, **own)
    else:
        network = _filled(
            lambda: timm.create_model(architecture, pretrained=False, **own), timm.models.load_state_dict(str(weights))
        )
    settings = timm.data.resolve_model_data_config(network)
    return Built(
        network if pooling is None else Pooled(network, pooling, network.num_prefix_tokens),
        settings["input_size"][-1],
        tuple(settings["mean"]),
        tuple(settings["std"]),
        _resampling(settings["interpolation"]),
    )


def _filled(build: Callable[[], Any], state: Mapping[str, Tensor]) -> Any:
    """The network with this state; what the state has too much, a classifier, is left out.

    It is built without weights first: random ones for a billion places take longer than reading the file.

    Raises `ValueError` where a layer is missing, `RuntimeError` where one has another shape.
    """
    with torch.device("meta"):
        network = build()
    missing, _ = network.load_state_dict(state, strict=False, assign=True)
    if missing:
        raise ValueError(f"{len(missing)} layers are missing")
    if any(buffer.is_meta for buffer in network.buffers()):  # computed, not stored: they need a real build
        network = build()
        network.load_state_dict(state, strict=False)
    return network.float()


def open_clip_network(architecture: str, weights: Path, preprocess: Mapping[str, Any] | None = None) -> Built:
    """The image tower of an open_clip model with a weights file.

    `local-dir:FOLDER` is the architecture that a folder's open_clip_config.json describes. `preprocess` holds
    open_clip's `mean`, `std`, `interpolation` where they differ from its defaults.

    Raises
    ------
    RuntimeError, ValueError, KeyError, OSError : the file is damaged, or of another network
    """
    import open_clip

    model = open_clip.create_model(
        architecture,
        load_weights=False,
        pretrained_text=False,
        force_preprocess_cfg=dict(preprocess) if preprocess else None,
    )
    open_clip.load_checkpoint(model, str(weights), weights_only=True)  # `weights_only` refuses pickled code
    settings: dict[str, Any] = open_clip.get_model_preprocess_cfg(model)
    side = settings["size"]
    return Built(
        ImageTower(model),
        side if isinstance(side, int) else side[0],
        tuple(settings["mean"]),
        tuple(settings["std"]),
        _resampling(settings["interpolation"]),
    )


def transformers_network(
    folder: Path, pooling: Pooling = "class", channels: tuple[Channels, Channels] | None = None
) -> Built:
    """An image encoder of transformers from its folder: config.json, weights, and preprocessor_config.json.

    `channels` are mean and deviation where they are known already.

    Raises
    ------
    RuntimeError, ValueError, KeyError, OSError : the folder is damaged, or holds no image encoder
    """
    import transformers
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    network = transformers.AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    said = _preprocessor(folder)
    sides = [said[key] for key in ("crop_size", "size") if isinstance(said.get(key), dict)]
    side = next((int(size[key]) for size in sides for key in ("height", "shortest_edge") if key in size), None)
    mean, deviation = channels or (tuple(said["image_mean"]), tuple(said["image_std"]))
    return Built(
        PooledHidden(network.float(), pooling, 1 + int(getattr(network.config, "num_register_tokens", 0))),
        side or int(network.config.image_size),
        mean,
        deviation,
        Image.Resampling(said.get("resample", Image.Resampling.BICUBIC)),
    )


def _preprocessor(folder: Path) -> dict[str, Any]:
    path = folder / "preprocessor_config.json"
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return said


def _resolved(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the layers that a table can only name."""
    from timm.layers import SwiGLUPacked

    layers = {"SwiGLUPacked": SwiGLUPacked, "SiLU": nn.SiLU}
    return {key: layers[value] if key.endswith("_layer") else value for key, value in arguments.items()}


def _resampling(name: str) -> Image.Resampling:
    return {"bilinear": Image.Resampling.BILINEAR}.get(name, Image.Resampling.BICUBIC)
