"""Bags made for the tests of slide models: tumour tiles lie apart from the others along one direction."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from vision_encoder.slide_models.bag import Bag, BagSet

DIMENSION = 16


class FakeEncoder:
    """As much of an encoder as a table of features needs."""

    name = "embedded"
    dimension = DIMENSION
    mpp = None
    tile_px = 8
    sha256 = "f" * 64

    def encode_tiles(self, images: object, mpp: float | None = None) -> np.ndarray:
        raise AssertionError("nothing is encoded here")


def made_bags(count: int = 48, seed: int = 0, share: float = 0.3, distance: float = 3.0) -> BagSet:
    """Half of `count` bags hold a `share` of tumour tiles; two bags a patient, six to thirty tiles a bag."""
    draw = np.random.default_rng(seed)
    bags, labels = [], []
    for number in range(count):
        tiles, positive = int(draw.integers(6, 30)), number // 2 % 2
        truth = np.arange(tiles) < (max(1, round(share * tiles)) if positive else 0)
        features = draw.normal(size=(tiles, DIMENSION)).astype(np.float32)
        features[truth, 0] += distance
        order = draw.permutation(tiles)
        coords = np.stack([order * 256, np.zeros(tiles, dtype=np.int64)], axis=1)
        bags.append(Bag(f"slide {number}", f"patient {number // 2}", features[order], coords, truth=truth[order]))
        labels.append(positive)
    return BagSet(
        tuple(bags), {"tumour": np.array(labels, dtype=np.int64)}, {"tumour": ("none", "tumour")}, "made bags"
    )


def write_laboratory(folder: Path, bags: BagSet) -> None:
    """A table of labels and a folder of features, as a laboratory would have them."""
    (folder / "features").mkdir(parents=True)
    lines = ["path,patient,label,sex"]
    for bag, label in zip(bags.bags, bags.labels["tumour"], strict=True):
        name = bag.name.replace(" ", "-")
        with h5py.File(folder / "features" / f"{name}.h5", "w") as file:
            file["features"], file["coords"] = bag.features, bag.coords
            file.attrs["encoder_sha256"] = FakeEncoder.sha256
        lines.append(f"{name}.svs,{bag.group},{('none', 'tumour')[label]},{'f' if label else ''}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


RECIPE = """
encoder = "embedded"
models = ["mean", "abmil"]
seeds = 2
folds = 3
[data]
from = "table"
features = "features"
[network]
width = 8
hidden = 8
[training]
epochs = 3
batch = 4
[[task]]
name = "tumour"
column = "label"
classes = ["none", "tumour"]
"""
