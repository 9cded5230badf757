"""The pictures that instruction data speak of: which ones, and their pixels by name.

A name is the tile's own (`crc_val_he_7k/…`, `atlas/CASE/SLIDE/2@x,y`), with `~blurred` or `~half` where it is
altered before it is looked at; `atlas/CASE/SLIDE~sheet2` for tiles of one slide and downsample side by side, since
a single field of a case says little; or `made/KIND/NUMBER` for a picture by rule that is no histology.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from instruction_data.conversation import Picture
from instruction_data.grammar import seeded
from instruction_data.record import LABELS
from slides.errors import UsageError
from vision_encoder.duplicates import near_identical, thumbnail
from vision_encoder.negatives import KINDS, negative
from vision_encoder.preprocess import to_rgb
from vision_encoder.reference_tiles import ReferenceTiles, load_reference_tiles

BLUR = 0.02
"""Standard deviation of the blur, in sides of the picture: 5 px of 256."""
SHEET = "sheet"
FIELDS = 16
"""Most tiles of a sheet, in a square of 4 by 4; fewer than 9 make none."""
FEWEST = 9
GLASS = (243, 241, 243)
PHOTOGRAPH = "photograph"
MADE = "generated"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A picture with what its source states; `position` is its tile's, None for one that is made."""

    picture: Picture
    labels: Mapping[str, str]
    case: str = ""
    downsample: int = 1
    altered: str = ""
    text: str = ""
    position: int | None = None


