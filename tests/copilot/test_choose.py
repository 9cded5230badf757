"""Laws of the choice among options: findings decide, order does not, and what cannot be seen is not chosen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.answer import Question
from copilot.choose import Choice, choose_option
from copilot.meaning import bare_option, meaning
from instruction_data.knowledge import load_knowledge
from slides import Finding
from vision_encoder.observation import Observation

from .grounds import FINDINGS, classified, observed
from .scripted_model import ScriptedModel

SEEN = observed(*FINDINGS)
ORGANS = ("colon", "stomach", "liver", "small intestine", "thyroid", "breast", "none of the above")


def choose(
    *options: str,
    text: str = "What is shown?",
    seen: Sequence[Observation] = (SEEN,),
    context: str | None = None,
    language: ScriptedModel | None = None,
) -> Choice:
    question = Question(text, options=options, context=context)
    return choose_option(options, seen, question, language=language, knowledge=load_knowledge())


def chosen(*options: str, **more: object) -> str | None:
    choice = choose(*options, **more)  # type: ignore[arg-type]
    return None if choice.index is None else options[choice.index]


def test_the_findings_decide() -> None:
    assert chosen("thyroid", "liver", "colon", "breast") == "colon"
    assert chosen("benign", "malignant") == "malignant"
    assert chosen("H&E", "PAS", "immunohistochemistry") == "H&E"
    assert chosen("adipose tissue", "smooth muscle", "adenocarcinoma epithelium") == "adenocarcinoma epithelium"
    assert chosen("in focus", "out of focus") == "in focus"
    assert chosen("tumor absent", "tumor present") == "tumor present"
    assert chosen("negative", "positive", text="Is there malignancy?") == "positive"
    assert (
        chosen("chronic gastritis", "gastric adenocarcinoma", "colorectal adenocarcinoma")
        == "colorectal adenocarcinoma"
    )


def test_what_was_used_is_named() -> None:
    choice = choose("colon", "liver")
    assert choice.used == ("organ",)
    assert "colon" in choice.why
    assert not choice.abstained


@settings(max_examples=150, deadline=None)
@given(st.permutations(ORGANS), st.integers(2, len(ORGANS)), st.booleans())
def test_permuting_the_options_permutes_the_probabilities_exactly(order: list[str], count: int, spoken: bool) -> None:
    options = order[:count]
    language = ScriptedModel(favourite="liver") if spoken else None
    first = choose(*options, language=language)
    expected = dict(zip(options, first.probabilities, strict=True))
    for turned in itertools.islice(itertools.permutations(options), 12):
        again = choose(*turned, language=language)
        assert again.probabilities == tuple(expected[option] for option in turned)
        assert (again.index is None) == (first.index is None)
        if first.index is not None:
            assert again.index is not None
            assert turned[again.index] == options[first.index]
    assert math.isclose(math.fsum(first.probabilities), 1.0)


@pytest.mark.parametrize("mark", ["{}) ", "({}) ", "{}. ", "Option {}: ", "{}: "])
def test_letters_in_front_change_nothing(mark: str) -> None:
    options = ("liver", "colon", "breast")
    lettered = tuple(mark.format("ABC"[i]) + option for i, option in enumerate(options))
    assert choose(*lettered).probabilities == choose(*options).probabilities
    assert bare_option("2) 1p/19q codeletion") == "1p/19q codeletion"
    assert bare_option("B cell lymphoma") == "B cell lymphoma"


@pytest.mark.parametrize(
    "words",
    [
        ("colon", "liver"),
        ("colonic tissue", "hepatic tissue"),
        ("Large bowel", "Liver parenchyma"),
        ("tissue from the colon", "tissue from the liver"),
        ("COLON.", "LIVER."),
    ],
)
def test_paraphrase_changes_nothing(words: tuple[str, str]) -> None:
    assert choose(*words).index == 0
    assert choose(*words).probabilities == choose("colon", "liver").probabilities


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Is this malignant?", "yes"),
        ("Is it cancer?", "yes"),
        ("Is this benign?", "no"),
        ("Is this normal tissue?", "no"),
        ("Is there no tumour?", "no"),
        ("Is this tissue from the colon?", "yes"),
        ("Is this tissue from the liver?", "no"),
        ("Is it an H&E stain?", "yes"),
        ("Is this slide stained with PAS?", "no"),
    ],
)
def test_yes_and_no_follow_the_probability(text: str, answer: str) -> None:
    assert chosen("Yes", "No", text=text) == answer.capitalize()
    assert chosen("no", "yes", text=text) == answer


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("ER positive", "ER negative"), "What is the receptor status?"),
        (("MSI-high", "microsatellite stable"), "What is the MSI status?"),
        (("yes", "no"), "Is the tumour HER2 positive?"),
        (("yes", "no"), "Is KRAS mutated?"),
        (("grade 1", "grade 2", "grade 3"), "What is the grade?"),
        (("0", "1+", "2+", "3+"), "HER2 score?"),
        (("under 60 years", "over 60 years"), "How old is the patient?"),
        (("monday", "tuesday"), "When was it taken?"),
        (("primary tumour", "metastasis"), "Which is it?"),
        (("positive", "negative"), "HER2?"),
        (("glomerulus", "tubule"), "What is shown?"),
        (("yes", "no"), "Deep learning can read TP53 from H&E. What does this field show?"),
    ],
)
def test_what_no_section_shows_is_not_chosen(options: tuple[str, ...], text: str) -> None:
    choice = choose(*options, text=text, language=ScriptedModel(favourite=options[0]))
    assert choice.index is None
    assert choice.abstained
    assert max(choice.probabilities) - min(choice.probabilities) < 1e-9
    assert choice.why


def test_an_option_that_it_cannot_be_told_is_taken_instead() -> None:
    assert chosen("ER positive", "ER negative", "Cannot be determined from H&E") == "Cannot be determined from H&E"
    assert chosen("colon", "liver", "cannot be told") == "colon"


def test_no_tissue_no_choice() -> None:
    glass = observed(usable=False, reason="The view is empty glass")
    choice = choose("colon", "liver", seen=[glass])
    assert choice.index is None
    assert choice.why == "The view is empty glass"
    assert chosen("colon", "liver", "not histology", seen=[glass]) == "not histology"
    assert choose("colon", "liver", seen=[]).index is None


def test_novel_tissue_is_not_forced_into_an_option() -> None:
    organ = classified("organ", ("colon", 0.9), ("liver", 0.1), abstained=True, novelty=0.01, reason="unlike")
    assert choose("colon", "liver", seen=[observed(organ)]).index is None
    unsure = replace(organ, novelty=0.6, reason="most probable colon with 0.40")
    assert chosen("colon", "liver", seen=[observed(unsure)]) == "colon"


def test_another_stain_silences_the_heads_of_this_one() -> None:
    stain = classified("stain", ("IHC", 0.95), ("HE", 0.05))
    organ = classified(
        "organ", ("colon", 0.9), ("liver", 0.1), abstained=True, novelty=0.6, reason="validated on HE only"
    )
    assert choose("colon", "liver", seen=[observed(stain, organ)]).index is None


def test_level_options_are_left_level() -> None:
    level = observed(classified("organ", ("colon", 0.36), ("liver", 0.34), ("breast", 0.30)))
    assert choose("colon", "liver", "breast", seen=[level]).index is None
    assert choose("invasive ductal carcinoma", "invasive lobular carcinoma").index is None


@settings(max_examples=100, deadline=None)
@given(st.floats(0.6, 0.99), st.sampled_from(["liver", "stomach"]))
def test_the_language_model_never_overrules_a_finding(p: float, favourite: str) -> None:
    seen = observed(classified("organ", ("colon", p), ("liver", (1 - p) / 2), ("stomach", (1 - p) / 2)))
    assert chosen("liver", "stomach", "colon", seen=[seen], language=ScriptedModel(favourite=favourite)) == "colon"


def test_the_context_helps_and_a_confident_finding_overrules_it() -> None:
    sure = observed(classified("organ", ("colon", 0.95), ("liver", 0.03), ("stomach", 0.02)))
    assert chosen("liver", "colon", seen=[sure], context="liver biopsy") == "colon"
    torn = observed(classified("organ", ("colon", 0.45), ("liver", 0.40), ("stomach", 0.15)))
    assert chosen("liver", "colon", seen=[torn], context="liver biopsy") == "liver"


def test_views_of_one_case_are_weighed_together() -> None:
    first = observed(classified("organ", ("colon", 0.55), ("liver", 0.45)))
    second = observed(classified("organ", ("liver", 0.95), ("colon", 0.05)), slide="b.svs")
    assert chosen("colon", "liver", seen=[first, second]) == "liver"
    assert chosen("colon", "liver", seen=[second, first]) == "liver"


def test_none_of_these_wins_when_the_findings_lie_elsewhere() -> None:
    seen = observed(classified("organ", ("brain/CNS", 0.9), ("colon", 0.04), ("liver", 0.03), ("breast", 0.03)))
    assert chosen("colon", "liver", "none of the above", seen=[seen]) == "none of the above"


def test_a_measured_magnification_is_read_from_the_slide(generated_slide) -> None:  # type: ignore[no-untyped-def]
    from copilot.answer import View
    from slides import open_slide

    options = ("5x", "10x", "20x", "40x")
    with open_slide(generated_slide) as slide:
        question = Question("At which magnification was this scanned?", (View(slide),), options=options)
        choice = choose_option(options, [SEEN], question, language=None, knowledge=None)
    assert choice.index == 2
    assert choose(*options).index is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_any_options_get_probabilities(options: list[str]) -> None:
    choice = choose(*options)
    assert math.isclose(math.fsum(choice.probabilities), 1.0)
    assert choice.index is None or 0 <= choice.index < len(options)
    assert choice.abstained == (choice.index is None)


def test_words_mean_what_they_say() -> None:
    knowledge = load_knowledge()
    assert meaning("no tumour", knowledge).categories == (("normal", 1.0),)
    assert dict(meaning("not malignant", knowledge).categories).get("malignant", 0.0) == 0.0
    assert meaning("Giardiasis", knowledge).organs == {"small intestine"}
    assert meaning("lymph node", knowledge).organs == {"lymph node"}
    assert dict(meaning("tumour absent", knowledge).categories).get("malignant", 0.0) == 0.0
    assert dict(meaning("malignant cells are not seen", knowledge).categories).get("malignant", 0.0) == 0.0
    assert meaning("HER2 3+", knowledge).beyond
    assert meaning("None of the above", knowledge).special == "none"
    assert meaning("It cannot be determined", knowledge).special == "not told"


def test_a_label_without_distribution_still_tells_options_apart() -> None:
    seen = observed(Finding("stain_colour", label="brown chromogen"))
    assert chosen("H&E", "immunohistochemistry", seen=[seen]) == "immunohistochemistry"
