"""Laws of the checker: what may be said of a class, a figure, a view and a choice, and what may not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.answer import Question
from copilot.certainty import certainty
from copilot.check import check_sentence
from copilot.rules import probability
from copilot.terms import ORGANS, surfaces
from slides import Finding

from .grounds import FULL, UNTOLD, classified, grounded, observed

FRAMES = (
    "The picture is consistent with {c} ({n}).",
    "It favours {c} ({n}).",
    "The tissue looks most like {c} ({n}).",
    "{c} ({n}) is not excluded.",
    "The organ is not classified; it looks most like {c}, then colon ({n}).",
    "The 90 % set also holds {c}.",
    "The nearest reference case is {c}; such a match was of the right category in {n} of held-out cases.",
    "Nuclei number about {n} per mm² and {c} is seen.",
    "{c}.",
)
ABSENT = sorted(
    {phrase for organ in ORGANS for phrase in surfaces(organ)}
    - {phrase for label in ("colon", "stomach", "small intestine", "liver") for phrase in surfaces(label)}
)  # fmt: skip
KNOWN = {
    round(p, 4)
    for item in FULL.evidence
    for p in [item.finding.probability, item.finding.value, *(q for _, q in item.finding.distribution)]
    if p is not None
}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FRAMES), st.sampled_from(ABSENT), st.floats(0, 1))
def test_a_class_that_no_finding_holds_never_survives(frame: str, term: str, number: float) -> None:
    assert check_sentence(frame.format(c=term, n=f"{number:.2f}"), FULL).status == "struck"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            "The picture favours malignant as the process ({}).",
            "The stain is H&E (probability {}).",
            "The tissue looks most like colon ({}).",
            "Nuclear size varies with a coefficient of variation of {}.",
            "Nuclei cover {} of the tissue.",
            "The nearest reference case is tubular adenoma; such a match was of the right category in {} of "
            "held-out cases.",
        ]
    ),
    st.decimals(0, 9, places=2).map(str) | st.decimals(0, 1, places=3).map(str) | st.integers(2, 9999).map(str),
    st.sampled_from(["", " %", " µm²", " per mm²"]),
)
def test_a_figure_that_no_finding_holds_never_survives(frame: str, digits: str, unit: str) -> None:
    shown = float(digits) / (100 if unit == " %" else 1)
    decimals = len(digits.partition(".")[2]) + (2 if unit == " %" else 0)
    if any(abs(shown - value) <= 0.51 * 10**-decimals for value in KNOWN):
        return
    if digits in ("3400", "3410", "3412"):
        return
    assert check_sentence(frame.format(digits + unit), FULL).status == "struck"


@settings(max_examples=200, deadline=None)
@given(st.floats(0.5, 0.999), st.sampled_from(["consistent with", "favours", "suggestive of"]))
def test_certainty_is_worded_by_its_probability_and_nothing_else(p: float, wording: str) -> None:
    finding = classified("category", ("malignant", p), ("normal", 1 - p))
    claim = check_sentence(
        f"The picture {'' if wording == 'favours' else 'is '}{wording} malignant.", grounded(observed(finding))
    )
    assert (claim.status == "supported") == (certainty(p) == wording)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gets_a_verdict(text: str) -> None:
    claim = check_sentence(text, FULL)
    assert claim.text == text
    assert claim.status != "supported" or claim.evidence


def test_an_abstaining_class_is_said_only_as_not_classified() -> None:
    untold = "the tissue is unlike what it was calibrated on"
    for sentence in (
        "The organ is not classified; it looks most like colon (0.41), then stomach (0.22).",
        f"The process is not classified: {untold}; it looks most like malignant (0.93), then normal (0.07).",
        f"The process cannot be told here: {untold}; the nearest class is malignant (0.93).",
        "Colon, stomach and liver cannot be told apart.",
        "The organ is not classified.",
    ):
        claim = check_sentence(sentence, UNTOLD)
        assert claim.status == "supported", (sentence, claim.reason)
    for sentence in (
        "The organ looks most like colon (0.41).",
        "The organ is suggestive of colon (0.41).",
        "The picture favours malignant as the process (0.93).",
        "It looks most like malignant (0.93).",
        "The process is not classified; it looks most like normal (0.93).",
        "The organ is not classified; the picture favours malignancy (0.93).",
        "The organ is not classified; it looks most like malignant (0.93).",
        "The organ is not classified, it looks most like a malignant process.",
        "The nearest reference case is tubular adenoma.",
        "The organ is not classified; it looks most like skin (0.41).",
        "The stain is not classified; it looks most like H&E (0.98).",
        "The stain is not classified.",
    ):
        assert check_sentence(sentence, UNTOLD).status == "struck", sentence


def test_each_view_answers_for_itself() -> None:
    first = observed(classified("organ", ("colon", 0.97), ("skin", 0.03)), slide="melanoma.svs")
    second = observed(classified("organ", ("skin", 0.96), ("colon", 0.04)), slide="b.svs")
    ground = grounded(first, second)
    for sentence in (
        "View 1: the organ is consistent with colon (0.97).",
        "View 2: the picture is consistent with skin as the organ (0.96).",
        "The views differ on the organ: View 1 colon and View 2 skin.",
    ):
        assert check_sentence(sentence, ground).status == "supported", check_sentence(sentence, ground).reason
    for sentence in (
        "View 2: the organ is consistent with colon (0.97).",
        "View 1: the organ is consistent with skin (0.96).",
        "View 3: the organ is consistent with skin (0.96).",
        "The views agree on the organ: colon.",
        "The views differ on the organ: View 1 skin and View 2 colon.",
        "Slide melanoma is consistent with melanoma.",
    ):
        assert check_sentence(sentence, ground).status == "struck", sentence


def test_a_box_that_is_given_twice_has_two_views() -> None:
    stain = classified("stain", ("HE", 0.97), ("IHC", 0.03))
    ground = grounded(observed(stain), observed(stain))
    for sentence in (
        "View 1: The stain is consistent with H&E (0.97).",
        "View 2: The stain is consistent with H&E (0.97).",
    ):
        assert check_sentence(sentence, ground).status == "supported", check_sentence(sentence, ground).reason
    assert check_sentence("View 3: The stain is consistent with H&E (0.97).", ground).status == "struck"


def test_the_figure_behind_a_site_is_of_what_lies_there() -> None:
    ground = grounded(
        observed(
            classified("organ", ("oral cavity", 0.90), ("skin", 0.10)),
            classified("disease oral cavity", ("squamous cell carcinoma", 0.93), ("normal oral epithelium", 0.07)),
        )
    )
    sentence = "The picture favours squamous cell carcinoma in oral cavity ({})."
    claim = check_sentence(sentence.format("0.93"), ground)
    assert claim.status == "supported", claim.reason
    assert check_sentence(sentence.format("0.86"), ground).status == "struck"


def test_the_choice_among_options_is_said_as_one() -> None:
    options = ("Melanoma, malignant", "colon carcinoma", "≥ 50 % fat")
    choice = Finding(
        "choice",
        label=options[1],
        probability=0.64,
        distribution=((options[1], 0.64), (options[0], 0.2), (options[2], 0.16)),
    )
    ground = grounded(observed(choice), question=Question("Which?", options=options))
    assert (
        check_sentence("Of the options given, “colon carcinoma” fits the findings best (0.64).", ground).status
        == "supported"
    )
    for sentence in (
        "Of the options given, “≥ 50 % fat” fits the findings best (0.64).",
        "Of the options given, “Melanoma, malignant” fits the findings best (0.20).",
        "Of the options given, “colon carcinoma” fits the findings best (0.46).",
        "The picture is suggestive of colon carcinoma (0.64).",
        "This is a colon carcinoma.",
    ):
        assert check_sentence(sentence, ground).status == "struck", sentence


def test_probability_is_read_from_label_and_distribution() -> None:
    finding = classified("organ", ("colon", 0.7), ("skin", 0.3))
    assert probability(finding, "colon") == 0.7
    assert probability(finding, "skin") == 0.3
    assert probability(finding, "liver") is None
