"""How much is lost where the picture changes and the tissue does not: a probe learned on clean tiles, tested on
changed ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
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
    "stain H 0.7 E 1.3": (0.7, 1.3),
    "stain H 1.3 E 0.7": (1.3, 0.7),
    "stain H 0.6 E 0.6": (0.6, 0.6),
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


def measure_robustness(
    encoder: Encoder,
    clean: Features,
    tiles: ReferenceTiles,
    tasks: Sequence[Task],
    progress: Progress = silent,
    cache: Path | None = None,
) -> dict[str, Samples]:
    """Mean loss of balanced accuracy over the tasks under each shift, and under `stain`, the mean of its four
    strengths; sample vectors.

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
    figures = [_figures(clean, task, np.searchsorted(tested, task.rows), versions) for task in tasks]
    lost = {
        name: mean_of([plain - changed[number] for plain, *changed in figures]) for number, name in enumerate(SHIFTS)
    }
    return lost | {"stain": mean_of([lost[name] for name in STAIN_SHIFTS])}


def _figures(clean: Features, task: Task, at: Positions, versions: Sequence[Features]) -> list[Samples]:
    """Balanced accuracy of one clean probe on each version of the tested rows; row i lies at `at[i]` in a version."""
    right = np.zeros((len(versions), len(task.rows)))
    times = np.zeros(len(task.rows))
    for split in task.splits:
        known = task.rows[split.train]
        asked = np.concatenate([version[at[split.test]] for version in versions])
        named = linear_probe(clean[known], task.labels[split.train], task.groups[split.train], asked, split.seed)
        right[:, split.test] += named.reshape(len(versions), -1) == task.labels[split.test]
        times[split.test] += 1
    return [task_samples(row[task.tested] / times[task.tested], task) for row in right]
