"""Which tiles of a slide are shown as evidence: those that score highest, yet spread over the slide."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slides import Region

MOST = 16
"""Tiles that a reader still looks at one by one."""


def evidence_tiles(tiles: Sequence[Region], scores: NDArray[np.floating], most: int = MOST) -> list[int]:
    """Indices of at most `most` tiles, highest score first.

    Greedy: the best tile left is taken unless it lies nearer to one taken than a gap, at first half the side of
    its share of the area that the tiles span; the gap is halved until enough are taken. A score may be a head's
    probability of each tile, or a slide model's logit: only their order counts. Ties go to the earlier tile.

    Parameters
    ----------
    tiles : n regions, level 0
    scores : float (n,)
    """
    if not tiles or most < 1:
        return []
    centres = np.array([(tile.x + tile.width / 2, tile.y + tile.height / 2) for tile in tiles])
    order = [int(index) for index in np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")]
    gap = 0.5 * math.sqrt(sum(tile.area for tile in tiles) / most)
    gap = max(gap, 0.5 * math.sqrt(float(np.prod(np.ptp(centres, axis=0))) / most))
    taken: list[int] = []
    while len(taken) < min(most, len(tiles)):
        for index in order:
            if len(taken) == most:
                break
            near = np.hypot(*(centres[taken] - centres[index]).T) if taken else np.array([np.inf])
            if index not in taken and near.min() >= gap:
                taken.append(index)
        gap = gap / 2 if gap > 1 else 0.0
    return sorted(taken, key=order.index)
