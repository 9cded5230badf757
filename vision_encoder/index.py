"""Similar tiles: the exact cosine between a tile's features and those of an index, in half precision.

An index holds features, places, captions and attribution, never pixels. A laboratory makes one of its own
slides or labelled tiles; the shipped reference cases are one too, in half-whitened components. What is nearest
always exists and means little by itself: only the shipped cases come with a measured agreement and a novelty,
so only they enter answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides import PathcopilotError, Region, Slide, UsageError, open_slide
from slides.quality import measure_quality
from slides.tissue import tissue_mask

from .encoder import Encoder, Features
from .features import Progress, encode_all, silent
from .lab_tiles import opened_tile
from .look import encode_fields, nothing_to_read
from .projection import Projection, unit
from .reference_tiles import ATTRIBUTION
from .retrieval import Atlas, ReferenceCase
from .sampling import plan_tiles
from .shipped import read_trained, write_trained

BLOCK = 16384
"""Tiles of the index compared at a time: 80 MB of 1,280 numbers in single precision."""
NOWHERE = (-1, -1, -1, -1)
REMEDY = "make it again with pathcopilot index, and keep its .json and .safetensors together"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A tile of an index: its case, its place on the case's slide where it has one, and the likeness.

    `similarity` is the cosine in [-1, 1] to the query tile number `asked`, the nearest of the query's tiles.
    """

    case: ReferenceCase
    place: Region | None
    similarity: float
    asked: int


@dataclass(frozen=True)
class TileIndex:
    """m tiles of c cases.

    reference : float16 (m, p), rows of length 1, a case's tiles from `start` to `stop`
    places : int64 (m, 4) level-0 x, y, width, height; -1 where a tile has none
    projection : from features to what is compared; None compares the features themselves
    """

    cases: tuple[ReferenceCase, ...]
    reference: NDArray[np.float16]
    places: NDArray[np.int64]
    projection: Projection | None
    card: Mapping[str, Any]

    def nearest(self, features: Features, k: int = 5) -> tuple[Neighbour, ...]:
        """The k tiles of largest cosine to any of n ≥ 1 query tiles (n, d), best first; ties in the index's order."""
        rows = unit(features if self.projection is None else self.projection(features))
        parts = [
            rows @ self.reference[start : start + BLOCK].astype(np.float32).T
            for start in range(0, len(self.reference), BLOCK)
        ]
        similarity = np.concatenate(parts, axis=1)
        best = similarity.max(axis=0)
        order = np.argsort(-best, kind="stable")[:k]
        owners = np.searchsorted([case.stop for case in self.cases], order, side="right")
        return tuple(
            Neighbour(
                self.cases[owner],
                None if self.places[row, 2] < 0 else Region(*map(int, self.places[row])),
                float(best[row]),
                int(similarity[:, row].argmax()),
            )
            for row, owner in zip(order, owners, strict=True)
        )


def of_atlas(atlas: Atlas) -> TileIndex:
    """The shipped reference cases as an index."""
    places = np.full((len(atlas.reference), 4), -1, dtype=np.int64)
    attribution = "; ".join(atlas.card["attribution"])
    cases = tuple(case if case.attribution else replace(case, attribution=attribution) for case in atlas.cases)
    return TileIndex(cases, atlas.reference.astype(np.float16), places, atlas.projection, atlas.card)


def index_slides(
    encoder: Encoder, paths: Sequence[Path], progress: Progress = silent
) -> tuple[TileIndex, tuple[str, ...]]:
    """The tissue tiles of slides, at most 64 of each as looking takes them, and sentences on what was left out.

    Raises
    ------
    UsageError : none of the slides holds tissue that can be read
    """
    found: list[tuple[ReferenceCase, Features, list[tuple[int, ...]]]] = []
    notes = []
    for number, path in enumerate(paths):
        progress("slides", number, len(paths))
        try:
            with open_slide(path) as slide:
                regions, features = tile_features_of(encoder, slide)
        except PathcopilotError as error:
            notes.append(f"{path.name} is not in the index: {str(error).removeprefix(f'{path.name}: ')}")
            continue
        case = ReferenceCase(path.name, "", "", "", 0, 0, caption=path.stem)
        found.append((case, features, [region.xywh for region in regions]))
    progress("slides", len(paths), len(paths))
    if not found:
        raise UsageError(f"no slide could be indexed: {notes[0] if notes else 'name slides'}")
    return _assembled(encoder, found), tuple(notes)


def tile_features_of(encoder: Encoder, slide: Slide, region: Region | None = None) -> tuple[list[Region], Features]:
    """Tiles of a slide or of a region of it, as looking takes them, and their features (n, d), n ≥ 1.

    Raises
    ------
    UsageError : a region outside the slide, or without tissue
    SlideError : the view cannot be read
    """
    view = (region or slide.bounds).clamp(slide.size)
    if view is None:
        raise UsageError(f"the region lies outside the slide, which is {slide.size[0]} x {slide.size[1]} px")
    mask = tissue_mask(slide, view)
    nothing = nothing_to_read(slide, view, tuple(measure_quality(slide, view, mask)))
    if nothing is not None:
        raise UsageError(nothing)
    plan = plan_tiles(slide, view, mask, whole=region is None)
    looking = encode_fields(encoder, slide, plan)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            tiles, _, features = end.value
            break
    if not tiles:
        raise UsageError("no part of the tissue there can be read")
    return tiles, features


