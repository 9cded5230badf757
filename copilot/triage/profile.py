"""What is compared between a slide and the calibration set: scanner, scale, stain and features. No labels needed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides import Slide
from slides.background import optical_density
from slides.tissue import background_of
from vision_encoder.observation import Observation

OVERVIEW_PX = 512
STAIN = ("density_red", "density_green", "density_blue")
"""Mean decadic optical density of the tissue in each channel, from an overview."""
_LEAST_DENSITY = 0.06


@dataclass(frozen=True, slots=True)
class Profile:
    """How a slide was made and what it looks like as a whole.

    `scanner` is the vendor or file kind, `stain` the label of the stain head, `measures` the optical densities named
    in `STAIN`, `gist` the mean feature (d,) of the tiles that were looked at.
    """

    scanner: str | None
    mpp: float | None
    stain: str | None
    measures: Mapping[str, float] = field(default_factory=dict)
    gist: NDArray[np.float32] | None = None

    def as_record(self) -> dict[str, Any]:
        """Plain types."""
        gist = None if self.gist is None else base64.b64encode(np.asarray(self.gist, "<f4").tobytes()).decode()
        measures = {name: round(float(value), 5) for name, value in self.measures.items()}
        return {
            "scanner": self.scanner,
            "mpp": self.mpp,
            "stain": self.stain,
            "measures": measures,
            "gist": gist,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Profile:
        """The profile that `as_record` wrote."""
        packed = record["gist"]
        gist = None if packed is None else np.frombuffer(base64.b64decode(packed), "<f4").astype(np.float32)
        return cls(record["scanner"], record["mpp"], record["stain"], dict(record["measures"]), gist)


def measure_profile(slide: Slide, seen: Observation) -> Profile:
    """The profile of a slide that was looked at; raises `SlideError` when its overview cannot be read."""
    stain = seen.find("stain")
    label = None if stain is None or stain.finding.abstained else stain.finding.label
    return Profile(slide.vendor, slide.mpp, label, stain_measures(slide), seen.gist)


def stain_measures(slide: Slide) -> dict[str, float]:
    """Mean optical density of the tissue by channel, decadic, about 0 to 1; empty where there is no tissue."""
    background = background_of(slide)
    pixels = slide.thumbnail(OVERVIEW_PX)
    tissue = optical_density(pixels, background.glass) > max(background.threshold, _LEAST_DENSITY)
    if int(tissue.sum()) < 16:
        return {}
    glass = np.asarray(background.glass, np.float32)
    density = np.log10((glass + 1) / (pixels[tissue].astype(np.float32) + 1)).clip(0)
    return dict(zip(STAIN, (float(value) for value in density.mean(axis=0)), strict=True))
