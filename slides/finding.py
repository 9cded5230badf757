"""One thing measured or classified on a slide, and the place it was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .geometry import Region


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured or classified fact; the only source a visual statement may have.

    A classified finding has `label`, a calibrated `probability` in [0, 1] and a 90 % conformal
    `prediction_set`; a measured one has `value` and `unit`. An abstaining finding keeps its
    numbers, sets `abstained` and says why in `reason`.
    """

    name: str
    label: str | None = None
    value: float | None = None
    unit: str | None = None
    probability: float | None = None
    prediction_set: tuple[str, ...] = ()
    distribution: tuple[tuple[str, float], ...] = ()
    """Every class with its calibrated probability, most probable first."""
    interval: tuple[float, float] | None = None
    """95 % interval of `value`, where one is known."""
    novelty: float | None = None
    """Conformal p-value of the tissue against the calibration tissue: small means unlike it."""
    abstained: bool = False
    reason: str | None = None
    scope: str = ""
    """Stain, organ and µm/px the finding was validated on, in words."""
    source: str = ""
    """What made it: `head organ@1a2b3c4d`, `measured`, `atlas@…`, `user`."""

    def as_json(self) -> dict[str, Any]:
        """Plain types only, in the shape of the command line's JSON."""
        return {
            "name": self.name,
            "label": self.label,
            "value": _rounded(self.value),
            "unit": self.unit,
            "probability": _rounded(self.probability),
            "prediction_set": list(self.prediction_set),
            "distribution": {label: _rounded(p) for label, p in self.distribution},
            "interval": None if self.interval is None else [_rounded(v) for v in self.interval],
            "novelty": _rounded(self.novelty),
            "abstained": self.abstained,
            "reason": self.reason,
            "scope": self.scope,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """A finding and the place it rests on.

    `slide` is the slide's shown name (never a path), `mpp` the µm/px it was looked at, None when unknown.
    `fields` are the regions that speak most for it, strongest first, for the filmstrip.
    """

    slide: str
    region: Region
    mpp: float | None
    finding: Finding
    fields: tuple[Region, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Plain types only, in the shape of the command line's JSON."""
        return {
            "slide": self.slide,
            "level0_xywh": list(self.region.xywh),
            "mpp": _rounded(self.mpp),
            "finding": self.finding.name,
            "label": self.finding.label,
            "value": _rounded(self.finding.value),
            "unit": self.finding.unit,
            "probability": _rounded(self.finding.probability),
            "set": list(self.finding.prediction_set),
            "fields": [list(region.xywh) for region in self.fields],
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
