"""Slides composed from labelled tiles, so that the truth of every tile is known.

A composed slide takes its tiles from one set: what tells tumour from none is then tissue, not the set. Positive
slides hold a share of tumour tiles, negative ones none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from ..encoder import Encoder, Features
from ..features import Progress, tile_features
from ..reference_tiles import attribution, load_reference_tiles
from .bag import Bag, BagSet, Positions

TASK, CLASSES = "tumour", ("none", "tumour")
SIDE = 256


@dataclass(frozen=True)
class LabelledTiles:
    """n tiles whose truth is known, of sets that hold both kinds: `features` (n, d), `tumour`, `group`, `source`."""

    features: Features
    tumour: NDArray[np.bool_]
    group: NDArray[np.object_]
    source: NDArray[np.object_]

    def where(self, kept: NDArray[Any]) -> LabelledTiles:
        """The tiles at these positions, or where this mask is True."""
        return LabelledTiles(self.features[kept], self.tumour[kept], self.group[kept], self.source[kept])


def labelled_tiles(
    data: Path, settings: Mapping[str, Any], encoder: Encoder, progress: Progress, split: str = "train"
) -> LabelledTiles:
    """Permissive H&E tiles of one split that are tumour or not by their own label.

    `settings` names the `sets`, and the labels that are `tumour` and `none`; tiles of any other are left out.

    Raises
    ------
    UsageError : the data holds none
    SetupError : pyarrow is not installed
    """
    tiles = load_reference_tiles(data, {})
    tumour = np.isin(tiles.tissue.astype(str), list(settings["tumour"]))
    none = np.isin(tiles.tissue.astype(str), list(settings["none"]))
    usable = (tiles.kind == "tiles") & (tiles.stain == "HE") & tiles.permissive & (tiles.split == split)
    usable &= (tumour | none) & np.isin(tiles.source.astype(str), list(settings["sets"]))
    if not (usable & tumour).any() or not (usable & none).any():
        raise UsageError(f"no labelled tiles with and without tumour under {data}: it should hold the folder tiles")
    chosen = tiles.where(usable)
    features = tile_features(encoder, chosen, "whole", progress)
    return LabelledTiles(features, tumour[usable], chosen.group, chosen.source)


def compose(tiles: LabelledTiles, settings: Mapping[str, Any], seed: int) -> BagSet:
    """`slides` composed slides, half of them with tumour; equal arguments compose equal slides.

    `settings` holds `slides`, `pools`, `tiles` = [fewest, most] and `share` = [least, most] of tumour in a positive
    slide. The groups of each set are dealt into `pools`, and a slide draws from one pool, which is its group: no fold
    then holds one tile on both sides.
    """
    draw = np.random.default_rng(seed)
    dealt = _pools(tiles, settings["pools"], draw)
    pools = [number for number in np.unique(dealt) if len(set(tiles.tumour[dealt == number])) == 2]
    bags, labels = [], []
    for number in range(settings["slides"]):
        pool, positive = dealt == pools[number // 2 % len(pools)], number % 2
        count = int(draw.integers(settings["tiles"][0], settings["tiles"][1] + 1))
        ill = max(1, round(count * draw.uniform(*settings["share"]))) if positive else 0
        chosen = [
            draw.choice(np.flatnonzero(pool & tiles.tumour), ill),
            draw.choice(np.flatnonzero(pool & ~tiles.tumour), count - ill),
        ]
        rows = draw.permutation(np.concatenate(chosen))
        name = f"{tiles.source[rows[0]]}/pool {pools[number // 2 % len(pools)]}"
        bags.append(Bag(f"composed {number}", name, tiles.features[rows], _grid(count), truth=tiles.tumour[rows]))
        labels.append(positive)
    sources = sorted(set(tiles.source))
    return BagSet(
        bags=tuple(bags),
        labels={TASK: np.array(labels, dtype=np.int64)},
        classes={TASK: CLASSES},
        source="slides composed from labelled tiles of " + ", ".join(sources),
        attribution=tuple(attribution(sources)),
    )


def composed_bags(data: Path, settings: Mapping[str, Any], encoder: Encoder, progress: Progress, seed: int) -> BagSet:
    """Composed slides of the split `train`; `settings` is the recipe's table `data`.

    Raises
    ------
    UsageError, SetupError : as `labelled_tiles`
    """
    return compose(labelled_tiles(data, settings, encoder, progress), settings, seed)


def _pools(tiles: LabelledTiles, count: int, draw: np.random.Generator) -> Positions:
    """The pool (n,) of each tile: a set's groups dealt out in turn, those with tumour and those without apart."""
    dealt = np.zeros(len(tiles.tumour), dtype=np.int64)
    for number, source in enumerate(sorted(set(tiles.source))):
        own = tiles.source == source
        ill = sorted({str(name) for name in tiles.group[own & tiles.tumour]})
        well = sorted({str(name) for name in tiles.group[own & ~tiles.tumour]} - set(ill))
        for names in (ill, well):
            for seat, name in enumerate(draw.permutation(names) if names else ()):
                dealt[own & (tiles.group == name)] = number * count + seat % count
    return dealt


def _grid(count: int) -> Positions:
    """Places (count, 2) row by row on a square."""
    side = int(np.ceil(np.sqrt(count)))
    places: Positions = np.stack(np.divmod(np.arange(count), side)[::-1], axis=1) * SIDE
    return places.astype(np.int64)
