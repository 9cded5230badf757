"""Slides to files of features: decode and encode in threads, keep what is done, go on where a killed run stopped."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides import PathcopilotError, Pixels, Slide, SlideDamaged, UsageError, open_slide
from slides.naming import shown_name

from ..encoder import Encoder, Features
from .decode import TileReader
from .encode import TileEngine, tile_engine
from .journal import Journal
from .on_ray import encoded_on_ray
from .plan import EmbeddingPlan, plan_embedding
from .write import identity, read_identity, rows_of, trident_attributes, write_features

_AHEAD = 2
"""Blocks in work for each worker: one at it, one waiting."""

Progress = Callable[[str, int, int, float], None]
"""Slide's name, tiles done and in all, tiles/s of this run."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for every slide of a run; `downsample` wins over `mpp`, `direct` False reads as openslide does.

    `cluster` spreads the blocks over Ray instead of threads; the files are the same.
    """

    mpp: float = 0.5
    downsample: float | None = None
    workers: int = 0
    direct: bool = True
    cluster: bool = False

    @property
    def threads(self) -> int:
        """Workers, by default as many as this process may use cores."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Embedded:
    """A slide whose features lie in `file`. `kept` of its tiles were done before; `unreadable` ones are left out."""

    slide: str
    file: str
    tiles: int
    kept: int
    unreadable: int
    mpp: float | None
    patch_size_level0: int
    decoding: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain types only, in the shape of the command line's JSON."""
        new = self.tiles + self.unreadable - self.kept
        rate = round(new / self.seconds, 1) if new and self.seconds else None
        told = {name: getattr(self, name) for name in self.__slots__}
        return told | {"mpp": None if self.mpp is None else round(self.mpp, 4), "tiles_per_second": rate}


@dataclass(frozen=True, slots=True)
class Failed:
    """A slide without features, and why in one line."""

    slide: str
    why: str


def embed_slides(
    encoder: Encoder,
    paths: Sequence[Path],
    out: Path,
    settings: Settings = Settings(),
    progress: Progress = lambda name, done, total, rate: None,
    engine: TileEngine | None = None,
) -> Iterator[Embedded | Failed]:
    """Embeds slide after slide into `out`; a slide that fails says so and the next one follows.

    Files that exist are left: the same features are told as done, others as a failure.
    """
    engine = engine or tile_engine(encoder, settings.threads)
    for path, target in zip(paths, targets(paths, out), strict=True):
        try:
            yield embed_slide(encoder, engine, path, target, settings, progress)
        except PathcopilotError as error:
            name = shown_name(path)
            yield Failed(name, str(error).removeprefix(f"{name}: "))


def targets(paths: Sequence[Path], out: Path) -> list[Path]:
    """The file of each slide: its name without the ending, with it where two slides of the run share the name."""
    stems = [path.stem if path.is_file() else path.name for path in paths]
    names = [path.name if stems.count(stem) > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"two of the slides are called {twice}: embed them into different folders")
    return [out / f"{name}.h5" for name in names]


def embed_slide(
    encoder: Encoder, engine: TileEngine, path: Path, target: Path, settings: Settings, progress: Progress
) -> Embedded:
    """Embeds one slide; goes on from what a run before left beside `target`.

    Raises
    ------
    SlideError : the slide cannot be read, states no µm/px, or holds no tissue
    UsageError : `target` holds something else, cannot be written, or is being written
    """
    with open_slide(path) as slide:
        plan = plan_embedding(slide, settings.mpp, settings.downsample)
        reader = TileReader(path, slide, plan, direct=settings.direct)
        try:
            same = identity(slide, plan, encoder, engine, reader.decoding)
            if target.exists():
                return _already(target, same, slide, plan)
            key = same | {"coords_sha256": hashlib.sha256(plan.coords.tobytes()).hexdigest()}
            with Journal(target.with_name(f".{target.name}.partial"), key, encoder.dimension) as journal:
                start, kept = time.monotonic(), journal.rows
                left = [number for number in range(plan.blocks) if number not in journal.blocks]
                if settings.cluster:
                    encoded = encoded_on_ray(encoder, path, slide, plan, settings, left)
                else:
                    encoded = _in_threads(plan, reader, engine, encoder.dimension, settings.threads, left)
                _keep(slide.name, len(plan.coords), journal, encoded, progress)
                tiles = _write(target, slide, plan, journal, same, encoder.dimension)
                journal.remove()
        finally:
            reader.close()
    return Embedded(
        slide=slide.name,
        file=target.name,
        tiles=tiles,
        kept=kept,
        unreadable=len(plan.coords) - tiles,
        mpp=plan.mpp,
        patch_size_level0=plan.side,
        decoding=reader.decoding,
        seconds=round(time.monotonic() - start, 3),
    )


