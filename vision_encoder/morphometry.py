"""Measures of the tissue in one view: nuclei, clear space, brown chromogen, each with its place.

Every measure comes from classical image analysis (`stains`, `nuclei`); its error against hand-drawn
nuclei is measured by `python -m vision_encoder.evaluate_morphometry`, which writes the figures that
the scopes and intervals here use. The whole story: `docs/model_cards/morphometry.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from slides import Evidence, Finding, Pixels, Region

from .field import COARSEST_MPP, Dye, Field, FieldMeasures, measure_fields
from .nuclear_measures import NUCLEAR_MEASURES, density
from .nuclei import WORKING_MPP
from .validation import Validation, load_validation

FEWEST_NUCLEI = 20
LEAST_TISSUE_PX = 4000
"""1000 µm² at the working scale: room for a handful of nuclei."""
MOST_CLEAR = 0.55
"""Fat in H&E is mostly above this, glandular mucosa below; pale counterstains would often be above."""
NUCLEAR_PATTERN = 0.7
"""Share of the brown that must lie in nuclei for the marker to be read as a nuclear one."""
SUBFIELD_UM, SUBFIELD_PX = 192.0, 384
MOST_TORN = 0.25
"""Clear share from which a field is shown after those that are mostly tissue."""
SOURCE = "measured"
STATE_SCALE = "the slide states no µm/px: state it with --mpp to get this in real units"


def measure(pixels: Pixels, mpp: float | None, region: Region, slide_name: str, stain: str) -> tuple[Evidence, ...]:
    """Measures of one image of `region`; `mpp` is the µm/px of `pixels`, None when unknown.

    `stain` is `HE` or `H&E-like` for haematoxylin and eosin, anything with `IHC` or `brown` in it for
    a brown chromogen; nuclei of other stains are not measured. Measures in µm abstain without `mpp`.
    Of an image wider than 256 µm four sub-fields are measured, one in each quarter.
    """
    return measure_together(_subfields(pixels, mpp, region), mpp, region, slide_name, stain)


def measure_together(
    fields: Sequence[Field], mpp: float | None, region: Region, slide_name: str, stain: str
) -> tuple[Evidence, ...]:
    """The same over several fields of `region` at one µm/px, pooled; intervals span them."""
    dye = _dye(stain)
    measured = measure_fields(fields, mpp, dye)
    refusal = _refusal(dye, mpp, measured)
    findings = [_clear_space(measured)]
    if refusal is not None or dye is None:
        findings = [
            *(Finding(item.name, abstained=True, reason=refusal, source=SOURCE) for item in NUCLEAR_MEASURES),
            *findings,
        ]
    else:
        findings = _nuclear_findings(measured, mpp is not None, load_validation(), dye) + findings
    if dye == "brown chromogen":
        findings += _chromogen(measured, readable=refusal is None)
    looked_at = None if mpp is None else WORKING_MPP if refusal is None else mpp
    places = tuple(item.region for item in sorted(measured, key=_oddness(measured)))[:6]
    return tuple(Evidence(slide_name, region, looked_at, finding, places) for finding in findings)


def _oddness(measured: Sequence[FieldMeasures]) -> Callable[[FieldMeasures], tuple[bool, float]]:
    """Sorts fields that are like the whole before those that are not, and torn or lamellar ones last."""

    def crowding(blocks: NDArray[np.float64]) -> float:
        return float(density(blocks)) if blocks[:, 1].sum() else 0.0

    whole = crowding(np.concatenate([item.blocks for item in measured]))
    return lambda item: (not _solid(item), abs(crowding(item.blocks) - whole))


def _solid(field: FieldMeasures) -> bool:
    """True for a field that is mostly tissue; in torn or lamellar ones (keratin, fat) edges pass for nuclei."""
    return field.clear_px <= MOST_TORN * field.tissue.size


def _subfields(pixels: Pixels, mpp: float | None, region: Region) -> list[Field]:
    """The image itself, or one sub-field in the middle of each quarter of a large one."""
    height, width = pixels.shape[:2]
    side = round(SUBFIELD_UM / mpp) if mpp is not None else SUBFIELD_PX
    if max(height, width) <= side * 4 / 3:
        return [Field(pixels, region)]
    fields = []
    rows, columns = (2 if height > side else 1), (2 if width > side else 1)
    tall, wide = min(side, height // rows), min(side, width // columns)
    for row in range(rows):
        for column in range(columns):
            top = (2 * row + 1) * height // (2 * rows) - tall // 2
            left = (2 * column + 1) * width // (2 * columns) - wide // 2
            place = Region(
                region.x + left * region.width // width,
                region.y + top * region.height // height,
                max(wide * region.width // width, 1),
                max(tall * region.height // height, 1),
            )
            fields.append(Field(pixels[top : top + tall, left : left + wide], place))
    return fields


def _dye(stain: str) -> Dye | None:
    lowered = stain.lower()
    if "ihc" in lowered or "brown" in lowered:
        return "brown chromogen"
    return "H&E" if lowered in ("he", "h&e", "h&e-like") else None


def _refusal(dye: Dye | None, mpp: float | None, measured: Sequence[FieldMeasures]) -> str | None:
    """Why nuclei cannot be measured at all here, or None."""
    if mpp is not None and mpp > COARSEST_MPP:
        return f"too coarse for nuclei: {mpp:.2g} µm/px, 1.0 or finer is needed"
    if dye is None:
        return "nuclei are measured on H&E and on brown immunohistochemistry only, and this is neither"
    if sum(item.blocks[:, 1].sum() for item in measured) < LEAST_TISSUE_PX:
        return "there is too little tissue here to measure nuclei in"
    if dye == "H&E" and _clear_share(measured) > MOST_CLEAR:
        return "most of this is clear space, whose thin walls pass for nuclei"
    return None


def _nuclear_findings(measured: Sequence[FieldMeasures], scaled: bool, checked: Validation, dye: Dye) -> list[Finding]:
    """The nuclear measures, pooled over fields."""
    scope = checked.scope if dye == "H&E" else f"not checked on this stain; {checked.scope}"
    if not scaled:
        scope = f"scale unknown, sized by its own nuclei; {scope}"
    findings = []
    for measure in NUCLEAR_MEASURES:
        rows = measure.pooled(measured)
        reason = None
        if measure.of_haematoxylin and dye != "H&E":
            reason = "how dark nuclei are is measured on H&E only: another dye marks them here"
        elif measure.scaled and not scaled:
            reason = STATE_SCALE
        elif measure.per_nucleus and len(rows) < FEWEST_NUCLEI:
            reason = f"fewer than {FEWEST_NUCLEI} whole nuclei were found, too few to measure"
        if reason is not None:
            findings.append(Finding(measure.name, abstained=True, reason=reason, scope=scope, source=SOURCE))
            continue
        value = float(measure.statistic(rows))
        interval = checked.interval(measure.name, value, measure.spread(rows), measure.most)
        findings.append(
            Finding(measure.name, value=value, unit=measure.unit, interval=interval, scope=scope, source=SOURCE)
        )
    return findings


def _clear_share(measured: Sequence[FieldMeasures]) -> float:
    return sum(item.clear_px for item in measured) / max(sum(item.tissue.size for item in measured), 1)


def _clear_space(measured: Sequence[FieldMeasures]) -> Finding:
    return Finding(
        "clear_space_share",
        value=_clear_share(measured),
        unit="share",
        scope="any bright-field stain: lumina, fat, clefts and glass together",
        source=SOURCE,
    )


def _chromogen(measured: Sequence[FieldMeasures], readable: bool) -> list[Finding]:
    """Brown share of the tissue and, where the brown lies in nuclei, the share of nuclei it marks."""
    tissue = max(sum(int(item.tissue.sum()) for item in measured), 1)
    brown = sum(item.brown_px for item in measured)
    found = [
        Finding(
            "chromogen_share",
            value=brown / tissue,
            unit="share",
            scope="brown chromogen (DAB) over tissue; pigment and counterstain folds count as brown",
            source=SOURCE,
        )
    ]
    total = sum(len(item.nuclei) for item in measured)
    inside = sum(item.brown_in_nuclei_px for item in measured)
    if readable and total >= FEWEST_NUCLEI and brown and inside / brown >= NUCLEAR_PATTERN:
        positive = sum(int(item.positive.sum()) for item in measured)
        found.append(
            Finding(
                "positive_nuclei_share",
                value=positive / total,
                unit="share",
                interval=_wilson(positive, total),
                scope=f"{positive} of {total} nuclei of these fields, tumour and other cells together; "
                "no score of a marker",
                source=SOURCE,
            )
        )
    return found


def _wilson(positive: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, JASA 22:209)."""
    z = 1.959964
    share = positive / total
    centre = share + z * z / (2 * total)
    half = z * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (float((centre - half) / (1 + z * z / total)), float((centre + half) / (1 + z * z / total)))
