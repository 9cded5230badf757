"""Features of the reference tiles, a view at a time, kept in the user's cache between runs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from slides.files import write_atomically

from .encoder import Encoder, Features
from .reference_tiles import ReferenceTiles
from .views import view_of

BLOCK = 64
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """A progress display that shows nothing."""


def cache_folder() -> Path:
    """Where features are kept: the user's cache folder, named by the platform's rules."""
    from platformdirs import user_cache_path

    return user_cache_path("pathcopilot") / "features"


def tile_features(
    encoder: Encoder,
    tiles: ReferenceTiles,
    view: str,
    progress: Progress = silent,
    cache: Path | None = None,
) -> Features:
    """Features float32 (n, d) of one view of every tile, cached as `cached_features` says."""

    def picture(position: int) -> Image.Image:
        return view_of(tiles.image(position), view, tiles.id[position])

    return cached_features(encoder, tiles, view, picture, progress, cache)


def cached_features(
    encoder: Encoder,
    tiles: ReferenceTiles,
    view: str,
    picture: Callable[[int], Image.Image],
    progress: Progress = silent,
    cache: Path | None = None,
) -> Features:
    """Features float32 (n, d) of `picture(position)` of every tile; the pictures are named by `view`.

    The cache is keyed by the encoder's hash, the view and the bytes of the tiles; a folder that cannot be
    written costs the time again, nothing else.
    """
    digest = hashlib.sha256(f"{encoder.sha256}/{view}".encode())
    for position, tile_id in enumerate(tiles.id):
        digest.update(tile_id.encode() + hashlib.sha256(tiles.content(position)).digest())
    path = (cache or cache_folder()) / f"{digest.hexdigest()[:32]}.npy"
    if path.is_file():
        kept: Features = np.load(path, allow_pickle=False)
        return kept
    features = encode_all(encoder, len(tiles), picture, lambda done, n: progress(f"view {view}", done, n))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.save(content, features)
        write_atomically(path, content.getvalue())
    except OSError:
        pass
    return features


def encode_all(
    encoder: Encoder,
    count: int,
    picture: Callable[[int], Image.Image],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Features:
    """Features float32 (count, d) of pictures made one by one, so that few are in memory at once."""
    features = np.empty((count, encoder.dimension), dtype=np.float32)
    for start in range(0, count, BLOCK):
        block: Sequence[Image.Image] = [picture(i) for i in range(start, min(start + BLOCK, count))]
        features[start : start + BLOCK] = encoder.encode_tiles(block)
        progress(start + len(block), count)
    return features
