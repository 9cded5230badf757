"""The labelled tiles that heads, novelty and the reference atlas are trained from and tested on.

Reads the two folders of shared data: `tiles/` (one parquet a public set) and `atlas/` (whole slides of the
open pathology atlas, sampled into tiles). Labels are renamed by the recipe, so that one organ has one name
in every set. Needs the extra `train` (pyarrow).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slides.errors import SetupError, UsageError

from .preprocess import to_rgb

Column = NDArray[np.object_]
Rename = Mapping[str, Mapping[str, str]]


ATTRIBUTION = {
    "atlas": "Contains slides of Patoloji Atlası / Pathology Atlas (Serdar Balcı, Memorial Patoloji, Çiğdem "
    "Irkkan, Gülgün Koçak and contributors), CC BY 4.0 and MIT; sampled into tiles.",
    "bcss": "BCSS, Amgad et al. 2019, CC0 1.0.",
    "breakhis": "BreakHis, Spanhol et al. 2016, IEEE TBME 63:1455, CC BY 4.0.",
    "camelyon_resampled": "CAMELYON, Litjens et al. 2018, CC0.",
    "crc_texture_2016": "Kather et al. 2016, Sci Rep 6:27988, Zenodo 53169, CC BY 4.0.",
    "crc_val_he_7k": "Kather et al. 2019, PLoS Med 16:e1002730, Zenodo 1214456, CC BY 4.0.",
    "ihc_misc": "OpenSlide test data, OS-2, free to use and distribute.",
    "kidney_pas": "AIDPATH glomeruli, Mendeley k7nvtgn2x6, CC BY 4.0.",
    "ood_nonhistology": "Liquid-based cytology and mammography, CC BY 4.0; BCCD, MIT; neuroblastoma, CC0.",
    "openslide_he": "OpenSlide test data, OS-1, free to use and distribute.",
    "oscc_rahman": "Rahman et al. 2020, Mendeley ftmp4cvtmb, CC BY 4.0.",
    "osteosarcoma_ut": "Leavey et al. 2019, TCIA, doi 10.7937/tcia.2019.bvhjhdas, CC BY 3.0.",
    "generated": "Pictures made by rule, and photographs shipped with scikit-image.",
}


@dataclass(frozen=True)
class ReferenceTiles:
    """n labelled tiles, one array (n,) a column; an empty string means not known.

    `group` is what may not be split: a patient, or what stands for one. `source` is the set, `kind` is
    `cases` (sampled from whole slides; the label is the case's) or `tiles` (cut and labelled one by one).
    `certain` is False where the source does not state the label; `downsample` is against the slide's level 0,
    1 for single tiles. `jpeg` is an encoded picture of any format, or the path of one, read when it is needed.
    """

    id: Column
    kind: Column
    source: Column
    group: Column
    split: Column
    stain: Column
    organ: Column
    category: Column
    tissue: Column
    disease: Column
    title: Column
    downsample: NDArray[np.int64]
    permissive: NDArray[np.bool_]
    certain: NDArray[np.bool_]
    jpeg: Column = field(repr=False)

    def __len__(self) -> int:
        return len(self.id)

    def where(self, chosen: NDArray[Any]) -> ReferenceTiles:
        """The tiles at these positions, or where this mask is True."""
        return ReferenceTiles(**{column.name: getattr(self, column.name)[chosen] for column in fields(self)})

    def content(self, position: int) -> bytes:
        """The tile's encoded bytes."""
        held: bytes | Path = self.jpeg[position]
        return held.read_bytes() if isinstance(held, Path) else held

    def image(self, position: int) -> Image.Image:
        """The tile as an RGB picture."""
        return to_rgb(Image.open(io.BytesIO(self.content(position))))

    def sha256(self) -> str:
        """One hash of every tile's bytes, labels and split."""
        digest = hashlib.sha256()
        for column in fields(self):
            for position, value in enumerate(getattr(self, column.name)):
                held = self.content(position) if column.name == "jpeg" else str(value).encode()
                digest.update(held + b"\0")
        return digest.hexdigest()


def load_reference_tiles(data: Path, rename: Rename) -> ReferenceTiles:
    """Every labelled tile under `data`, atlas and sets, both splits and all terms, in a fixed order.

    Parameters
    ----------
    data : the folder that holds `atlas/` and `tiles/`
    rename : for `stain`, `organ`, `category` and `tissue`, from a source's word to the one used here; a
        word renamed to the empty string counts as not known

    Raises
    ------
    UsageError : the folder holds neither
    SetupError : pyarrow is not installed
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise SetupError('reading the tiles needs: pip install -c constraints.txt "pathcopilot[train]"') from error
    rows = [*_set_rows(data / "tiles"), *_atlas_rows(data / "atlas")]
    if not rows:
        raise UsageError(f"no labelled tiles under {data}: it should hold the folders atlas and tiles")
    for row in rows:
        for name, table in rename.items():
            row[name] = table.get(row[name], row[name])
    return ReferenceTiles(**{column.name: _column(rows, column.name) for column in fields(ReferenceTiles)})


def training_tiles(settings: Mapping[str, Any], data: Path) -> ReferenceTiles:
    """The tiles a recipe may learn from: permissive terms, split `train`, the recipe's magnifications."""
    tiles = load_reference_tiles(data, settings["rename"])
    allowed = tiles.permissive & (tiles.split == "train")
    return tiles.where(allowed & np.isin(tiles.downsample, settings["downsamples"]))


def spread_over_groups(groups: NDArray[np.object_], at_most: int, seed: int) -> NDArray[np.int64]:
    """Positions of up to `at_most` tiles of each group, in order."""
    chosen: list[int] = []
    for number, group in enumerate(sorted(set(groups))):
        members = np.flatnonzero(groups == group)
        order = np.random.default_rng([seed, number]).permutation(members)
        chosen.extend(int(position) for position in order[:at_most])
    return np.array(sorted(chosen))


def attribution(sources: Iterable[str]) -> list[str]:
    """The attribution line of each source, once, in a fixed order."""
    return [ATTRIBUTION[source] for source in sorted(set(sources)) if source in ATTRIBUTION]


def _column(rows: list[dict[str, Any]], name: str) -> NDArray[Any]:
    values = [row[name] for row in rows]
    if name in ("permissive", "certain", "downsample"):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _table(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def _set_rows(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.parquet")):
        rows += [
            {
                "id": f"{row['dataset']}/{row['id']}",
                "kind": "tiles",
                "source": row["dataset"],
                "group": as_group(row["dataset"], row["group"]),
                "split": row["split"],
                "stain": row["stain"] or "",
                "organ": row["organ"] or "",
                "category": row["category"] or "",
                "tissue": row["label"] or "",
                "disease": row["disease"] or "",
                "title": row["disease"] or row["label"] or "",
                "downsample": 1,
                "permissive": row["terms"] == "permissive",
                "certain": True,
                "jpeg": row["jpeg"],
            }
            for row in _table(path)
        ]
    return rows


def as_group(source: str, group: str) -> str:
    """The name of a group over all sets: a patient of several sets has one."""
    # A TCGA patient is the same person in every set.
    return group if group.startswith("TCGA-") else f"{source}/{group}"


def slide_descriptions(data: Path) -> dict[str, str]:
    """By the beginning of a tile's id (`atlas/case/slide`): one line on what the case shows, where there is one."""
    path = data / "atlas" / "slides.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {f"atlas/{row['case']}/{row['slide']}": row["description"] for row in csv.DictReader(file)}


def _atlas_rows(folder: Path) -> list[dict[str, Any]]:
    if not (folder / "slides.csv").is_file():
        return []
    with (folder / "slides.csv").open(newline="", encoding="utf-8") as file:
        slides = {(row["case"], row["slide"]): row for row in csv.DictReader(file)}
    rows = []
    for path in sorted(folder.glob("tiles-*.parquet")):
        for tile in _table(path):
            slide = slides[tile["case"], tile["slide"]]
            place = f"{tile['downsample']}@{tile['x0']},{tile['y0']}"
            rows.append(
                {
                    "id": f"atlas/{tile['case']}/{tile['slide']}/{place}",
                    "kind": "cases",
                    "source": "atlas",
                    "group": f"atlas/{slide['group']}",
                    "split": slide["split"],
                    "stain": slide["stain_type"],
                    "organ": slide["organ"],
                    "category": slide["category"],
                    "tissue": "",
                    "disease": slide["diagnosis"],
                    "title": slide["title"],
                    "downsample": int(tile["downsample"]),
                    "permissive": True,
                    "certain": slide["label_confidence"] == "high",
                    "jpeg": tile["jpeg"],
                }
            )
    return rows
