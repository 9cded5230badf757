"""What the frozen encoder sees in the pictures of the data: the mean feature of each, kept between runs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slides import PathcopilotError, Slide, UsageError, open_slide
from slides.files import sha256_of, write_atomically
from slides.tissue import tissue_mask
from vision_encoder.encoder import Encoder
from vision_encoder.features import cache_folder
from vision_encoder.look import encode_fields
from vision_encoder.sampling import plan_tiles

PICTURES = "pictures"
Progress = Callable[[str, int, int], None]


def features_of(
    pictures: Mapping[str, float | None],
    folder: Path,
    encoder: Encoder,
    progress: Progress,
    cache: Path | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The feature (d,) of each named picture of a data folder, given with its µm/px.

    The cache is keyed by the encoder's hash, the names and the bytes of the pictures; a folder that cannot be
    written costs the time again, nothing else.

    Raises
    ------
    UsageError : a picture is missing or cannot be read
    """
    wanted = sorted(pictures)
    paths = {name: _path(name, folder) for name in wanted}
    digest = hashlib.sha256(encoder.sha256.encode())
    for name in wanted:
        digest.update(f"{name}\0{pictures[name]}\0{sha256_of(paths[name])}".encode())
    path = (cache or cache_folder()) / f"pictures-{digest.hexdigest()[:32]}.npy"
    if path.is_file():
        return dict(zip(wanted, np.load(path, allow_pickle=False), strict=True))
    found = np.empty((len(wanted), encoder.dimension), dtype=np.float32)
    for number, name in enumerate(wanted):
        found[number] = _feature(paths[name], pictures[name], encoder)
        progress("looking at pictures", number + 1, len(wanted))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = io.BytesIO()
        np.save(held, found)
        write_atomically(path, held.getvalue())
    except OSError:
        pass
    return dict(zip(wanted, found, strict=True))


def _path(name: str, folder: Path) -> Path:
    """The file of a picture: as build-data writes it, or by the name itself, as other data have it."""
    harmless = name.replace("/", "__")
    for path in (*(folder / PICTURES / f"{harmless}{suffix}" for suffix in (".jpg", ".png")), folder / name):
        if path.is_file():
            return path
    raise UsageError(
        f"the picture {name} is not in the data folder: write it there with `pathcopilot build-data --with-pictures`"
    )


def _feature(path: Path, mpp: float | None, encoder: Encoder) -> NDArray[np.float32]:
    try:
        with open_slide(path, mpp=mpp, probe=False) as slide:
            return gist(slide, encoder)
    except PathcopilotError as error:
        raise UsageError(f"the picture {path.name} cannot be read ({error}): write it again") from error


def gist(slide: Slide, encoder: Encoder) -> NDArray[np.float32]:
    """The mean feature (d,) of the fields of a slide that looking at it would see; zeros where there is no tissue."""
    view = slide.bounds
    looking = encode_fields(encoder, slide, plan_tiles(slide, view, tissue_mask(slide, view), whole=True))
    while True:
        try:
            next(looking)
        except StopIteration as end:
            features: NDArray[np.float32] = end.value[2]
            return features.mean(axis=0) if len(features) else np.zeros(encoder.dimension, dtype=np.float32)
