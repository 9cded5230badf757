"""µm/px: believed within limits, unknown otherwise, square before anything else sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import UsageError

FINEST_MPP = 0.05
"""µm/px below which a stated scale is not a light microscope's."""

SQUARE_WITHIN = 1.02
"""x and y that differ by less are scanner calibration; their mean is used."""

_MOST_STRETCHED = 4.0

_HOW_TO_STATE = "state it (--mpp) to get lengths, areas and magnification."


@dataclass(frozen=True, slots=True)
class Scale:
    """µm/px of level 0, where it comes from, and how many level-0 px one file pixel covers in x and y.

    Pixels that are not square are resampled to the finer of the two sizes, rather than called unknown: every
    length, area and model input downstream is then true without a special case, at the price that level-0
    coordinates along one axis are not the file's own; the condition says so.
    """

    mpp: float | None
    source: str | None
    stretch: tuple[float, float] = (1.0, 1.0)
    conditions: tuple[str, ...] = ()


def settle_scale(stated: tuple[float, float] | None, coarsest: float, user: float | None) -> Scale:
    """The scale to use of what the file states (x, y), believed between `FINEST_MPP` and `coarsest`.

    A scale the user states wins. Raises `UsageError` when that one is not between 0.01 and 1000.
    """
    if user is not None and not (math.isfinite(user) and 0.01 <= user <= 1000):
        raise UsageError("µm/px must be a number between 0.01 and 1000, for instance --mpp 0.25")
    mpp, stretch, conditions = _believe(stated, coarsest)
    if user is None:
        return Scale(mpp, None if mpp is None else "file", stretch, conditions)
    kept = conditions if stretch != (1.0, 1.0) else ()
    if mpp is not None and not 0.9 <= user / mpp <= 1.1:
        kept += (f"You state {user:g} µm/px, the file {mpp:.4g}: yours is used.",)
    return Scale(user, "user", stretch, kept)


def _believe(
    stated: tuple[float, float] | None, coarsest: float
) -> tuple[float | None, tuple[float, float], tuple[str, ...]]:
    square = (1.0, 1.0)
    if stated is None:
        return None, square, (f"The file does not state µm/px: {_HOW_TO_STATE}",)
    x, y = stated
    if not all(math.isfinite(side) and FINEST_MPP <= side <= coarsest for side in (x, y)):
        said = f"{x:g}" if x == y or not (math.isfinite(x) and math.isfinite(y)) else f"{x:g} x {y:g}"
        return None, square, (
            f"The file says {said} µm/px, which is not believable: the scale is treated as unknown; "
            f"{_HOW_TO_STATE}",
        )  # fmt: skip
    finer, coarser = min(x, y), max(x, y)
    if coarser / finer <= SQUARE_WITHIN:
        return math.sqrt(x * y) if x != y else x, square, ()
    if coarser / finer > _MOST_STRETCHED:
        return None, square, (
            f"The file says pixels of {x:g} x {y:g} µm, which is not believable: the scale is treated as "
            f"unknown; {_HOW_TO_STATE}",
        )  # fmt: skip
    return finer, (x / finer, y / finer), (
        f"Pixels are not square in the file ({x:g} x {y:g} µm): resampled to square pixels of {finer:g} µm, "
        "in which sizes and places are given.",
    )  # fmt: skip
