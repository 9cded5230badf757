"""What checking the measures against hand-drawn nuclei gave: widths of intervals and a scope in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FIGURES = Path(__file__).parent / "weights" / "morphometry.json"


@dataclass(frozen=True, slots=True)
class Validation:
    """`log_error` is the standard deviation of ln(measured / drawn) per field and measure."""

    scope: str
    log_error: Mapping[str, float]

    def interval(
        self, name: str, value: float, spread: float, most: float = float("inf")
    ) -> tuple[float, float] | None:
        """95 % interval of a positive value up to `most`: relative spread between sub-fields and error of measuring."""
        if name not in self.log_error or value <= 0:
            return None
        width = float(np.exp(1.96 * np.hypot(spread, self.log_error[name])))
        return (value / width, min(value * width, most))


@cache
def load_validation() -> Validation:
    """The figures that `python -m vision_encoder.evaluate_morphometry` wrote beside the weights."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    return Validation(figures["scope"], figures["log_error"])
