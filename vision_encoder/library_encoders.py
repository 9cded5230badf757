"""Encoders of timm, open_clip and transformers behind one adapter, from a file, a folder, or the hub's cache."""

from __future__ import annotations

import difflib
import json
import logging
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from slides.errors import SetupError, UsageError
from slides.files import sha256_of

from .encoder import Features
from .hub import OPEN_CLIP_WEIGHTS, WEIGHTS, how_to_fetch, hub_weights
from .known_encoders import KnownEncoder, find_known
from .library_networks import Built, open_clip_network, timm_network, transformers_network
from .on_planes import OnPlanes
from .preprocess import to_planes
from .torchvision_shim import import_torchvision

BATCH = 16
_NAMES = {
    "": OPEN_CLIP_WEIGHTS + WEIGHTS,
    "open_clip": OPEN_CLIP_WEIGHTS + WEIGHTS,
    "timm": WEIGHTS,
    "transformers": WEIGHTS,
    "conch": WEIGHTS,
}
"""Names of weights files by library, the preferred first."""


class LibraryEncoder:
    """Image features of another library's model, float32 (n, d), with our own preprocessing."""

    def __init__(self, name: str, built: Built, sha256: str, mpp: float | None = None) -> None:
        self.name = name
        self.mpp = mpp
        self.tile_px = built.tile_px
        self.sha256 = sha256
        self._built = built
        self._network = built.network.eval()
        blank = Image.new("RGB", (self.tile_px, self.tile_px), (255, 255, 255))
        self.dimension = int(self._encode([blank]).shape[1])

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> Features:
        """Features float32 (n, d) of n tiles of any size and mode; `mpp` changes nothing."""
        batches = [self._encode(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *batches])

    def on_planes(self) -> OnPlanes:
        """The same encoder on tensors; it shares the network with this one."""
        return OnPlanes(self._network, self.tile_px, self._built.mean, self._built.deviation)

    def _encode(self, images: Sequence[Image.Image]) -> Features:
        planes = to_planes(images, self.tile_px, self._built.mean, self._built.deviation, self._built.resample)
        with torch.inference_mode():
            features = self._network(torch.from_numpy(planes).permute(0, 3, 1, 2).contiguous())
        rows: Features = features.float().flatten(1).numpy()
        return rows


def load_library_encoder(
    library: str, architecture: str, weights: str = "", *, download: bool = False
) -> LibraryEncoder:
    """The encoder `library:architecture`: with a weights file, or with the library's own weights from the hub's cache.

    `weights` is a file, or one of open_clip's tags, or empty where the library has but one set of weights.

    Raises
    ------
    UsageError : an architecture or tag that the library does not have, or no such file
    SetupError : the extra `encoders` is not installed, the weights are not here, or do not fit the architecture
    """
    _import(library)
    name = f"{library}:{architecture}"
    build = _open_clip if library == "open_clip" else _timm
    path, make = build(architecture, weights, download)
    return LibraryEncoder(name, _fitting(name, make), sha256_of(path))


def load_hub_encoder(repository: str, place: str = "", *, download: bool = False) -> LibraryEncoder:
    """The encoder `hf-hub:repository` from the hub's cache, or from a weights file or folder at `place`.

    A row of the table of known encoders says how it is built; else the config beside the weights does.

    Raises
    ------
    UsageError : no name of a repository, nothing at `place`, or no config that says how to build it
    SetupError : a package is not installed, the weights are not here, gated, or do not fit
    """
    row = find_known(repository)
    repository = row.repository if row else repository
    library: str = row.library if row else ""
    weights = (
        _placed(repository, Path(place).expanduser(), _NAMES[library])
        if place
        else hub_weights(repository, _NAMES[library], download=download)
    )
    if not library:
        library = _library(repository, weights.parent)
        if not Path(place).is_file():
            weights = _placed(repository, weights.parent, _NAMES[library])
    if library != "transformers":
        _import(library)
    name = f"hf-hub:{repository}"
    built = _fitting(name, lambda: _built(row, library, weights))
    if row is not None and row.mean is not None and row.deviation is not None:
        built = replace(built, tile_px=row.tile_px, mean=row.mean, deviation=row.deviation)
    encoder = LibraryEncoder(name, built, sha256_of(weights), row.mpp if row else None)
    if row is not None and encoder.dimension != row.dimension:
        raise SetupError(f"{name} gives {encoder.dimension} numbers a tile, not {row.dimension}: give its own weights")
    return encoder


