"""Findings in the words of a report: certainty bound to the calibrated probability, measures with their units."""

from __future__ import annotations

import re

from slides import Evidence, Finding

from ..certainty import certainty

QUALITY = ("tissue_share", "focus", "pen", "stain_colour")
CLASSES = ("stain", "organ", "category", "tissue", "disease", "closer_look", "resembles")
_KINDS = {
    "stain": "Stain",
    "organ": "Organ",
    "category": "Kind of process",
    "tissue": "Tissue",
    "disease": "Lesion",
    "resembles": "Nearest reference case",
    "closer_look": "Closer look at the most suspicious fields",
    "tissue_share": "tissue",
    "stain_colour": "colour",
    "nuclei_density": "Density of nuclei",
    "nuclear_area": "Median area of nuclei",
    "nuclear_area_variation": "Variation of nuclear area",
    "nuclear_share": "Share of tissue covered by nuclei",
    "nuclear_elongation": "Elongation of nuclei",
    "nuclear_spacing": "Median distance to the nearest nucleus",
    "nuclear_eccentricity": "Median eccentricity of nuclei",
    "nuclear_hyperchromasia": "Haematoxylin of nuclei over that of the tissue between them",
    "clear_space_share": "Share of lumina, fat and glass in the tissue",
    "chromogen_share": "Share of tissue with chromogen",
}
UNSEEN = "; this excludes nothing in the fields that were not seen"


def kind_of(finding: Finding) -> str:
    """The kind of head: `tissue` of `tissue colon`."""
    return finding.name.split(" ")[0]


def measure_name(finding: Finding) -> str:
    """A measure as it is said."""
    return _KINDS.get(finding.name, finding.name.replace("_", " ").capitalize())


def quality(finding: Finding) -> str:
    """A measure of the slide's quality in a few words."""
    name = _KINDS.get(finding.name, finding.name)
    if finding.unit == "share" and finding.value is not None and finding.label is None:
        return f"{name} {percent(finding.value)}"
    return f"{name} {finding.label}" if finding.label else name


def process(finding: Finding) -> str:
    """The kind of process as a conclusion says it; never that a slide is free of disease."""
    probability = finding.probability
    word = certainty(probability or 0.0, abstained=finding.abstained or probability is None)
    others = [name for name in finding.prediction_set if name != finding.label]
    if word == "not classified" or probability is None:
        held = f"; the 90 % set holds {', '.join(finding.prediction_set)}" if finding.prediction_set else ""
        return f"Not classified; see evidence{held}"
    label = finding.label or "unnamed"
    noun = "normal tissue" if label == "normal" else f"{'an' if label[0] in 'aeiou' else 'a'} {label} process"
    tail = f"; differential by the 90 % set: {', '.join(others)}" if others else ""
    if label not in ("malignant", "pre-malignant"):
        tail += UNSEEN
    return f"{word.capitalize()} {noun} ({probability:.2f}){tail}"


def classified(item: Evidence, where: str) -> str:
    """A class in the wording that its calibrated probability allows."""
    finding = item.finding
    kind, _, organ = finding.name.partition(" ")
    named = _KINDS.get(finding.name) or f"{_KINDS.get(kind, kind)}{f' ({organ})' if organ else ''}"
    subject = named + where
    probability = finding.probability
    figure = "" if probability is None else f"{probability:.2f}"
    word = certainty(probability or 0.0, abstained=finding.abstained or probability is None)
    if kind == "resembles":
        if finding.abstained or not figure:
            return f"{subject}: none near enough; the closest is {finding.label}"
        return f"{subject}: {finding.label}; such a likeness was right in {figure} of held-out cases"
    others = [name for name in finding.prediction_set if name != finding.label]
    if word == "not classified":
        reason = re.sub(r"; most probable .*$", "", finding.reason or "").rstrip(".")  # said as the nearest
        why = f": {reason}" if reason else ""
        return f"{subject}: not classified (nearest {finding.label}, {figure or 'no probability'}){why}"
    tail = f"; differential by the 90 % set: {', '.join(others)}" if others else ""
    if finding.label == "normal":
        tail += UNSEEN
    return f"{subject}: {word} {finding.label} ({figure}){tail}"


def amount(finding: Finding) -> str:
    """The value of a measure with unit and interval."""
    assert finding.value is not None
    if finding.unit == "share":
        value, ends = percent(finding.value), [percent(end) for end in finding.interval or ()]
    else:
        unit = "" if finding.unit in (None, "ratio") else f" {finding.unit}"
        value, ends = f"{_number(finding.value)}{unit}", [_number(end) for end in finding.interval or ()]
    return f"{value} (95 % interval {' to '.join(ends)})" if ends else value


def percent(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"


def _number(value: float) -> str:
    """Three significant digits, without an exponent."""
    digits = f"{float(f'{value:.3g}'):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
