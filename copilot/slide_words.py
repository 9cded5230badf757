"""Sentences on a whole slide: low power, suspicious fields, the second look.

Each kind of finding has one sentence, made here from its figures and places. The checker lets it stand only as it
is made here: places and "stands out" are words that no label bears out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from slides import Evidence, Region

from .spoken import SPOKEN
from .statements import Statement, figure, listed, quantity

NAMES = frozenset({"tissue_pieces", "low_power", "odd_area", "suspicious_fields", "closer_look"})
"""Findings that are said by these sentences only."""

_PLACES = (
    ("at the upper left", "at the top", "at the upper right"),
    ("at the left", "in the centre", "at the right"),
    ("at the lower left", "at the bottom", "at the lower right"),
)


def at_low_power(evidence: Sequence[Evidence], offset: int) -> list[Statement]:
    """What the overview shows; nothing where no overview was scanned. `evidence` is one view's, from `offset` on."""
    found = {item.finding.name: (offset + at, item) for at, item in enumerate(evidence)}
    if "tissue_pieces" not in found:
        return []
    index, item = found["tissue_pieces"]
    indices = [index]
    count = int(item.finding.value or 0)
    said = f"At low power the slide holds {count} {'piece' if count == 1 else 'pieces'} of tissue"
    scan = found.get("low_power")
    if scan is not None and not scan[1].finding.abstained:
        areas = [(offset + at, one) for at, one in enumerate(evidence) if one.finding.name == "odd_area"]
        indices += [scan[0], *(at for at, _ in areas)]
        each = [
            f"{one.finding.label} {place(one.region, item.region)} ({_share(one.finding.value or 0.0)} of the tissue)"
            for _, one in areas
        ]
        stands = f"{len(areas)} {'area stands' if len(areas) == 1 else 'areas stand'} out by colour"
        said += (
            f"; {stands}: {listed(each, 'and')}" if areas else "; no part of it stands out from the rest by its colour"
        )
    return [Statement((f"{said}.",), tuple(indices))]


def where_suspicious(evidence: Sequence[Evidence], offset: int) -> list[Statement]:
    """How many of the fields look serious when read one by one, and where most of those lie."""
    for at, item in enumerate(evidence):
        if item.finding.name == "suspicious_fields" and item.finding.value is not None:
            said = f"Read one by one, {_share(item.finding.value)} of the fields seen look most like a malignant or "
            said += "pre-malignant process"
            if item.fields:
                said += f", {places(item.fields, item.region)}"
            return [Statement((f"{said}.",), (offset + at,))]
    return []


def second_look(evidence: Sequence[Evidence], offset: int) -> list[Statement]:
    """What the process looks most like in the fields that were read again at another scale."""
    for at, item in enumerate(evidence):
        finding = item.finding
        if finding.name == "closer_look" and finding.label and item.mpp:
            fields = f"{len(item.fields)} {'field' if len(item.fields) == 1 else 'fields'}"
            label = SPOKEN.get(finding.label, finding.label)
            said = f"Read again at {item.mpp:.2f} µm/px, {fields} look most like {label}"
            return [Statement((f"{said} ({figure(finding.probability or 0.0)}).",), (offset + at,))]
    return []


def of_slides(evidence: Sequence[Evidence]) -> list[tuple[str, tuple[int, ...]]]:
    """Every such sentence that evidence of any number of views bears out, and the evidence behind it."""
    starts = [at for at, item in enumerate(evidence) if item.finding.name == "tissue_pieces"]
    found: list[tuple[str, tuple[int, ...]]] = []
    for start, end in zip(starts, [*starts, len(evidence)][1:], strict=True):
        part = evidence[start:end]
        for tell in (at_low_power, where_suspicious, second_look):
            found += [(statement.wordings[0], statement.evidence) for statement in tell(part, start)]
    return found


def place(region: Region, view: Region) -> str:
    """Where the middle of a region lies in a view, in ninths: `at the upper left`."""
    row = (2 * region.y + region.height - 2 * view.y) * 3 // (2 * view.height)
    column = (2 * region.x + region.width - 2 * view.x) * 3 // (2 * view.width)
    return _PLACES[min(max(row, 0), 2)][min(max(column, 0), 2)]


def places(regions: Sequence[Region], view: Region) -> str:
    """Where most of some regions lie: the one or two ninths that hold more than half of them, or all over."""
    counts = Counter(place(region, view) for region in regions).most_common()
    for some in (1, 2):
        held = sum(count for _, count in counts[:some])
        if 2 * held > len(regions):
            most = "" if held == len(regions) else "most of them "
            return most + listed([name for name, _ in counts[:some]], "and")
    return "spread over the slide"


def _share(value: float) -> str:
    return "less than 1 %" if 0 < value < 0.005 else quantity(value, "share")
