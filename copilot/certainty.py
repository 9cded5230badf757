"""Words of certainty, bound to calibrated probabilities by code and by nothing else."""

from __future__ import annotations

from typing import Literal

Certainty = Literal["consistent with", "favours", "suggestive of", "not classified"]

BANDS: tuple[tuple[float, Certainty], ...] = (
    (0.95, "consistent with"),
    (0.80, "favours"),
    (0.50, "suggestive of"),
    (0.0, "not classified"),
)


def certainty(probability: float, *, abstained: bool = False) -> Certainty:
    """The strongest wording that a calibrated probability in [0, 1] allows."""
    if abstained:
        return "not classified"
    return next(word for floor, word in BANDS if probability >= floor)
