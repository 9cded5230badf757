"""One HDF5 file a slide, in the layout that CLAM and TRIDENT read: `features` (n, d), `coords` (n, 2) at level 0.

Nothing of the slide's name, path or metadata enters: the content hash says which slide it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from slides import Slide, UsageError

from ..encoder import Encoder, Features
from .encode import TileEngine
from .plan import EmbeddingPlan

MADE_BY = "pathcopilot embed"
_CHUNK_ROWS = 64


def identity(slide: Slide, plan: EmbeddingPlan, encoder: Encoder, engine: TileEngine, decoding: str) -> dict[str, Any]:
    """What makes features the same again: slide, tiles, encoder, precision. Attributes of the file, and the resume's
    key. The engine is no part of it: engines of one precision agree to 1e-4."""
    told = {
        "made_by": MADE_BY,
        "slide_fingerprint": slide.fingerprint,
        "encoder": encoder.name,
        "encoder_sha256": encoder.sha256,
        "precision": engine.precision,
        "decoding": decoding,
        "patch_size": plan.tile_px,
        "patch_size_level0": plan.side,
        "mpp": plan.mpp,
        "level0_mpp": slide.mpp,
        "level0_width": slide.size.width,
        "level0_height": slide.size.height,
    }
    return {name: value for name, value in told.items() if value is not None}


def trident_attributes(slide: Slide, plan: EmbeddingPlan) -> dict[str, Any]:
    """Attributes of `coords` by the names TRIDENT gives them; magnifications only where the slide's is known."""
    told: dict[str, Any] = {
        "patch_size": plan.tile_px,
        "patch_size_level0": plan.side,
        "overlap": 0,
        "level0_width": slide.size.width,
        "level0_height": slide.size.height,
    }
    power = slide.objective or (None if slide.mpp is None else 10 / slide.mpp)
    if power is not None:
        told |= {"level0_magnification": round(power), "target_magnification": round(power / plan.downsample, 2)}
    return told


def read_identity(path: Path) -> dict[str, Any]:
    """The attributes of a file of ours; empty for any other file."""
    try:
        with h5py.File(path, "r") as file:
            if not {"features", "coords"} <= set(file):
                return {}
            return {name: getattr(value, "item", lambda value=value: value)() for name, value in file.attrs.items()}
    except OSError:
        return {}


def rows_of(path: Path) -> int:
    """How many tiles a file of ours holds."""
    with h5py.File(path, "r") as file:
        return int(file["features"].shape[0])


def write_features(
    path: Path,
    blocks: Iterable[tuple[NDArray[np.int64], Features]],
    count: int,
    dimension: int,
    attributes: Mapping[str, Any],
    of_coords: Mapping[str, Any],
) -> None:
    """Writes `count` rows that come in blocks of coords (k, 2) and features (k, d); the file appears whole or not.

    Raises
    ------
    UsageError : the folder cannot be written, or the disk is full
    """
    temporary = path.with_name(f".{path.name}.tmp")  # one name, so that a killed run leaves nothing behind for long
    try:
        with h5py.File(temporary, "w") as file:
            rows = max(1, min(count, _CHUNK_ROWS))
            features = file.create_dataset("features", (count, dimension), "f4", chunks=(rows, dimension))
            coords = file.create_dataset("coords", (count, 2), "i8", chunks=(rows, 2))
            at = 0
            for places, some in blocks:
                features[at : at + len(some)] = some
                coords[at : at + len(some)] = places
                at += len(some)
            file.attrs.update(attributes)
            coords.attrs.update(of_coords)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{path.name} cannot be written: {error.strerror or error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
