"""What an answer says, in order: limits first, no likeness from a head that has no say."""

from __future__ import annotations

import pytest

from copilot.answer import Question
from copilot.check import check_sentence
from copilot.plan import plan
from copilot.say import LIMITS, Material, compose
from copilot.statements import Seen
from slides import Finding

from .grounds import FULL, classified, grounded, observed

CYTOLOGY = observed(
    classified("stain", ("cytology", 0.98), ("HE", 0.02)),
    classified(
        "organ",
        ("breast", 0.95),
        ("colon", 0.05),
        abstained=True,
        reason="the picture reads as cytology (0.98); validated on HE only",
    ),
    classified(
        "category",
        ("malignant", 0.4),
        ("normal", 0.35),
        abstained=True,
        reason="its 90 % set holds every class, so the picture does not settle it",
    ),
    *(
        Finding(name, abstained=True, reason="fewer than 20 whole nuclei were found, too few to measure")
        for name in ("nuclear_area", "nuclear_elongation")
    ),
)


def sentences(question: str) -> list[str]:
    plans = plan(question, views=1)
    return [said.wordings[0] for said in compose(plans, Material((Seen(CYTOLOGY, 0),)))]


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_every_limit_passes_the_check(name: str) -> None:
    for text in LIMITS[name]:
        claim = check_sentence(text, FULL)
        assert claim.status == "knowledge", (text, claim.reason)
        assert claim.sources


@pytest.mark.parametrize("question", ["What is this?", "Which organ?"])
def test_a_head_that_never_saw_such_a_stain_tells_no_likeness(question: str) -> None:
    said = sentences(question)
    assert "The organ is not classified: the picture reads as cytology (0.98)." in said
    assert not any("breast" in sentence for sentence in said)


@pytest.mark.parametrize("question", ["What is this?", "Is it malignant?", "Which organ?"])
def test_no_reason_is_said_twice_and_every_sentence_stands(question: str) -> None:
    said = sentences(question)
    assert len(said) == len(set(said))
    assert all(sentence.count(": ") < 2 for sentence in said)
    assert sum("whole nuclei" in sentence for sentence in said) == 1
    ground = grounded(CYTOLOGY, question=Question(question))
    for sentence in said:
        assert check_sentence(sentence, ground).status != "struck", check_sentence(sentence, ground).reason


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("What is the prognosis?", "Prognosis and treatment"),
        ("What is the patient's name?", "Nothing of the patient"),
        ("Is H. pylori present?", "Organisms and single kinds of cells"),
        ("Who are you?", "This is research software"),
        ("Is there invasion?", "Grade, stage, margins, invasion"),
    ],
)
def test_what_no_finding_answers_is_said_first(question: str, first: str) -> None:
    assert sentences(question)[0].startswith(first)
