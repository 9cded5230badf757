"""The tiles that pretraining sees: decoded once, uint8, drawn evenly over slides.

Two sources: the labelled Parquet sets (permissive terms, split `train` only) and any folder of slides, from
which `slide_tiles` cuts tissue. Held-out groups are kept out by `refuse_held_out`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from slides.errors import UsageError

from ..features import Progress, silent
from ..label_split import is_unnamed
from ..preprocess import to_square
from ..reference_tiles import ReferenceTiles

NO_LABEL = -1
Integers = NDArray[np.int64]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class TilePool:
    """n tiles in memory.

    Attributes
    ----------
    pixels : uint8 (n, s, s, 3)
    slide : (n,) number of the slide or group a tile comes from
    task, label : (n,) number of the task and of the class in it; `NO_LABEL` where there is none
    classes : number of classes of each task
    source : (n,) number of the labelled set a tile comes from; 0 where there is but one
    """

    pixels: Tensor
    slide: Integers
    task: Integers
    label: Integers
    classes: tuple[int, ...] = ()
    source: Integers | None = None

    def __len__(self) -> int:
        return len(self.slide)

    def sha256(self) -> str:
        """A hash of slides, labels and up to 256 tiles spread evenly: another pool has another one."""
        digest = hashlib.sha256()
        for column in (self.slide, self.task, self.label):
            digest.update(np.ascontiguousarray(column).tobytes())
        for position in np.unique(np.linspace(0, len(self) - 1, 256).astype(np.int64)):
            digest.update(self.pixels[int(position)].numpy().tobytes())
        return digest.hexdigest()


def pool_of_tiles(
    tiles: ReferenceTiles,
    side: int,
    tasks: Sequence[Mapping[str, Any]] = (),
    progress: Progress = silent,
    into: Pixels | None = None,
) -> TilePool:
    """The labelled tiles as a pool; `tasks` name sets and a `column` whose labels may be learned too.

    A task of one set has its `source`; one of several has `sources`, and their classes of one name are one class.

    `into` uint8 (n, side, side, 3) takes their pixels where it is given.

    Raises
    ------
    UsageError : a tile cannot be decoded, or a tile is held out or not permissive
    """
    refuse_held_out(tiles)
    pixels = np.empty((len(tiles), side, side, 3), dtype=np.uint8) if into is None else into
    for position in range(len(tiles)):
        pixels[position] = decoded(tiles, position, side)
        if position % 256 == 0:
            progress("decoding tiles", position, len(tiles))
    task, label, classes = _labels(tiles, tasks)
    slides = [_slide_of(tile_id, group) for tile_id, group in zip(tiles.id, tiles.group, strict=True)]
    _, slide = np.unique(np.array(slides), return_inverse=True)
    _, source = np.unique(tiles.source.astype(str), return_inverse=True)
    return TilePool(torch.from_numpy(pixels), slide.astype(np.int64), task, label, classes, source.astype(np.int64))


def unlabelled_pool(pixels: Pixels, slide: Integers) -> TilePool:
    """Tiles uint8 (n, s, s, 3) without labels, with the number (n,) of the slide of each."""
    none = np.full(len(slide), NO_LABEL)
    return TilePool(torch.from_numpy(pixels), slide, none, none.copy())


def joined(pools: Sequence[TilePool], pixels: Pixels) -> TilePool:
    """Pools whose pixels lie one after the other in `pixels`, as one; their slides stay apart."""
    starts = np.cumsum([0, *(int(pool.slide.max(initial=-1)) + 1 for pool in pools)])
    return TilePool(
        torch.from_numpy(pixels[: sum(map(len, pools))]),
        np.concatenate([pool.slide + start for pool, start in zip(pools, starts, strict=False)]),
        np.concatenate([pool.task for pool in pools]),
        np.concatenate([pool.label for pool in pools]),
        pools[0].classes,
        np.concatenate([np.zeros(len(pool), np.int64) if pool.source is None else pool.source for pool in pools]),
    )


def decoded(tiles: ReferenceTiles, position: int, side: int) -> Pixels:
    """The centred square of a tile as uint8 (side, side, 3).

    Raises
    ------
    UsageError : names the tile that cannot be decoded
    """
    try:
        return np.asarray(to_square(tiles.image(position), side))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"the tile '{tiles.id[position]}' cannot be decoded: leave it out of the set") from error


def refuse_held_out(tiles: ReferenceTiles) -> None:
    """Stops if any tile is of a held-out group or of terms that do not admit shipped weights.

    Raises
    ------
    UsageError : names the first such tile
    """
    bad = np.flatnonzero((tiles.split != "train") | ~tiles.permissive)
    if len(bad):
        raise UsageError(f"the tile '{tiles.id[bad[0]]}' is held out or not permissive: pretraining may not see it")


class Sampler:
    """Batches of positions, the same for the same seed and step: a resumed run needs no memory of the past.

    Slides are drawn with the square root of their tiles as weight, none above 5 % where there are 20 or more;
    tiles of a slide evenly. A batch holds `pairs` of two tiles of one slide; `labelled` is the share of the
    batch drawn from labelled tiles, classes evenly, and within a class the sets that have it. `batch` and
    `pairs` are of one of the `processes` that share a draw.
    """

    def __init__(self, pool: TilePool, batch: int, seed: int, labelled: float = 0.0, processes: int = 1) -> None:
        self._seed, self._processes = seed, processes
        order = np.argsort(pool.slide, kind="stable")
        self._members = np.split(order, np.flatnonzero(np.diff(pool.slide[order])) + 1)
        self._weights = _shares(np.sqrt([len(members) for members in self._members]))
        self._classes = [_by_source(pool, task, label) for task, n in enumerate(pool.classes) for label in range(n)]
        self._classes = [cells for cells in self._classes if cells]
        self._labelled = int(batch * labelled) // 2 * 2 if self._classes else 0
        self.pairs = (batch - self._labelled) // 2

    def draw(self, step: int) -> Integers:
        """Positions (processes · batch,): neighbours of one slide at 2i and 2i + 1; labelled tiles come last."""
        rng = np.random.default_rng([self._seed, step])
        pairs = self.pairs * self._processes
        slides = rng.choice(len(self._members), size=pairs, replace=pairs > len(self._members), p=self._weights)
        chosen = [rng.choice(self._members[s], size=2, replace=len(self._members[s]) < 2) for s in slides]
        labelled = self._labelled * self._processes
        extra = [self._one_labelled(rng) for _ in range(labelled)]
        positions: Integers = np.concatenate([*chosen, np.array(extra, dtype=np.int64)]).astype(np.int64)
        return positions

    def _one_labelled(self, rng: np.random.Generator) -> int:
        cells = self._classes[rng.integers(len(self._classes))]
        return int(rng.choice(cells[rng.integers(len(cells))] if len(cells) > 1 else cells[0]))

    def rows(self, process: int) -> Integers:
        """Which rows (batch,) of a draw a process holds: its pairs, then its labelled tiles."""
        paired, single = 2 * self.pairs, self._labelled
        first = 2 * self.pairs * self._processes + process * single
        return np.concatenate(
            [np.arange(process * paired, (process + 1) * paired), np.arange(first, first + single)]
        ).astype(np.int64)


def _by_source(pool: TilePool, task: int, label: int) -> list[Integers]:
    """Positions of the tiles of a class, a list entry for each set that has it."""
    rows = np.flatnonzero((pool.task == task) & (pool.label == label))
    if pool.source is None:
        return [rows] if len(rows) else []
    return [rows[pool.source[rows] == source] for source in np.unique(pool.source[rows])]


def _shares(weights: NDArray[np.float64], most: float = 0.05) -> NDArray[np.float64]:
    """Weights as shares of 1, what is above `most` given to the others in proportion."""
    most = max(most, 1 / len(weights))
    shares: NDArray[np.float64] = weights / weights.sum()
    capped = np.zeros(len(weights), dtype=bool)
    while (shares > most * (1 + 1e-9)).any():
        capped |= shares > most * (1 + 1e-9)
        free = 1 - most * capped.sum()
        shares = np.where(capped, most, weights * free / max(weights[~capped].sum(), 1e-300))
    normalised: NDArray[np.float64] = shares / shares.sum()
    return normalised


def _slide_of(tile_id: str, group: str) -> str:
    # An atlas tile is named atlas/case/slide/place; single tiles have no slide but their group.
    parts = tile_id.split("/")
    return "/".join(parts[:3]) if parts[0] == "atlas" else group


def _labels(tiles: ReferenceTiles, tasks: Sequence[Mapping[str, Any]]) -> tuple[Integers, Integers, tuple[int, ...]]:
    task = np.full(len(tiles), NO_LABEL)
    label = np.full(len(tiles), NO_LABEL)
    counts: list[int] = []
    named = np.array([not is_unnamed(group) for group in tiles.group])
    for number, wanted in enumerate(tasks):
        column: NDArray[Any] = getattr(tiles, wanted["column"])
        sources = list(wanted["sources"]) if "sources" in wanted else [wanted["source"]]
        rows = np.flatnonzero(np.isin(tiles.source, sources) & (column != "") & named & (task == NO_LABEL))
        names = sorted(set(column[rows]))
        task[rows] = number
        label[rows] = [names.index(name) for name in column[rows]]
        counts.append(len(names))
    return task, label, tuple(counts)
