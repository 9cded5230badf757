"""What a whole slide's fields say beyond the bag: which are suspicious, whether a closer look and the rest agree.

The bag of spread fields gives the slide's findings. Here the same heads read each field alone, and the fields that
matter once more at another scale. None of it makes a finding surer: it places it, or stops it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slides import Evidence, Finding, Region, Slide

from .evidence_tiles import evidence_tiles
from .sampling import TILE_PX, TilePlan

if TYPE_CHECKING:
    from .heads import Reading
    from .retrieval import Match

SERIOUS = ("malignant", "pre-malignant")
SEVERITY = ("normal", "inflammatory/infectious", "benign tumour", "pre-malignant", "malignant")
"""Of the process: a slide that reads as an earlier one is contradicted by fields that read as a later one."""
STRONG = 0.95
"""Probability from which a field read alone speaks against the slide."""
STRONG_FIELDS = 3
"""One such field in twenty is expected by chance: several are needed, and more than that share."""
LEAST_MATCH = 0.5
"""Share of held-out cases in which so near a reference case was of the right process: below, it contradicts nobody."""
CLOSER_MPP, WIDER_MPP = 0.25, 1.0
CLOSER_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Closer:
    """A second look: tiles to read at another µm/px, and why."""

    plan: TilePlan
    why: str


def suspicious(slide: Slide, view: Region, plan: TilePlan, tiles: Sequence[Region], process: Reading) -> Evidence:
    """`suspicious_fields`: the share of n fields that, read alone, look most like a malignant or pre-malignant
    process; its `fields` are at most 16 of those likest to it, spread over the slide."""
    probabilities = process.tile_probabilities
    columns = [index for index, name in enumerate(process.classes) if name in SERIOUS]
    leading = np.isin(probabilities.argmax(axis=1), columns)
    shown = evidence_tiles(tiles, probabilities[:, columns].sum(axis=1))
    finding = Finding(
        "suspicious_fields",
        value=float(leading.mean()),
        unit="share",
        scope=process.finding.scope,
        source=process.finding.source,
    )
    fields = tuple(tiles[index] for index in shown if leading[index])
    return Evidence(slide.name, view, plan.mpp, finding, fields)


def look_closer(slide: Slide, plan: TilePlan, process: Evidence, quality: Sequence[Evidence]) -> Closer | None:
    """The second look that the process asks for: closer where it does not stand, wider where the slide is blurred.

    None where the process stands, the scale is unknown, or the slide has no such scale.
    """
    finding = process.finding
    if slide.mpp is None or plan.mpp is None or not finding.abstained or not process.fields:
        return None
    focus = next((item.finding.label for item in quality if item.finding.name == "focus"), None)
    mpp, why = CLOSER_MPP, "closer: the process is not settled"
    if focus == "blurred":
        mpp, why = WIDER_MPP, "wider: the slide is blurred"
    mpp = max(mpp, slide.mpp)
    if abs(math.log2(mpp / plan.mpp)) < 0.5:
        return None
    side = round(TILE_PX * mpp / slide.mpp)
    tiles = []
    for field in process.fields[:CLOSER_FIELDS]:
        centred = Region(field.x + (field.width - side) // 2, field.y + (field.height - side) // 2, side, side)
        inside = centred.clamp(slide.size)
        if inside is not None and inside.width == inside.height == side:
            tiles.append(centred)
    if not tiles:
        return None
    closer = TilePlan(tuple(tiles), (TILE_PX,) * len(tiles), len(tiles), mpp, side * slide.mpp)
    return Closer(closer, why)


def seen_closer(process: Evidence, closer: Closer, tiles: Sequence[Region], reading: Reading) -> Evidence:
    """`closer_look`: what the process looks most like in the fields read again, with its probability."""
    finding = Finding(
        "closer_look",
        label=reading.finding.label,
        probability=reading.finding.probability,
        value=float(len(tiles)),
        scope=reading.finding.scope,
        source=reading.finding.source,
    )
    return Evidence(process.slide, process.region, closer.plan.mpp, finding, tuple(tiles))


def disagreement(process: Finding, reading: Reading, match: Match | None, closer: Finding | None) -> str | None:
    """Why the slide's process must not stand though its head speaks: another reading of it says otherwise.

    The fields, where several are strongly of a more serious process; the nearest reference case, where such a
    match is right more often than wrong; the second look.
    """
    if process.abstained or process.label not in SEVERITY:
        return None
    if graver := _graver_fields(process.label, reading.tile_probabilities, reading.classes):
        label, count, of = graver
        return f"{count} of {of} fields read alone are {label} ({STRONG} or more), and the slide as a whole is not"
    if match is not None and match.agreement >= LEAST_MATCH and match.category not in (process.label, ""):
        return (
            f"the slide reads as {process.label} ({process.probability:.2f}) and the nearest reference case is "
            f"{match.category} ({match.agreement:.2f})"
        )
    if closer is not None and closer.label != process.label:
        return f"the slide reads as {process.label} ({process.probability:.2f}) and a second look as {closer.label}"
    return None


def stopped(item: Evidence, why: str) -> Evidence:
    """The same evidence with its finding abstaining, and why."""
    return replace(item, finding=replace(item.finding, abstained=True, reason=f"the readings disagree: {why}"))


def _graver_fields(
    label: str, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> tuple[str, int, int] | None:
    """The gravest process that several fields are strongly of, how many, and of how many."""
    fields = len(probabilities)
    for graver in reversed(SEVERITY[SEVERITY.index(label) + 1 :]):
        if graver in classes:
            count = int((probabilities[:, classes.index(graver)] >= STRONG).sum())
            if count >= max(STRONG_FIELDS, (1 - STRONG) * fields):
                return graver, count, fields
    return None
