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
    ],
)
def test_the_first_want_is_found(text: str, intent: str) -> None:
    assert plan(text, views=1).wants(intent)  # type: ignore[arg-type]


def test_several_views_are_compared_without_being_asked() -> None:
    assert plan("What is this?", views=2).wants("compare")


def test_a_question_without_an_image_goes_to_knowledge() -> None:
    assert plan("What is CK20?", views=0).intents == ("knowledge",)