class Library:
    """All tiles of a data folder with their scale and texts, and the held-out ones apart.

    Raises `UsageError` where the folder holds no tiles, `SetupError` without pyarrow.
    """

    def __init__(self, data: Path, rename: Mapping[str, Mapping[str, str]], seed: int) -> None:
        self.tiles = load_reference_tiles(data, rename)
        self.seed = seed
        self.scales = _scales(data / "tiles")
        self.texts = _texts(data / "atlas" / "slides.csv")
        self.position = {id: position for position, id in enumerate(self.tiles.id)}
        self.fields: dict[str, list[int]] = defaultdict(list)
        for position in np.flatnonzero(self.tiles.kind == "cases"):
            name = f"{_case(self.tiles.id[position])}~{SHEET}{self.tiles.downsample[position]}"
            self.fields[name].append(int(position))

    @property
    def held_out_groups(self) -> frozenset[str]:
        """Groups of any split but `train`."""
        return frozenset(self.tiles.group[self.tiles.split != "train"])

    @property
    def held_out_texts(self) -> frozenset[str]:
        """Case texts of held-out groups."""
        groups = self.held_out_groups
        cases = {_case(id) for id, group in zip(self.tiles.id, self.tiles.group, strict=True) if group in groups}
        return frozenset(self.texts[case] for case in cases if self.texts.get(case))

    def choose(self, settings: Mapping[str, Any]) -> list[Chosen]:
        """The pictures of a recipe, in a fixed order: permissive tiles of the split `train`, altered and made ones."""
        allowed = self.tiles.permissive & (self.tiles.split == "train")
        singles = np.flatnonzero(allowed & (self.tiles.kind == "tiles"))
        chosen = self._capped(singles, int(settings["of_group"]))
        chosen += self._of_slides(np.flatnonzero(allowed & (self.tiles.kind == "cases")), settings)
        plain = [self._entry(position) for position in sorted(chosen)]
        histology = [entry for entry in plain if entry.labels["stain"] == "HE"]
        altered: list[Chosen] = []
        for name in ("blurred", "half"):
            picked = seeded(self.seed, "pictures", name).sample(histology, min(int(settings[name]), len(histology)))
            altered += [self._altered(entry, name) for entry in sorted(picked, key=lambda entry: entry.picture.id)]
        made = [
            Chosen(Picture(f"made/{kind}/{number}", MADE, f"made/{kind}/{number}"), {"stain": "not histology"})
            for kind in KINDS
            if kind != PHOTOGRAPH  # of those only the library's own licence is known
            for number in range(int(settings["made"]))
        ]
        return [*plain, *self._sheets(settings["sheets"]), *altered, *made]

    def without_held_out(self, chosen: Sequence[Chosen]) -> tuple[list[Chosen], list[str]]:
        """The pictures that show nothing held out, and the names of those left out because they do."""
        groups = self.held_out_groups
        names = {entry.picture.id for entry in chosen if entry.picture.group in groups}
        held = np.flatnonzero(self.tiles.split != "train")
        thumbnails = [thumbnail(self.image(entry.picture.id)) for entry in chosen]
        thumbnails += [thumbnail(self.tiles.image(int(position))) for position in held]
        owners = np.array(["chosen"] * len(chosen) + ["held out"] * len(held), dtype=object)
        if thumbnails:
            names |= {chosen[first].picture.id for first, _ in near_identical(np.stack(thumbnails), owners)}
        kept = [entry for entry in chosen if entry.picture.id not in names]
        return kept, sorted(names)

    def image(self, name: str) -> Image.Image:
        """The pixels of a named picture, RGB; raises `UsageError` for a name that is not in the folder."""
        return to_rgb(Image.open(io.BytesIO(self.content(name))))

    def content(self, name: str) -> bytes:
        """The picture as a file: its own bytes, PNG where it is altered or made."""
        kind, _, rest = name.partition("/")
        if kind == "made":
            sort, _, number = rest.partition("/")
            if sort not in KINDS or not number.isdigit():
                raise UsageError(f"no picture is made as '{name}'")
            return _png(negative(sort, np.random.default_rng([self.seed, KINDS.index(sort), int(number)])))
        plain, _, how = name.partition("~")
        if how.startswith(SHEET):
            return _png(self._sheet(name))
        if plain not in self.position:
            raise UsageError(f"the data folder holds no picture '{plain}': name the folder it was made from")
        content = self.tiles.content(self.position[plain])
        return content if not how else _png(_alter(to_rgb(Image.open(io.BytesIO(content))), how))

    def _capped(self, positions: np.ndarray, most: int) -> list[int]:
        members: dict[str, list[int]] = defaultdict(list)
        for position in positions:
            members[str(self.tiles.group[position])].append(int(position))
        found: list[int] = []
        for group, own in sorted(members.items()):
            found += seeded(self.seed, "group", group).sample(own, min(most, len(own)))
        return found

    def _of_slides(self, positions: np.ndarray, settings: Mapping[str, Any]) -> list[int]:
        """Tiles of whole slides: so many of each downsample, fewer of a slide whose labels are not certain."""
        members: dict[tuple[str, int], list[int]] = defaultdict(list)
        for position in positions:
            members[_case(self.tiles.id[position]), int(self.tiles.downsample[position])].append(int(position))
        found: list[int] = []
        for (case, downsample), own in sorted(members.items()):
            certain = bool(self.tiles.certain[own[0]])
            most = int(settings["of_slide" if certain else "of_unlabelled_slide"].get(str(downsample), 0))
            found += seeded(self.seed, "slide", case, downsample).sample(own, min(most, len(own)))
        return found

    def _entry(self, position: int) -> Chosen:
        tiles = self.tiles
        id, certain = str(tiles.id[position]), bool(tiles.certain[position])
        labels = {name: str(getattr(tiles, name)[position]) for name in LABELS}
        if not certain:  # of such a slide only the stain is known
            labels = {name: label if name == "stain" else "" for name, label in labels.items()}
        case = _case(id) if tiles.kind[position] == "cases" else ""
        return Chosen(
            Picture(id, str(tiles.source[position]), str(tiles.group[position]), self.scales.get(id)),
            labels,
            case,
            int(tiles.downsample[position]),
            text=self.texts.get(case, "") if certain else "",
            position=position,
        )

    def _sheets(self, downsamples: Sequence[int]) -> list[Chosen]:
        """One sheet of every slide to train on whose labels are certain, for each of these downsamples."""
        found = []
        for name, positions in sorted(self.fields.items()):
            first = self._entry(positions[0])
            to_train = self.tiles.split[positions[0]] == "train" and bool(self.tiles.certain[positions[0]])
            if to_train and len(positions) >= FEWEST and first.downsample in downsamples:
                picture = Picture(name, first.picture.source, first.picture.group)
                found.append(Chosen(picture, first.labels, first.case, first.downsample, SHEET, first.text))
        return found

    def _sheet(self, name: str) -> Image.Image:
        """Up to 16 tiles of a slide in a square, in the order of their places."""
        if len(self.fields.get(name, ())) < FEWEST:
            raise UsageError(f"the data folder holds too few tiles for '{name}': name the folder it was made from")
        own = self.fields[name]
        chosen = sorted(seeded(self.seed, name).sample(own, min(FIELDS, len(own))))
        side = math.ceil(math.sqrt(len(chosen)))
        pictures = [self.tiles.image(position) for position in chosen]
        width = max(picture.width for picture in pictures)
        rows = math.ceil(len(chosen) / side)
        sheet = Image.new("RGB", (side * width, rows * width), GLASS)
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (number % side * width, number // side * width))
        return sheet

    def _altered(self, entry: Chosen, how: str) -> Chosen:
        own = entry.picture
        mpp = None if own.mpp is None else own.mpp * (2 if how == "half" else 1)
        picture = Picture(f"{own.id}~{how}", own.source, own.group, mpp)
        return Chosen(picture, entry.labels, entry.case, entry.downsample, how, entry.text, entry.position)


def held_out_alike(library: Library, names: Sequence[str]) -> list[str]:
    """Of these pictures, the names of those that show a held-out one: none in what `without_held_out` left."""
    entries = [Chosen(Picture(name, "", ""), {}) for name in names]
    return library.without_held_out(entries)[1]


def _alter(image: Image.Image, how: str) -> Image.Image:
    if how == "blurred":
        return image.filter(ImageFilter.GaussianBlur(BLUR * max(image.size)))
    if how == "half":
        return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX)
    raise UsageError(f"no picture is altered by '{how}': use blurred or half")


def _png(image: Image.Image) -> bytes:
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


def _case(id: str) -> str:
    """`atlas/CASE/SLIDE` of a tile's name."""
    return "/".join(id.split("/")[:3])


def _scales(folder: Path) -> dict[str, float]:
    """µm/px of the single tiles that state it."""
    import pyarrow.parquet

    found: dict[str, float] = {}
    for path in sorted(folder.glob("*.parquet")):
        for row in pyarrow.parquet.read_table(path, columns=["dataset", "id", "mpp"]).to_pylist():
            if row["mpp"]:
                found[f"{row['dataset']}/{row['id']}"] = round(float(row["mpp"]), 4)
    return found


def _texts(path: Path) -> dict[str, str]:
    """The atlas's sentence on each slide's case."""
    return dict(_described(path)) if path.is_file() else {}


def _described(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield f"atlas/{row['case']}/{row['slide']}", row.get("description") or ""


__all__ = ["Chosen", "Library", "ReferenceTiles", "held_out_alike"]