def _already(target: Path, same: Mapping[str, Any], slide: Slide, plan: EmbeddingPlan) -> Embedded:
    """What an existing file holds, where it is what would be made; raises `UsageError` otherwise."""
    found = read_identity(target)
    if any(found.get(name) != value for name, value in same.items()):
        what = "another slide's" if found.get("slide_fingerprint") != slide.fingerprint else "made with other settings"
        raise UsageError(
            f"{target.name} exists and is {what if found else 'no file of embed'}: delete it or name another --out"
        )
    rows = rows_of(target)
    return Embedded(
        slide=slide.name,
        file=target.name,
        tiles=rows,
        kept=rows,
        unreadable=int(found.get("tiles_unreadable", 0)),
        mpp=plan.mpp,
        patch_size_level0=plan.side,
        decoding=found["decoding"],
        seconds=0.0,
    )


def _keep(
    name: str, total: int, journal: Journal, encoded: Generator[tuple[int, Features], None, None], progress: Progress
) -> None:
    """Brings blocks into the journal as they are done."""
    start, kept = time.monotonic(), journal.rows
    progress(name, kept, total, 0.0)
    with closing(encoded):
        for number, features in encoded:
            journal.append(number, features)
            rows = journal.rows
            progress(name, rows, total, (rows - kept) / max(time.monotonic() - start, 1e-9))


def _in_threads(
    plan: EmbeddingPlan, reader: TileReader, engine: TileEngine, dimension: int, threads: int, left: Sequence[int]
) -> Generator[tuple[int, Features], None, None]:
    """The features of the blocks that are left, in the order in which they are done. A worker decodes and encodes a
    block by itself: to encode takes ten times as long, so that a core kept for decoding would idle."""

    def work(number: int) -> tuple[int, Features]:
        return number, features_of(reader.read(plan.block(number)), engine, plan.mpp, dimension)

    numbers = iter(left)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="embed")
    try:
        running = {pool.submit(work, number) for number in itertools.islice(numbers, _AHEAD * threads)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(work, number) for number in itertools.islice(numbers, len(done))}
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def features_of(tiles: Sequence[Pixels | None], engine: TileEngine, mpp: float | None, dimension: int) -> Features:
    """Features (n, d) of n tiles, not-a-number for one that could not be decoded."""
    features = np.full((len(tiles), dimension), np.nan, np.float32)
    readable = [tile for tile in tiles if tile is not None]
    if readable:
        features[[tile is not None for tile in tiles]] = engine.encode(readable, mpp)
    return features


def _write(
    target: Path, slide: Slide, plan: EmbeddingPlan, journal: Journal, same: Mapping[str, Any], dimension: int
) -> int:
    """Writes the file of a slide whose blocks are all in the journal; returns how many tiles it holds."""

    def blocks() -> Iterator[tuple[NDArray[np.int64], Features]]:
        for number in range(plan.blocks):
            features = journal.features(number)
            readable = np.isfinite(features).all(axis=1)
            yield plan.block(number)[readable], features[readable]

    tiles = sum(len(features) for _, features in blocks())
    if not tiles:
        raise SlideDamaged("none of its tissue tiles can be decoded; export or copy it again")
    attributes = {**same, "tiles_unreadable": len(plan.coords) - tiles}
    write_features(target, blocks(), tiles, dimension, attributes, trident_attributes(slide, plan))
    return tiles
