"""Records of pictures that nobody took: labels and findings drawn by a seed, as the eye would have them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from instruction_data.conversation import Picture
from instruction_data.grammar import seeded
from instruction_data.record import Record
from slides import Evidence, Finding, Region

ORGANS = ("colon", "breast", "oral cavity", "liver", "stomach", "lung")
CATEGORIES = ("malignant", "benign tumour", "normal", "inflammatory/infectious", "pre-malignant")
DISEASES = {"colon": "tubular adenoma", "breast": "invasive lobular carcinoma", "liver": "haemangioma"}
TISSUES = ("adipose tissue", "smooth muscle", "mucus", "lymphocytes")
TEXTS = {
    "tubular adenoma": "Crowded tubules with elongated dark nuclei at the surface.",
    "invasive lobular carcinoma": "Single files of small cells in a fibrous stroma.",
    "haemangioma": "Blood-filled spaces with flat endothelium; positive for CD34.",
}
REASON = "the tissue is unlike what it was calibrated on"


def classified(name: str, label: str, classes: Sequence[str], p: float, *, abstained: bool) -> Finding:
    """A calibrated finding with its whole distribution, most probable first."""
    others = [one for one in classes if one != label]
    rest = [round((1 - p) * share, 4) for share in _shares(len(others))]
    chances = ((label, p), *zip(others, rest, strict=True))
    held = tuple(one for one, share in chances if share >= 0.1)
    return Finding(
        name,
        label=label,
        probability=p,
        prediction_set=held or (label,),
        distribution=chances,
        novelty=0.4,
        abstained=abstained,
        reason=REASON if abstained else None,
        source="made",
    )


def _shares(count: int) -> list[float]:
    whole = sum(0.5**n for n in range(count))
    return [0.5**n / whole for n in range(count)]


def record(number: int) -> Record:
    """The record of that number: one in nine shows no tissue, one in nine is blurred, half state µm/px."""
    draw = seeded(number, "record")
    organ, category = ORGANS[number % len(ORGANS)], CATEGORIES[number % len(CATEGORIES)]
    case = f"atlas/case{number // 4}/HE" if number % 2 else ""
    source = "atlas" if case else "bcss"
    mpp = None if case or number % 4 else 0.5
    picture = Picture(f"{source}/{number}", source, f"{source}/{'case' if case else 'patient'}{number // 4}", mpp)
    if number % 9 == 8:
        nothing = Evidence(picture.id, Region(0, 0, 256, 256), mpp, Finding("tissue_share", value=0.0, unit="share"))
        reason = "there is no tissue in this view, only glass"
        labels = {"stain": "not histology"}
        return Record(picture, labels, evidence=(nothing,), usable=False, reason=reason, fields_available=0)
    labels = {"stain": "HE", "organ": organ, "category": category, "disease": DISEASES.get(organ, "")}
    labels["title"] = labels["disease"]
    if organ == "colon":
        labels["tissue"] = draw.choice(TISSUES)
    evidence = tuple(
        Evidence(picture.id, Region(0, 0, 256, 256), mpp, one) for one in _findings(labels, mpp, draw, number)
    )
    return Record(
        picture,
        labels,
        case,
        (1, 2, 4)[number % 3] if case else 1,
        "blurred" if number % 9 == 7 else "",
        TEXTS.get(labels["disease"], "") if case else "",
        evidence,
        1,
        1,
        notes=() if mpp else ("The file does not state µm/px.",),
    )


def _findings(labels: dict[str, str], mpp: float | None, draw: random.Random, number: int) -> list[Finding]:
    def chance() -> float:
        return round(draw.choice((draw.uniform(0.4, 0.6), draw.uniform(0.6, 0.9), draw.uniform(0.9, 0.99))), 4)

    found = [
        classified("stain", "HE", ("HE", "IHC", "special stain"), round(draw.uniform(0.81, 0.99), 4), abstained=False),
        classified("organ", labels["organ"], ORGANS, chance(), abstained=draw.random() < 0.3),
        classified("category", labels["category"], CATEGORIES, chance(), abstained=draw.random() < 0.4),
    ]
    if "tissue" in labels:
        found.append(classified("tissue colon", labels["tissue"], TISSUES, chance(), abstained=False))
    found.append(Finding("resembles", label="tubular adenoma", probability=0.6))
    if mpp:
        density = round(draw.uniform(800, 6000), 1)
        found.append(Finding("nuclei_density", value=density, unit="per mm²", interval=(density / 2, density * 2)))
        found.append(Finding("nuclear_area", value=round(draw.uniform(15, 70), 2), unit="µm²"))
    else:
        untold = "the slide states no µm/px: state it with --mpp to get this in real units"
        found.append(Finding("nuclei_density", unit="per mm²", abstained=True, reason=untold))
    found.append(Finding("clear_space_share", value=round(draw.uniform(0.01, 0.6), 3), unit="share"))
    found.append(Finding("tissue_share", value=0.9, unit="share"))
    found.append(Finding("focus", label="blurred" if number % 9 == 7 else "sharp", value=0.6))
    return found


def records(count: int = 180) -> tuple[Record, ...]:
    """The first `count` records."""
    return tuple(record(number) for number in range(count))
