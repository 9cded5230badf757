"""Observations for tests: a slide as the eye would describe it."""

from __future__ import annotations

from slides import Evidence, Finding, Region
from vision_encoder.observation import Observation

VIEW = Region(0, 0, 4096, 4096)


def evidence(slide: str, finding: Finding, mpp: float | None = 0.5) -> Evidence:
    return Evidence(slide, VIEW, mpp, finding, (Region(10, 20, 512, 512),))


def observation(
    slide: str,
    category: dict[str, float] | None = None,
    *,
    abstained: bool = False,
    reason: str = "the tissue is unlike the calibration tissue",
    focus: str = "sharp",
    tissue: float = 0.43,
    notes: tuple[str, ...] = (),
) -> Observation:
    """A colon slide; `category` maps kinds of process to calibrated probabilities, most probable first."""
    found = [
        Finding("stain", label="HE", probability=0.99, prediction_set=("HE",), distribution=(("HE", 0.99),)),
        Finding("organ", label="colon", probability=0.97, prediction_set=("colon",), distribution=(("colon", 0.97),)),
        Finding("tissue colon", label="tumour", probability=0.71, prediction_set=("tumour", "stroma")),
        Finding("resembles", label="Tubular adenoma", probability=0.6),
        Finding("nuclear_area", value=48.2, unit="µm²", interval=(44.0, 52.0)),
        Finding("nuclear_share", value=0.21, unit="share"),
        Finding(
            "nuclei_density", unit="per mm²", abstained=True, reason="the slide states no µm/px: state it with --mpp"
        ),
        Finding("tissue_share", value=tissue, unit="share"),
        Finding("focus", label=focus, value=0.8),
    ]
    if category:
        label, probability = next(iter(category.items()))
        found.append(
            Finding(
                "category",
                label=label,
                probability=probability,
                prediction_set=tuple(name for name, share in category.items() if share >= 0.1),
                distribution=tuple(category.items()),
                abstained=abstained,
                reason=reason if abstained else None,
            )
        )
    return Observation(slide, VIEW, 0.5, tuple(evidence(slide, f) for f in found), 40, 200, True, None, notes)


def unusable(slide: str, reason: str = "there is no tissue on this slide, only glass") -> Observation:
    return Observation(slide, VIEW, None, (), 0, 0, False, reason)
