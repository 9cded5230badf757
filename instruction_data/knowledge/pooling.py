"""Pooling staining figures of several studies into one Beta that keeps their disagreement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PRIOR = 0.5
"""Pseudo-cases for either result: 0 of 10 is not 0 (Jeffreys)."""


@dataclass(frozen=True, slots=True)
class Count:
    """One study: `share` in [0, 1] of `cases`; `limits` in percent; `counted` when the counts were printed."""

    share: float
    cases: float
    limits: tuple[float, float]
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """Intra-study correlation of all cells together, and the weight (in studies) it has in one cell."""

    rho: float
    prior_studies: float
    cells: int


def correlation(studies: Sequence[Count]) -> float | None:
    """Moment estimate of the beta-binomial correlation in [0, 0.9]; None below two studies or at 0 % or 100 %.

    Kleinman, Proportions with extraneous variance, J Am Stat Assoc 1973;68:46-54.
    """
    cases = sum(study.cases for study in studies)
    if len(studies) < 2 or cases <= 0:
        return None
    mean = sum(study.cases * study.share for study in studies) / cases
    if not 0.0 < mean < 1.0:
        return None
    scatter = sum(study.cases * (study.share - mean) ** 2 for study in studies) / (mean * (1.0 - mean))
    free = len(studies) - 1
    room = cases - sum(study.cases**2 for study in studies) / cases - free
    return min(max((scatter - free) / room, 0.0), 0.9) if room > 0 else None


def spread_of_all(cells: Iterable[Sequence[Count]], prior_studies: float) -> Spread:
    """Mean correlation over the cells with at least two counted studies, weighted by studies less one."""
    total = weight = 0.0
    used = 0
    for studies in cells:
        counted = [study for study in studies if study.counted]
        rho = correlation(counted)
        if rho is not None:
            total += rho * (len(counted) - 1)
            weight += len(counted) - 1
            used += 1
    return Spread(total / weight if weight else 0.1, prior_studies, used)


def pool(studies: Sequence[Count], spread: Spread) -> tuple[float, float]:
    """Alpha and beta of the predictive Beta of the share that one more laboratory would see.

    A study of n cases counts as n / (1 + (n - 1) rho): past 1 / rho cases, more of the same study tell little.
    The predictive variance is the between-study part plus the uncertainty of the mean.
    """
    own = correlation([study for study in studies if study.counted])
    free = len(studies) - 1
    rho = spread.rho
    if own is not None:
        rho = (free * own + spread.prior_studies * spread.rho) / (free + spread.prior_studies)
    weights = [study.cases / (1.0 + (study.cases - 1.0) * rho) for study in studies]
    told = sum(weights)
    mean = (PRIOR + sum(w * study.share for w, study in zip(weights, studies, strict=True))) / (2 * PRIOR + told)
    concentration = 1.0 / (rho + (1.0 - rho) / (2 * PRIOR + told + 1.0)) - 1.0
    concentration = max(concentration, 2 * PRIOR)
    return mean * concentration, (1.0 - mean) * concentration