def index_tiles(
    encoder: Encoder, paths: Sequence[Path], progress: Progress = silent
) -> tuple[TileIndex, tuple[str, ...]]:
    """The tiles of Parquet files: pictures in the column `jpeg`; words, where they are known, in `caption` or `label`,
    `disease`, `organ`, `category`, `dataset`, `group` and `attribution`. Tiles of one group and caption are one case.

    Raises
    ------
    UsageError : a file that is no such Parquet file, or a tile that cannot be read
    SetupError : pyarrow is not installed
    """
    rows = [row for path in paths for row in _parquet(path)]
    if not rows:
        raise UsageError("the files hold no tile")
    members: dict[tuple[str, str, str], list[int]] = {}
    for position, row in enumerate(rows):
        members.setdefault((row["dataset"], row["group"], row["caption"]), []).append(position)
    order = [position for key in sorted(members) for position in members[key]]
    features = encode_all(
        encoder,
        len(order),
        lambda position: opened_tile(rows[order[position]]["jpeg"], rows[order[position]]["id"]),
        lambda done, total: progress("tiles", done, total),
    )
    found, start = [], 0
    for key in sorted(members):
        row, count = rows[members[key][0]], len(members[key])
        case = ReferenceCase(
            title=row["caption"] or row["id"],
            diagnosis=row["disease"],
            organ=row["organ"],
            category=row["category"],
            start=0,
            stop=0,
            caption=row["caption"],
            attribution=row["attribution"] or ATTRIBUTION.get(row["dataset"], row["dataset"]),
        )
        found.append((case, features[start : start + count], [NOWHERE] * count))
        start += count
    return _assembled(encoder, found), ()


WORDS = ("id", "dataset", "group", "disease", "organ", "category", "attribution")


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    from .lab_tiles import read_parquet

    columns, rows = read_parquet(path)
    if "jpeg" not in columns:
        raise UsageError(f"{path.name} has no column 'jpeg', which holds the tiles' pictures")
    for number, row in enumerate(rows):
        words = {name: str(row.get(name) or "") for name in WORDS}
        words["id"] = words["id"] or f"{path.stem} row {number}"
        caption = next((str(row[name]) for name in ("caption", "description", "label") if row.get(name)), "")
        yield {**words, "caption": caption, "jpeg": row["jpeg"] or b""}


def _assembled(
    encoder: Encoder, found: Sequence[tuple[ReferenceCase, Features, Sequence[tuple[int, ...]]]]
) -> TileIndex:
    stops = np.cumsum([len(features) for _, features, _ in found])
    cases = tuple(
        replace(case, start=int(stop - len(features)), stop=int(stop))
        for (case, features, _), stop in zip(found, stops, strict=True)
    )
    reference = unit(np.concatenate([features for _, features, _ in found])).astype(np.float16)
    places = np.array([place for _, _, places in found for place in places], dtype=np.int64)
    card = {"encoder": {"name": encoder.name, "sha256": encoder.sha256, "dimension": encoder.dimension}}
    return TileIndex(cases, reference, places, None, card)


def write_index(index: TileIndex, out: Path) -> Path:
    """Writes OUT.safetensors and OUT.json; returns the latter's path.

    Raises
    ------
    UsageError : the files cannot be written
    """
    target = out.with_suffix("") if out.suffix in (".json", ".safetensors") else out
    arrays: dict[str, NDArray[Any]] = {"reference": index.reference, "places": index.places}
    card = {
        **index.card,
        "made_by": "pathcopilot index",
        "cases": [{name: getattr(case, name) for name in ReferenceCase.__slots__} for case in index.cases],
    }
    try:
        write_trained(target.parent, target.name, arrays, card)
    except OSError as error:
        raise UsageError(f"{target.name} cannot be written: {error.strerror}: name another place with --out") from error
    return target.parent / f"{target.name}.json"


def load_index(encoder: Encoder, path: Path) -> TileIndex:
    """An index that `pathcopilot index` wrote, hash verified.

    Raises
    ------
    UsageError : no such file, no index, or one of another encoder
    SetupError : the arrays differ from their hash
    """
    if path.suffix not in (".json", ".safetensors") or not path.is_file():
        raise UsageError(f"{path.name}: no index there: name the INDEX.json that pathcopilot index wrote")
    arrays, card = read_trained(path.parent, path.stem, REMEDY)
    try:
        made_with = card["encoder"]
        cases = tuple(ReferenceCase(**row) for row in card["cases"])
        if made_with["sha256"] == encoder.sha256:
            return TileIndex(cases, arrays["reference"], arrays["places"], None, card)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path.name} holds no index: {REMEDY}") from error
    raise UsageError(
        f"{path.name} was made with encoder '{made_with['name']}' ({made_with['sha256'][:8]}), and "
        f"'{encoder.name}' ({encoder.sha256[:8]}) is in use: make it again, or load its own with --encoder"
    )
