"""What looking at one view gives: evidence in order of use, and what was not seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides import Evidence, Region


@dataclass(frozen=True, slots=True)
class Look:
    """One read of pixels: where, at how many µm/px (None where unknown), and why."""

    slide: str
    region: Region
    mpp: float | None
    why: str

    def as_json(self) -> dict[str, Any]:
        """Plain types only, in the shape of the command line's JSON."""
        mpp = None if self.mpp is None else round(self.mpp, 4)
        return {"slide": self.slide, "level0_xywh": list(self.region.xywh), "mpp": mpp, "why": self.why}


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything seen in one view (a slide, or a region of it).

    `fields_seen` of `fields_available` tiles were encoded. `usable` is False when there is no
    tissue to speak about (glass, black, not histology); `reason` then says so in one sentence.
    `notes` name what was not looked at or left out and why. `gist` is the mean feature (d,) of those tiles, None
    where none were encoded. `looks` are the reads that findings rest on, in the order they were made.
    """

    slide: str
    region: Region
    mpp: float | None
    evidence: tuple[Evidence, ...]
    fields_seen: int
    fields_available: int
    usable: bool
    reason: str | None = None
    notes: tuple[str, ...] = ()
    gist: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    looks: tuple[Look, ...] = field(default=(), repr=False)

    def find(self, name: str) -> Evidence | None:
        """The evidence whose finding has this name, or None."""
        return next((item for item in self.evidence if item.finding.name == name), None)
