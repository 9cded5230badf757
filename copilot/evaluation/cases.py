"""Pictures with what is known of them: held-out labelled tiles, whole cases, and pictures that are no histology."""

from __future__ import annotations

import random
import tempfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
from PIL import Image

from slides import Region, Slide
from slides.open import open_slide

from ..answer import View

if TYPE_CHECKING:
    from vision_encoder.reference_tiles import ReferenceTiles

T = TypeVar("T")

AXES = ("organ", "category", "tissue", "disease", "stain")
"""What a picture may be asked, in the order of most use."""
TISSUE_SETS = ("crc_val_he_7k", "crc_texture_2016")
"""Sets whose own label is the tissue of a tile; in the others it is the case's disease."""
NO_HISTOLOGY = "ood_nonhistology"
SKIPPED = frozenset({"", "other", "none", "unknown", "lymphoid", "ISH", "03_COMPLEX", "08_EMPTY", "BACK"})
"""Labels that answer no question."""
SAID = {
    "HE": "haematoxylin and eosin", "special": "special stain", "normal/reactive/other": "normal or reactive",
    "ADI": "adipose tissue", "DEB": "necrotic debris", "LYM": "lymphocytes", "MUC": "mucus", "MUS": "smooth muscle",
    "NORM": "normal mucosa", "STR": "stroma", "TUM": "tumour epithelium", "brain/CNS": "brain",
    "07_ADIPOSE": "adipose tissue", "06_MUCOSA": "normal mucosa", "PAS": "special stain",
    "normal": "normal or reactive",
}  # fmt: skip
"""Labels of the sets as a person would write them in a question."""
SHEET = 4
"""Tiles along each side of the picture of a case."""
OPEN_AT_ONCE = 24


@dataclass(frozen=True, slots=True)
class Case:
    """A picture and its labels by axis.

    `group` is what may not be split (a patient, or what stands for one); `kind` is `tiles`, `cases`, `made` or
    `no histology`; `about` is the set it comes from; `paint` gives the RGB picture, the same each time.
    """

    name: str
    group: str
    kind: str
    about: str
    labels: Mapping[str, str]
    paint: Callable[[], Image.Image] = field(repr=False)
    downsample: int = 1
    """Against the slide's level 0; another than 1 only where magnifications are compared."""
    file: Path | None = None
    """A file of the user's, asked about as it is; `paint` then gives the pixels of `region`."""
    region: Region | None = None

    @property
    def haematoxylin_eosin(self) -> bool:
        """True where the stain is known to be H&E."""
        return self.labels.get("stain") == SAID["HE"]


def held_out_cases(tiles: ReferenceTiles, split: str = "dev") -> list[Case]:
    """Every tile of a set, and every slide of the atlas at each magnification, of groups that were not trained on.

    A slide is shown as a sheet of up to 16 of its tiles. Slides whose label the source does not state are left out.
    """
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for position in np.flatnonzero(tiles.split == split):
        slide = tiles.kind[position] == "cases"
        if slide and not tiles.certain[position]:
            continue
        name = "/".join(tiles.id[position].split("/")[:3]) if slide else tiles.id[position]
        found[name, int(tiles.downsample[position])].append(int(position))
    return [_case(tiles, name, scale, places[: SHEET**2]) for (name, scale), places in sorted(found.items())]


def _case(tiles: ReferenceTiles, name: str, downsample: int, positions: Sequence[int]) -> Case:
    first = positions[0]
    outside = tiles.source[first] == NO_HISTOLOGY
    return Case(
        name if downsample == 1 else f"{name}@{downsample}",
        str(tiles.group[first]),
        "no histology" if outside else str(tiles.kind[first]),
        str(tiles.tissue[first]) if outside else str(tiles.source[first]),
        {} if outside else _labels(tiles, first),
        partial(_picture, tiles, tuple(positions)),
        downsample,
    )


def _labels(tiles: ReferenceTiles, position: int) -> dict[str, str]:
    labels = {axis: str(getattr(tiles, axis)[position]) for axis in AXES}
    tissue_set = tiles.source[position] in TISSUE_SETS
    if not tissue_set:
        labels["tissue"] = ""
    if tissue_set or labels["category"] in SKIPPED:
        labels["disease"] = ""
    if labels["stain"].startswith("IHC"):
        labels["stain"] = "immunohistochemistry"
    told = {axis: SAID.get(label, label) for axis, label in labels.items() if label not in SKIPPED}
    return {axis: label.partition(" (")[0].partition(", ")[0] for axis, label in told.items()}


def _picture(tiles: ReferenceTiles, positions: Sequence[int]) -> Image.Image:
    images = [tiles.image(position) for position in positions]
    if len(images) == 1:
        return images[0]
    side = 256
    across = int(np.ceil(np.sqrt(len(images))))
    sheet = Image.new("RGB", (across * side, -(-len(images) // across) * side), "white")
    for number, image in enumerate(images):
        sheet.paste(image, ((number % across) * side, (number // across) * side))
    return sheet


def at_full_power(cases: Iterable[Case]) -> list[Case]:
    """Histology at the source's finest magnification."""
    return [case for case in cases if case.downsample == 1 and case.kind != "no histology"]


def spread_over_groups(rows: Sequence[T], group: Callable[[T], str], most: int | None, seed: int = 0) -> list[T]:
    """At most `most` rows, taken from the groups in turn, in their own order; all of them where `most` is None."""
    if most is None or len(rows) <= most:
        return list(rows)
    held: dict[str, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        held[group(row)].append(position)
    rng = random.Random(seed)
    queues = [rng.sample(places, len(places)) for _, places in sorted(held.items())]
    rng.shuffle(queues)
    taken: list[int] = []
    while len(taken) < most:
        for queue in queues:
            if queue and len(taken) < most:
                taken.append(queue.pop())
    return [rows[position] for position in sorted(taken)]


class Gallery:
    """Puts pictures on disk once and hands them out as views, as a person's own files would be opened.

    The folder is its own and goes with it. At most 24 pictures are open at a time, so a view is to be used before
    many others are asked for.
    """

    def __init__(self) -> None:
        self._kept = tempfile.TemporaryDirectory(prefix="pathcopilot-")
        self._folder = Path(self._kept.name)
        self._made = 0
        self._paths: dict[str, Path] = {}
        self._open: OrderedDict[Path, Slide] = OrderedDict()

    def view(self, case: Case) -> View:
        """The picture of a case: the whole of a made file, or its region of the user's."""
        if case.file is not None:
            return View(self.opened(case.file).slide, case.region)
        if case.name not in self._paths:
            path = self._folder / f"picture-{len(self._paths) + 1:04d}.png"
            case.paint().convert("RGB").save(path, compress_level=1)
            self._paths[case.name] = path
        return self.opened(self._paths[case.name])

    def opened(self, path: Path) -> View:
        """The whole picture of a file."""
        if path not in self._open:
            self._open[path] = open_slide(path, probe=False)  # our own file, or one that was probed before
            if len(self._open) > OPEN_AT_ONCE:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return View(self._open[path])

    def path(self, name: str) -> Path:
        """A place for one more file of that name, in a folder of its own."""
        self._made += 1
        folder = self._folder / f"more-{self._made:04d}"
        folder.mkdir()
        return folder / name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        while self._open:
            self._open.popitem()[1].close()
        self._kept.cleanup()
