"""Tiles and tasks without pictures, for the laws of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vision_encoder.reference_tiles import ReferenceTiles


def made_tiles(rows: Sequence[Mapping[str, object]]) -> ReferenceTiles:
    """Tiles with the columns given, everything else plain H&E of a `tiles` set."""
    usual: dict[str, object] = {
        "kind": "tiles",
        "source": "made",
        "split": "train",
        "stain": "HE",
        "organ": "",
        "category": "",
        "tissue": "",
        "disease": "",
        "title": "",
        "downsample": 1,
        "permissive": True,
        "certain": True,
        "jpeg": b"",
    }
    full = [{"id": f"{number:05d}", "group": f"g{number}", **usual, **row} for number, row in enumerate(rows)]
    kinds = {"downsample": np.int64, "permissive": np.bool_, "certain": np.bool_}
    columns = {}
    for name in ("id", "group", *usual):
        column = np.empty(len(full), dtype=object)
        column[:] = [row[name] for row in full]
        columns[name] = column.astype(kinds.get(name, object))
    return ReferenceTiles(**columns)


def labelled(classes: int = 3, groups: int = 10, tiles: int = 3, source: str = "made") -> ReferenceTiles:
    """Of each class so many groups of so many tiles; every third group is held out."""
    return made_tiles(
        [
            {
                "id": f"{source}/{label}/{group}/{tile}",
                "source": source,
                "tissue": f"class {label}",
                "group": f"{source}/{label}/{group}",
                "split": "dev" if group % 3 == 0 else "train",
            }
            for label in range(classes)
            for group in range(groups)
            for tile in range(tiles)
        ]
    )


def perfect(tiles: ReferenceTiles, seed: int = 0, dimensions: int = 12) -> np.ndarray:
    """Features that tell the `tissue` of every tile, with a little noise."""
    _, number = np.unique(tiles.tissue.astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 0.05, (len(tiles), dimensions))
    features[np.arange(len(tiles)), number] += 1
    return features.astype(np.float32)
