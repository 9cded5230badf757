"""Slides of any size written in no time: every tile of tissue is one of a few JPEGs that lie in the file once."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np
from simplejpeg import encode_jpeg

from tests.conftest import paint_tissue

TILE = 256
_KINDS = 16


def write_slide(
    path: Path,
    side: int,
    *,
    mpp: float | None = 0.5,
    tissue: float = 0.4,
    seed: int = 3,
    levels: tuple[int, ...] = (1, 4, 16),
    field: np.ndarray | None = None,
) -> Path:
    """A square tiled pyramid (BigTIFF, JPEG 4:2:0 in YCbCr) of `side` px: glass with a square of tissue in its middle.

    `tissue` is that square's share of each side, `levels` the downsamples. Tiles repeat, so that gigapixels take a few
    megabytes; readers cannot know. They are cut from `field`, RGB uint8 of at least 512 x 512 px, painted by default.
    """
    field = _painted(seed) if field is None else field
    with path.open("wb") as out:
        out.write(b"II+\0" + struct.pack("<HHQ", 8, 0, 0))
        link = 8
        for number, downsample in enumerate(levels):
            shrunk = np.ascontiguousarray(field[:: min(downsample, 4), :: min(downsample, 4)])
            glass = _stored(out, np.full((TILE, TILE, 3), 243, np.uint8))
            kinds = [_stored(out, _cut(shrunk, kind)) for kind in range(_KINDS)]
            length = side // downsample
            across = -(-length // TILE)
            low, high = (0.5 - tissue / 2) * length, (0.5 + tissue / 2) * length
            starts = np.arange(across) * TILE
            inside = (starts >= low) & (starts + TILE <= high)
            chosen = np.where(
                np.outer(inside, inside), 1 + np.random.default_rng(seed).integers(0, _KINDS, (across, across)), 0
            )
            table = np.array([glass, *kinds], np.uint64)[chosen.ravel()]
            link = _directory(out, link, length, table, number > 0, None if mpp is None else mpp * downsample)
    return path


@lru_cache(maxsize=4)
def _painted(seed: int) -> np.ndarray:
    return np.asarray(paint_tissue(TILE * 6, TILE * 6, seed))[TILE * 2 : TILE * 4, TILE * 2 : TILE * 4]


def _cut(field: np.ndarray, kind: int) -> np.ndarray:
    reach = field.shape[0] - TILE
    y, x = np.random.default_rng(kind).integers(0, max(reach, 0) + 1, 2)
    return np.ascontiguousarray(np.resize(field[y : y + TILE, x : x + TILE], (TILE, TILE, 3)))


def _stored(out, pixels: np.ndarray) -> tuple[int, int]:
    data = encode_jpeg(pixels, quality=80, colorsubsampling="420")
    at = out.tell()
    out.write(data)
    return at, len(data)


def _directory(out, link: int, length: int, table: np.ndarray, reduced: bool, mpp: float | None) -> int:
    """Writes one directory and links it from `link`; returns where its own link lies."""
    places = []
    for values in (table[:, 0].copy(), table[:, 1].copy()):
        places.append(out.tell() if len(values) > 1 else int(values[0]))
        out.write(values.tobytes())
    entries = [
        (254, 4, 1, int(reduced)),
        (256, 4, 1, length),
        (257, 4, 1, length),
        (258, 3, 3, int.from_bytes(struct.pack("<HHH", 8, 8, 8), "little")),
        (259, 3, 1, 7),
        (262, 3, 1, 6),
        (277, 3, 1, 3),
        (284, 3, 1, 1),
        (322, 4, 1, TILE),
        (323, 4, 1, TILE),
        (324, 16, len(table), places[0]),
        (325, 16, len(table), places[1]),
        (530, 3, 2, int.from_bytes(struct.pack("<HH", 2, 2), "little")),
    ]
    if mpp is not None:
        pixels_per_cm = int.from_bytes(struct.pack("<II", round(1e7 / mpp), 1000), "little")
        entries += [(282, 5, 1, pixels_per_cm), (283, 5, 1, pixels_per_cm), (296, 3, 1, 3)]
    at = out.tell()
    out.write(struct.pack("<Q", len(entries)))
    for tag, kind, count, value in sorted(entries):
        out.write(struct.pack("<HHQQ", tag, kind, count, value))
    own = out.tell()
    out.write(struct.pack("<Q", 0))
    out.seek(link)
    out.write(struct.pack("<Q", at))
    out.seek(0, 2)
    return own
