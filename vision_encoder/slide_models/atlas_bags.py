"""Bags of the shared atlas: whole H&E slides of cases of known kind, sampled into tiles.

A label is the case's. A tile of a malignant case may hold only fat: that is what a slide model is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slides.errors import UsageError

from ..encoder import Encoder, Features
from ..features import Progress, tile_features
from ..reference_tiles import ReferenceTiles, attribution, load_reference_tiles
from .bag import Bag, BagSet, Positions
from .multitask import UNKNOWN
from .recipe import TaskTable

EMBEDDED = (1, 2, 4)
"""Downsamples whose tiles are embedded together, so that a recipe of other magnifications finds them in the cache."""


def atlas_tiles(data: Path, settings: Mapping[str, Any], split: str) -> ReferenceTiles:
    """The atlas's H&E tiles of one split, cases whose label is sure, at every magnification that is embedded.

    Raises
    ------
    UsageError : there are none under the folder
    SetupError : pyarrow is not installed
    """
    tiles = load_reference_tiles(data, settings.get("rename", {}))
    wanted = (tiles.source == "atlas") & (tiles.stain == "HE") & tiles.certain & tiles.permissive
    wanted &= (tiles.split == split) & np.isin(tiles.downsample, EMBEDDED)
    if not wanted.any():
        raise UsageError(f"no tiles of whole cases under {data}: it should hold the folder atlas")
    return tiles.where(wanted)


def atlas_bags(
    data: Path,
    settings: Mapping[str, Any],
    tasks: Sequence[TaskTable],
    encoder: Encoder,
    progress: Progress,
    split: str = "train",
) -> BagSet:
    """One bag a slide that has a label in at least one task; `settings` is the recipe's table `data`.

    Raises
    ------
    UsageError, SetupError : as `atlas_tiles`
    """
    if not set(settings["downsamples"]) <= set(EMBEDDED):
        raise UsageError(f"downsamples of the atlas are among {', '.join(map(str, EMBEDDED))}")
    tiles = atlas_tiles(data, settings, split)
    features = tile_features(encoder, tiles, "whole", progress)
    chosen = np.isin(tiles.downsample, settings["downsamples"])
    return bags_of(tiles.where(chosen), features[chosen], tasks)


def bags_of(tiles: ReferenceTiles, features: Features, tasks: Sequence[TaskTable]) -> BagSet:
    """Bags of tiles by slide, in order of group and slide; `features` (n, d) are theirs."""
    members: dict[tuple[str, str], list[int]] = {}
    for row in range(len(tiles)):
        members.setdefault((str(tiles.group[row]), tiles.id[row].rpartition("/")[0]), []).append(row)
    bags, labels = [], []
    for group, name in sorted(members):
        rows = np.array(members[group, name])
        told = [task.number(str(getattr(tiles, task.column)[rows[0]])) for task in tasks]
        if any(number != UNKNOWN for number in told):
            bags.append(Bag(name, group, features[rows], _places(tiles, rows)))
            labels.append(told)
    table = np.array(labels, dtype=np.int64).reshape(len(bags), len(tasks))
    return BagSet(
        bags=tuple(bags),
        labels={task.task.name: table[:, column] for column, task in enumerate(tasks)},
        classes={task.task.name: task.task.classes for task in tasks},
        source="whole H&E slides of the open pathology atlas, sampled into tiles",
        attribution=tuple(attribution(["atlas"])),
    )


def _places(tiles: ReferenceTiles, rows: Positions) -> Positions:
    """Level-0 corners (n, 2), read from the end of a tile's id: `downsample@x,y`."""
    ends = [tiles.id[row].rpartition("@")[2].split(",") for row in rows]
    return np.array([[int(x), int(y)] for x, y in ends], dtype=np.int64)