def _built(row: KnownEncoder | None, library: str, weights: Path) -> Built:
    folder = f"local-dir:{weights.parent}"
    if library == "conch":
        from .conch_tower import conch_network

        return conch_network(weights)
    if library == "open_clip":
        return open_clip_network(folder, weights)
    if library == "transformers":
        known = (row.mean, row.deviation) if row and row.mean and row.deviation else None
        return transformers_network(weights.parent, row.pooling if row else "class", known)
    if row is None:
        return timm_network(folder, weights, published=True)
    if row.architecture:
        return timm_network(row.architecture, weights, row.arguments, row.pooling)
    return timm_network(folder, weights, row.arguments, row.pooling, published=True)


def _placed(repository: str, place: Path, names: Sequence[str]) -> Path:
    """The weights file at a path, or in a folder there."""
    if place.is_file():
        return place
    found = next((place / name for name in names if (place / name).is_file()), None)
    if found is None:
        raise UsageError(f"no weights of {repository} at the path given: name its weights file, or the folder with it")
    return found


def _library(repository: str, folder: Path) -> str:
    """Which library a folder's config belongs to."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    if "architecture" in config:
        return "timm"
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    if "model_type" in config:
        return "transformers"
    raise UsageError(
        f"{repository} has no config of timm, open_clip or transformers beside its weights: {how_to_fetch(repository)}"
    )


def _timm(architecture: str, weights: str, download: bool) -> tuple[Path, Callable[[], Built]]:
    import timm

    if not timm.is_model(architecture):
        raise UsageError(_unknown("timm", architecture, timm.list_models()))
    if weights:
        path = _file("timm", architecture, weights)
        return path, lambda: timm_network(architecture, path)
    try:
        published = timm.models.get_pretrained_cfg(architecture)
    except RuntimeError:
        published = None
    if published is None or not published.hf_hub_id:
        raise UsageError(f"timm has no weights of '{architecture}' on the hub: write timm:{architecture}@FILE")
    path = hub_weights(published.hf_hub_id, WEIGHTS, download=download)
    return path, lambda: timm_network(architecture, path, published=True)


def _open_clip(architecture: str, weights: str, download: bool) -> tuple[Path, Callable[[], Built]]:
    import open_clip

    if architecture not in open_clip.list_models():
        raise UsageError(_unknown("open_clip", architecture, open_clip.list_models()))
    tags = [tag for tag in open_clip.list_pretrained_tags_by_model(architecture) if _hub_of(architecture, tag)]
    if weights and weights not in tags:
        path = _file("open_clip", architecture, weights, tags)
        return path, lambda: open_clip_network(architecture, path)
    if not weights and len(tags) != 1:
        several = f"{', '.join(tags[:4])} …" if len(tags) > 4 else ", ".join(tags) or "none of its own"
        raise UsageError(
            f"'open_clip:{architecture}' names no weights: write open_clip:{architecture}@FILE, or @TAG ({several})"
        )
    tag = weights or tags[0]
    said = open_clip.get_pretrained_cfg(architecture, tag)
    path = hub_weights(_hub_of(architecture, tag), OPEN_CLIP_WEIGHTS, download=download)
    preprocess = {key: said[key] for key in ("mean", "std", "interpolation", "resize_mode") if said.get(key)}
    return path, lambda: open_clip_network(architecture, path, preprocess)


def _hub_of(architecture: str, tag: str) -> str:
    import open_clip

    repository, _, _file_name = open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "").rpartition("/")
    return str(repository)


def _file(library: str, architecture: str, weights: str, tags: Sequence[str] = ()) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        also = f", and no tag of that name ({', '.join(tags[:4])} …)" if tags else ""
        raise UsageError(f"no weights file for '{library}:{architecture}' at the path given{also}")
    return path


def _unknown(library: str, architecture: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(architecture, names, n=3)
    return f"{library} has no architecture '{architecture}'" + (
        f": did you mean {' or '.join(near)}?" if near else f": {library}.list_models() names those it has"
    )


def _import(library: str) -> None:
    try:
        import_torchvision()
        import open_clip  # noqa: F401
        import timm  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f'{library} is not installed: pip install -c constraints.txt "pathcopilot[encoders]"'
        ) from error


def _fitting(name: str, make: Callable[[], Built]) -> Built:
    from safetensors import SafetensorError

    damaged = (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError, EOFError, OSError)
    talks = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the libraries tell of random weights before ours are in
    try:
        return make()
    except (*damaged, pickle.UnpicklingError, SafetensorError) as error:
        raise SetupError(f"the weights file does not fit {name}: give the file of that architecture") from error
    finally:
        logging.disable(talks)
