"""What a question asks for is read from its words."""

from __future__ import annotations

import pytest

from copilot.plan import plan


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("What is this?", "describe"),
        ("Which organ is this from?", "organ"),
        ("Is there malignancy?", "category"),
        ("What stain is this?", "stain"),
        ("How many nuclei are there?", "measure"),
        ("What is the Ki-67 index?", "immunophenotype"),
        ("Is the tumour ER positive?", "immunophenotype"),
        ("What Gleason grade is it?", "grade"),
        ("Which ancillary tests would you order?", "tests"),
        ("Is the slide in focus?", "quality"),
        ("hello there", "greeting"),
        ("Thank you very much!", "greeting"),
        ("Who are you?", "self"),
        ("Write me a poem", "self"),
        ("What is the prognosis?", "outcome"),
        ("Which drug should I give?", "outcome"),
        ("What is the patient's name?", "patient"),
        ("Is H. pylori present?", "objects"),
        ("Is there invasion?", "grade"),
        ("Which immunostains would help?", "tests"),
        ("Is SATB2 positive?", "immunophenotype"),
        ("What is adenocarcinoma?", "knowledge"),
    ],
)
def test_the_first_want_is_found(text: str, intent: str) -> None:
    assert plan(text, views=1).wants(intent)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["What is this?", "What is shown here?", "What's that?", "Is this benign?"])
def test_a_question_about_the_picture_asks_for_no_definition(text: str) -> None:
    assert not plan(text, views=1).wants("knowledge", "self", "patient", "outcome", "objects")


def test_several_views_are_compared_without_being_asked() -> None:
    assert plan("What is this?", views=2).wants("compare")


def test_a_question_without_an_image_goes_to_knowledge() -> None:
    assert plan("What is CK20?", views=0).intents == ("knowledge",)
