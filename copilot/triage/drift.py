"""Whether slides are still like those of the calibration set: scanner, scale, stain and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .profile import Profile

LEVEL = 0.01
LEAST_SLIDES = 20
"""New slides below which their distribution is not tested; each slide by itself always is."""
LEAST_GISTS = 20
SLACK = 0.1
"""Share by which ranges of the calibration set are widened: of µm/px by itself, of other measures by their span."""
_LEAST_SLACK = 0.02
_FEATURES = "feature_distance"
_WEIGHTS = np.linspace(0.0, 1.0, 41)

Vector = NDArray[np.float64]
Values = Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]
"""By measure: values of negative and of positive slides."""


@dataclass(frozen=True)
class Reference:
    """What the calibration slides were like.

    `values` hold the optical densities of the stain, and the root mean square of the standardised difference of a
    slide's mean feature from the others' (`feature_distance`); `mean` and `spread` (d,) are those of the features.
    """

    scanners: tuple[str | None, ...]
    stains: tuple[str | None, ...]
    mpp: tuple[float, float] | None
    without_mpp: bool
    values: Values
    mean: Vector | None
    spread: Vector | None

    def as_json(self) -> dict[str, Any]:
        """Plain types for the certificate."""

        def told(vector: Vector | None) -> list[float] | None:
            return None if vector is None else [float(f"{value:.5g}") for value in vector]

        return {
            "scanners": list(self.scanners),
            "stains": list(self.stains),
            "mpp": None if self.mpp is None else list(self.mpp),
            "without_mpp": self.without_mpp,
            "measures": {
                name: {"negative": list(negative), "positive": list(positive)}
                for name, (negative, positive) in self.values.items()
            },
            "features": {"mean": told(self.mean), "spread": told(self.spread)},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Reference:
        """The reference that `as_json` wrote; raises `KeyError`, `TypeError` or `ValueError` for anything else."""

        def vector(value: Any) -> Vector | None:
            return None if value is None else np.asarray(value, np.float64)

        mpp = record["mpp"]
        return cls(
            tuple(record["scanners"]),
            tuple(record["stains"]),
            None if mpp is None else (float(mpp[0]), float(mpp[1])),
            bool(record["without_mpp"]),
            {
                name: (tuple(map(float, held["negative"])), tuple(map(float, held["positive"])))
                for name, held in record["measures"].items()
            },
            vector(record["features"]["mean"]),
            vector(record["features"]["spread"]),
        )

    def measures(self, profile: Profile) -> dict[str, float]:
        """The measures of a slide that are compared."""
        told = {name: float(value) for name, value in profile.measures.items() if name in self.values}
        if self.mean is not None and self.spread is not None and profile.gist is not None:
            if profile.gist.shape != self.mean.shape:
                return told | {_FEATURES: float("inf")}
            told[_FEATURES] = _distance(profile.gist, self.mean, self.spread)
        return told

    def unlike(self, profile: Profile) -> str | None:
        """Why one slide is outside what was calibrated on, in one clause; None when it is inside."""
        if profile.scanner not in self.scanners:
            return f"scanner or file kind {profile.scanner or 'unknown'} was not in the calibration set"
        if profile.stain not in self.stains:
            return f"stain {profile.stain or 'not recognised'} was not in the calibration set"
        if profile.mpp is None and not self.without_mpp:
            return "it states no µm/px, and the calibration slides did: state it"
        if profile.mpp is not None and not self._scale_known(profile.mpp):
            return f"{profile.mpp:.3g} µm/px was not in the calibration set"
        for name, value in self.measures(profile).items():
            low, high = self._range(name)
            if not low <= value <= high:
                kind = "features" if name == _FEATURES else f"stain ({name.replace('_', ' of ')})"
                return f"its {kind} lie outside the calibration set: {value:.3g}, there {low:.3g} to {high:.3g}"
        return None

    def drifted(self, profiles: Sequence[Mapping[str, float]]) -> str | None:
        """Why many slides together are no longer like the calibration set, None when nothing shows it.

        Kolmogorov and Smirnov's two-sample test of each measure, Holm's correction (1979), level 0.01. The share of
        positive cases may differ from that of the calibration set: the new values are compared with the mixture of
        its positive and negative slides that lies nearest, which only makes the test slower to alarm.
        """
        chances = {}
        for name, held in self.values.items():
            fresh = np.array([profile[name] for profile in profiles if name in profile], np.float64)
            if len(fresh) >= LEAST_SLIDES and sum(map(len, held)) >= LEAST_SLIDES:
                chances[name] = _chance_of_mixture(fresh, *(np.asarray(part, np.float64) for part in held))
        for rank, (name, chance) in enumerate(sorted(chances.items(), key=lambda item: item[1])):
            if chance > LEVEL / (len(chances) - rank):
                return None
            return f"{name.replace('_', ' ')} of the last {len(profiles)} slides differs from the calibration set"
        return None

    def _scale_known(self, mpp: float) -> bool:
        return self.mpp is not None and self.mpp[0] * (1 - SLACK) <= mpp <= self.mpp[1] * (1 + SLACK)

    def _range(self, name: str) -> tuple[float, float]:
        values = [value for part in self.values[name] for value in part]
        slack = max(SLACK * (max(values) - min(values)), _LEAST_SLACK)
        return (-np.inf if name == _FEATURES else min(values) - slack), max(values) + slack


def refer(profiles: Sequence[tuple[Profile, bool]]) -> Reference:
    """The reference of calibration slides, each with whether its patient is positive."""
    scales = [profile.mpp for profile, _ in profiles if profile.mpp is not None]
    values: dict[str, tuple[list[float], list[float]]] = {}
    for profile, positive in profiles:
        for name, value in profile.measures.items():
            values.setdefault(name, ([], []))[positive].append(round(value, 5))
    gists = [(profile.gist, positive) for profile, positive in profiles if profile.gist is not None]
    mean = spread = None
    if len(gists) >= LEAST_GISTS and len({gist.shape for gist, _ in gists}) == 1:
        stack = np.stack([gist for gist, _ in gists]).astype(np.float64)
        mean, spread = stack.mean(axis=0), _spread(stack)
        for place, (_, positive) in enumerate(gists):  # each from the others: as far as a new slide would be
            others = np.delete(stack, place, axis=0)
            distance = _distance(stack[place], others.mean(axis=0), _spread(others))
            values.setdefault(_FEATURES, ([], []))[positive].append(round(distance, 5))
    return Reference(
        tuple(sorted({profile.scanner for profile, _ in profiles}, key=str)),
        tuple(sorted({profile.stain for profile, _ in profiles}, key=str)),
        (min(scales), max(scales)) if scales else None,
        len(scales) < len(profiles),
        {name: (tuple(negative), tuple(positive)) for name, (negative, positive) in sorted(values.items())},
        mean,
        spread,
    )


def _spread(stack: Vector) -> Vector:
    """Standard deviation of each feature, kept off zero."""
    deviation = stack.std(axis=0, ddof=1)
    kept: Vector = np.maximum(deviation, max(0.05 * float(deviation.mean()), 1e-6))
    return kept


def _distance(gist: NDArray[Any], mean: Vector, spread: Vector) -> float:
    return float(np.sqrt(np.mean(((gist - mean) / spread) ** 2)))


def _chance_of_mixture(fresh: Vector, negative: Vector, positive: Vector) -> float:
    """P-value of the nearest mixture of the two known distributions, by the asymptotic law of the statistic."""
    from scipy.special import kolmogorov

    places = np.concatenate([fresh, negative, positive])

    def share(values: Vector) -> Vector:
        return np.searchsorted(np.sort(values), places, side="right") / max(len(values), 1)

    new, below, above = share(fresh), share(negative), share(positive)
    best = 0.0
    for weight in _WEIGHTS if len(negative) and len(positive) else ([1.0] if len(positive) else [0.0]):
        gap = float(np.abs(new - weight * above - (1.0 - weight) * below).max())
        spread = (weight**2 / len(positive) if weight else 0.0) + (
            (1 - weight) ** 2 / len(negative) if weight < 1 else 0
        )
        best = max(best, float(kolmogorov(gap / np.sqrt(1.0 / len(fresh) + spread))))
    return best
