"""How much is lost where the picture changes and the tissue does not: a probe learned on clean tiles, tested on
changed ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..encoder import Encoder, Features
from ..features import Progress, cached_features, silent
from ..preprocess import to_rgb
from ..reference_tiles import ReferenceTiles
from ..stains import DAB, EOSIN, HAEMATOXYLIN
from .intervals import Samples, mean_of
from .labelled_sets import Positions, Task
from .probes import linear_probe, task_samples

Shift = Callable[[Image.Image], Image.Image]

_STAINS = np.stack([HAEMATOXYLIN, EOSIN, DAB]).astype(np.float64)
_TO_STAINS: NDArray[np.float64] = np.linalg.inv(_STAINS).astype(np.float64)
BLUR_PX = 2.0
"""Deviation of the blur of a tile 256 px wide; a tile of another size is blurred in proportion."""
USUAL_PX = 256


def stain_scaled(image: Image.Image, haematoxylin: float, eosin: float) -> Image.Image:
    """The picture with so many times the haematoxylin and the eosin in every pixel.

    Colour deconvolution with the vectors of Ruifrok & Johnston 2001; what they do not explain stays.
    """
    density = -np.log(np.maximum(np.asarray(image, dtype=np.float64), 1) / 255)
    amounts = density @ _TO_STAINS * np.array([haematoxylin, eosin, 1.0])
    light = np.exp(-np.maximum(amounts @ _STAINS, 0))
    return Image.fromarray((light.clip(0, 1) * 255).round().astype(np.uint8))


def blurred(image: Image.Image) -> Image.Image:
    """Out of focus: a Gaussian blur of 2 px on 256."""
    return image.filter(ImageFilter.GaussianBlur(BLUR_PX * min(image.size) / USUAL_PX))


def jpeg_30(image: Image.Image) -> Image.Image:
    """Saved once more, as JPEG of quality 30."""
    saved = io.BytesIO()
    image.save(saved, "JPEG", quality=30)
    return Image.open(saved).convert("RGB")


def magnified(image: Image.Image) -> Image.Image:
    """Twice the magnification: the centred half."""
    side = max(min(image.size) // 2, 1)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


STAIN_SHIFTS: Mapping[str, tuple[float, float]] = {
    "stain H 0.5 E 1.5": (0.5, 1.5),
    "stain H 1.5 E 0.5": (1.5, 0.5),
    "stain H 0.5 E 0.5": (0.5, 0.5),
    "stain H 1.5 E 1.5": (1.5, 1.5),
}
SHIFTS: Mapping[str, Shift] = {
    **{
        name: partial(stain_scaled, haematoxylin=haematoxylin, eosin=eosin)
        for name, (haematoxylin, eosin) in STAIN_SHIFTS.items()
    },
    "blur": blurred,
    "JPEG 30": jpeg_30,
    "2x magnification": magnified,
}


@dataclass(frozen=True)
class Robustness:
    """Means over tasks by shift, as sample vectors; `stain` is the mean of its four strengths.

    `lost` is the loss of balanced accuracy. `renamed` is the share of tiles, classes weighted alike, that the
    probe names otherwise once changed, rightly or not: it is never a matter of luck that it is above zero, so
    it tells encoders apart where a loss of accuracy is lost in the noise of few tiles.
    """

    lost: dict[str, Samples]
    renamed: dict[str, Samples]


def measure_robustness(
    encoder: Encoder,
    clean: Features,
    tiles: ReferenceTiles,
    tasks: Sequence[Task],
    progress: Progress = silent,
    cache: Path | None = None,
) -> Robustness:
    """What each shift costs the linear probes of the tasks.

    Parameters
    ----------
    clean : float32 (n, d) of the tiles as they are
    tasks : main tasks of histology sets; their linear probe is fitted on clean training rows only
    """
    tested = np.unique(np.concatenate([task.rows[task.tested] for task in tasks]))
    own = tiles.where(tested)
    versions = [clean[tested]]
    for name, shift in SHIFTS.items():

        def picture(position: int, shift: Shift = shift) -> Image.Image:
            return shift(to_rgb(own.image(position)))

        versions.append(cached_features(encoder, own, f"shift {name}", picture, progress, cache))
    found = [_task_figures(clean, task, np.searchsorted(tested, task.rows), versions) for task in tasks]
    lost = {name: mean_of([task.lost[name] for task in found]) for name in SHIFTS}
    renamed = {name: mean_of([task.renamed[name] for task in found]) for name in SHIFTS}
    return Robustness(_with_stain(lost), _with_stain(renamed))


def _with_stain(figures: dict[str, Samples]) -> dict[str, Samples]:
    return figures | {"stain": mean_of([figures[name] for name in STAIN_SHIFTS])}


def _task_figures(clean: Features, task: Task, at: Positions, versions: Sequence[Features]) -> Robustness:
    """The figures of one task; row i lies at `at[i]` in each version, the first of which is clean."""
    right = np.zeros((len(versions), len(task.rows)))
    moved, times = np.zeros_like(right), np.zeros(len(task.rows))
    for split in task.splits:
        known = task.rows[split.train]
        asked = np.concatenate([version[at[split.test]] for version in versions])
        named = linear_probe(clean[known], task.labels[split.train], task.groups[split.train], asked, split.seed)
        named = named.reshape(len(versions), -1)
        right[:, split.test] += named == task.labels[split.test]
        moved[:, split.test] += named != named[0]
        times[split.test] += 1
    times = times[task.tested]
    plain, *changed = (task_samples(row[task.tested] / times, task) for row in right)
    anew = [task_samples(row[task.tested] / times, task) for row in moved[1:]]
    lost = {name: plain - figure for name, figure in zip(SHIFTS, changed, strict=True)}
    return Robustness(lost, dict(zip(SHIFTS, anew, strict=True)))
