"""Findings of a made view, for the laws of the checker."""

from __future__ import annotations

from dataclasses import replace

from copilot.answer import Question, Turn
from copilot.check import Cited, Ground
from slides import Evidence, Finding, Region
from vision_encoder.observation import Observation

REGION = Region(0, 0, 8000, 6000)


def classified(name: str, *chances: tuple[str, float], size: int = 1, **more: object) -> Finding:
    """A classifying finding: its distribution, most probable first, and how many classes its set holds."""
    return Finding(
        name,
        label=chances[0][0],
        probability=chances[0][1],
        prediction_set=tuple(label for label, _ in chances[:size]),
        distribution=chances,
        **more,  # type: ignore[arg-type]
    )


FINDINGS = (
    Finding("tissue_share", value=0.62, unit="share"),
    Finding("focus", label="sharp", value=0.81),
    classified("stain", ("HE", 0.98), ("IHC", 0.015), ("special stain", 0.005)),
    classified("organ", ("colon", 0.71), ("stomach", 0.15), ("small intestine", 0.09), ("liver", 0.05), size=3),
    classified(
        "category", ("malignant", 0.87), ("pre-malignant", 0.08), ("benign tumour", 0.03), ("normal", 0.02), size=2
    ),
    classified(
        "tissue colon", ("colorectal adenocarcinoma epithelium", 0.96), ("mucus", 0.03), ("smooth muscle", 0.01)
    ),
    Finding("resembles", label="tubular adenoma", probability=0.62),
    Finding("nuclei_density", value=3412.0, unit="per mm²", interval=(3090.0, 3720.0)),
    Finding("nuclear_area", value=38.2, unit="µm²"),
    Finding("nuclear_area_variation", value=0.42, unit="ratio"),
    Finding("nuclear_share", value=0.23, unit="share"),
    Finding("nuclear_eccentricity", value=0.71, unit="ratio"),
    Finding("nuclear_hyperchromasia", value=3.4, unit="ratio"),
    Finding("clear_space_share", value=0.12, unit="share"),
)

RATE = "CDX2 is positive in 97 % of colorectal adenocarcinomas (116/120)."
PITFALL = "Poorly differentiated mismatch-deficient tumours lose CDX2."
KNOWLEDGE = (
    Cited(RATE, "Smith 2019, doi 10.1/x", ("CDX2", "COADREAD", "Colorectal adenocarcinoma")),
    Cited(PITFALL, "textbook knowledge", ("CDX2",)),
    Cited(
        "Napsin A would help to separate them: positive in 83 % (83/100) in Lung adenocarcinoma.",
        "Li 2020",
        ("Napsin A",),
    ),
)
QUESTION = Question(
    "Is this melanoma? Could it be HER2 positive?",
    context="Liver biopsy, history of melanoma, no lymphoma. CDX2 was reported positive.",
    history=(Turn("How large are the nuclei?", "Nuclei measure 99 µm² at the median."),),
)


def observed(
    *findings: Finding, mpp: float | None = 0.5, slide: str = "a.svs", usable: bool = True, **more: object
) -> Observation:
    """An observation that looked at 12 of 240 fields."""
    evidence = tuple(Evidence(slide, REGION, mpp, finding) for finding in findings)
    return Observation(slide, REGION, mpp, evidence, 12, 240, usable, **more)  # type: ignore[arg-type]


def grounded(
    *observations: Observation, question: Question = QUESTION, knowledge: tuple[Cited, ...] = KNOWLEDGE
) -> Ground:
    """The ground of some observations."""
    evidence = tuple(item for seen in observations for item in seen.evidence)
    return Ground(evidence, knowledge, question, observations)


FULL = grounded(observed(*FINDINGS))
UNSCALED = grounded(
    observed(
        *(
            replace(f, abstained=True, value=None, interval=None, reason="the µm/px is unknown; state it with --mpp")
            if f.unit in ("per mm²", "µm²")
            else f
            for f in FINDINGS
        ),
        mpp=None,
    )
)
UNTOLD = grounded(
    observed(
        FINDINGS[2],
        classified("organ", ("colon", 0.41), ("stomach", 0.22), ("liver", 0.2), size=3),
        classified(
            "category",
            ("malignant", 0.93),
            ("normal", 0.07),
            abstained=True,
            reason="the tissue is unlike what it was calibrated on",
        ),
        Finding(
            "resembles", label="tubular adenoma", probability=0.3, abstained=True, reason="no reference case is near"
        ),
    )
)
UNUSABLE = grounded(observed(*FINDINGS[3:], usable=False, reason="The view is empty glass: choose a box with tissue"))
NOT_HISTOLOGY = grounded(observed(classified("stain", ("not histology", 0.97), ("HE", 0.03)), *FINDINGS[3:]))
