"""What is measured on: the tiles, the tasks on them, and their features, set by set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from ..encoder import Encoder, Features
from ..features import Progress, tile_features
from ..reference_tiles import ReferenceTiles, load_reference_tiles
from .given_tiles import GIVEN, given_tasks, joined, read_given
from .labelled_sets import Task, tasks_of

LARGEST_DOWNSAMPLE = 2


@dataclass(frozen=True)
class Material:
    """Tiles, the tasks on them, the `kind` of the tiles tested, and what was left out, one sentence each."""

    tiles: ReferenceTiles
    tasks: tuple[Task, ...]
    tested: str
    notes: tuple[str, ...]


def find_data(data: Path | None, *, needed: bool = True) -> Path | None:
    """The folder that holds `tiles/`: the one given, PATHCOPILOT_DATA, or data beside the working folder.

    Raises
    ------
    UsageError : none of them does
    """
    if data is not None:
        if not (data / "tiles").is_dir():
            raise UsageError(f"no folder 'tiles' under {data.name or data}: --data names the folder that holds it")
        return data
    named = os.environ.get("PATHCOPILOT_DATA")
    near = [Path("data"), Path("shared/data"), Path("../data"), Path("../shared/data")]
    for folder in [Path(named)] if named else near:
        if (folder / "tiles").is_dir():
            return folder
    if needed:
        raise UsageError("no labelled tiles found: name their folder with --data DIR (it holds tiles/ and atlas/)")
    return None


def gather(folder: Path | None, given: Sequence[Path], *, quick: bool) -> Material:
    """The data's own sets and cases; or, where files are given, their tiles and what of the data they need.

    Raises
    ------
    UsageError : there is nothing to measure, or a file cannot be used
    """
    handed = read_given(given) if given else None
    known = None
    if folder is not None:
        known = load_reference_tiles(folder, {})
        known = known.where(_wanted(known))
    if handed is None:
        assert known is not None
        return _own_sets(known)
    if known is not None:
        sources = set(handed.source)
        useful = np.isin(known.source, list(sources)) | ((known.kind == "tiles") & (not quick))
        handed = joined(known.where(useful), handed)
    tasks, notes = given_tasks(handed)
    if not tasks:
        raise UsageError("nothing to measure in the tiles given: " + "; ".join(notes))
    return Material(handed, tuple(tasks), GIVEN, tuple(notes))


def encode(encoder: Encoder, tiles: ReferenceTiles, progress: Progress, cache: Path | None) -> Features:
    """Features float32 (n, d) of whole tiles, kept set by set, so that another choice of sets finds them again."""
    features = np.empty((len(tiles), encoder.dimension), dtype=np.float32)
    done = 0
    parts = sorted(set(zip(tiles.kind, tiles.source, strict=True)))
    for kind, source in parts:
        rows = np.flatnonzero((tiles.kind == kind) & (tiles.source == source))

        def told(what: str, within: int, total: int, before: int = done) -> None:
            progress("tiles", before + within, len(tiles))

        features[rows] = tile_features(encoder, tiles.where(rows), "whole", told, cache)
        done += len(rows)
    progress("tiles", len(tiles), len(tiles))
    return features


def _own_sets(known: ReferenceTiles) -> Material:
    tasks = tasks_of(known)
    if not tasks:
        raise UsageError("no set under the data folder has two classes in both splits")
    absent = sorted(set(known.source[known.kind == "tiles"]) - {task.source for task in tasks})
    reason = "not tested, for lack of two classes in both splits or of 8 tiles to test: "
    return Material(known, tuple(tasks), "tiles", (reason + ", ".join(absent),) if absent else ())


def _wanted(tiles: ReferenceTiles) -> NDArray[np.bool_]:
    """All single tiles, and the H&E tiles of cases with a sure label."""
    case = (tiles.kind == "cases") & (tiles.stain == "HE") & tiles.certain
    wanted: NDArray[np.bool_] = (tiles.kind == "tiles") | (case & (tiles.downsample <= LARGEST_DOWNSAMPLE))
    return wanted
