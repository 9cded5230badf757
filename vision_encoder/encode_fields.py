"""Reading the planned tiles of a view into features, and the progress of looking."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from slides import Evidence, Region, RegionUnreadable, Slide

from .observation import Look
from .sampling import TilePlan, darkness

if TYPE_CHECKING:
    from .encoder import Encoder

CHUNK = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being done now, `done` of `total`; total 0 where there is nothing to count.

    `looks` are the reads that begin with it, `glimpse` evidence that already stands: the first of the observation.
    """

    what: str
    done: int = 0
    total: int = 0
    looks: tuple[Look, ...] = field(default=())
    glimpse: tuple[Evidence, ...] = field(default=())


def encode_fields(
    encoder: Encoder | None,
    slide: Slide,
    plan: TilePlan,
    halted: Callable[[], bool] = lambda: False,
    *,
    what: str = "looking at tissue fields",
    why: str = "spread over the tissue",
) -> Generator[Progress, None, tuple[list[Region], list[float], np.ndarray]]:
    """The tiles that could be read, their darkness and their features (n, d), none without an encoder.

    No pixels are kept. `what` and `why` go into the progress and its looks.
    """
    tiles: list[Region] = []
    shades: list[float] = []
    features = [np.empty((0, encoder.dimension if encoder else 0), np.float32)]
    for start in range(0, len(plan.tiles), CHUNK):
        some = plan.tiles[start : start + CHUNK]
        looks = tuple(Look(slide.name, tile, plan.mpp, why) for tile in some)
        yield Progress(what, start, len(plan.tiles), looks)
        if halted():
            break
        fresh = []
        for tile, side in zip(some, plan.sizes[start : start + CHUNK], strict=True):
            try:
                fresh.append(slide.read_size(tile, (side, side)))
            except RegionUnreadable:
                continue
            tiles.append(tile)
        if fresh and encoder is not None:
            images = [Image.fromarray(picture) for picture in fresh]
            features.append(encoder.encode_tiles(images, mpp=plan.mpp))
        shades += [darkness(picture) for picture in fresh]
    return tiles, shades, np.concatenate(features)
