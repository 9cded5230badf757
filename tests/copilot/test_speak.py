"""Saying: what is shown is what stands, whatever the language model does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from copilot.answer import Checked, Question, Saying
from copilot.check import Ground
from copilot.language.model import Message
from copilot.speak import MAX_GIVEN_UP, speak
from copilot.statements import Statement
from slides import Evidence, Finding, Region
from vision_encoder.observation import Observation

from .scripted_model import ScriptedModel

BOX = Region(0, 0, 512, 512)
ORGAN = Finding(
    "organ",
    label="colon",
    probability=0.91,
    prediction_set=("colon",),
    distribution=(("colon", 0.91), ("stomach", 0.09)),
)
SHARE = Finding("nuclear_share", value=0.23, unit="share")
EVIDENCE = tuple(Evidence("slide.svs", BOX, 0.5, finding) for finding in (ORGAN, SHARE))
GROUND = Ground(
    EVIDENCE, (), Question("What is this?"), (Observation("slide.svs", BOX, 0.5, EVIDENCE, 4, 4, usable=True),)
)
TRUE_ORGAN = Statement(
    ("The picture favours colon as the organ (0.91).", "What is seen favours colon as the organ (0.91)."), (0,)
)
TRUE_SHARE = Statement(("Nuclei cover 23 % of the tissue.",), (1,))
FALSE = Statement(("The picture favours stomach as the organ (0.91).", "Nuclei cover 32 % of the tissue."), (0,))


def run(
    statements: Sequence[Statement],
    model: ScriptedModel,
    wording: str = "slots",
    halted: Callable[[], bool] = lambda: False,
) -> tuple[str, list[Checked]]:
    events = list(speak(statements, GROUND, model, wording=wording, halted=halted))  # type: ignore[arg-type]
    shown = "".join(event.text for event in events if isinstance(event, Saying))
    return shown, [event for event in events if isinstance(event, Checked)]


def standing(checked: Sequence[Checked]) -> str:
    return " ".join(event.claim.text for event in checked if event.claim.status != "struck")


def test_what_is_shown_is_what_stands() -> None:
    shown, checked = run([TRUE_ORGAN, TRUE_SHARE], ScriptedModel())
    assert shown == "What is seen favours colon as the organ (0.91). Nuclei cover 23 % of the tissue."
    assert shown == standing(checked)
    assert [event.claim.evidence for event in checked] == [(0,), (1,)]


def test_a_statement_that_no_finding_holds_is_struck_and_never_shown() -> None:
    shown, checked = run([FALSE, TRUE_SHARE], ScriptedModel())
    assert shown == "Nuclei cover 23 % of the tissue."
    assert [event.claim.status for event in checked] == ["struck", "supported"]
    assert checked[0].claim.reason


def test_a_stop_in_mid_sentence_keeps_the_part_that_was_shown() -> None:
    count = 0

    def halted() -> bool:
        nonlocal count
        count += 1
        return count > 8

    shown, checked = run([TRUE_ORGAN, TRUE_SHARE], ScriptedModel(), halted=halted)
    assert shown
    assert not shown.endswith(".")
    assert standing(checked) == f"{shown.rstrip()} …"


@pytest.mark.parametrize(
    "invented",
    [
        "The tumour is CK20 positive.",
        "The picture favours stomach as the organ (0.91).",
        "Nuclei cover 0.23 % of the tissue.",
        "There is no malignancy.",
    ],
)
def test_free_words_are_struck_sentence_by_sentence_and_the_facts_are_still_said(invented: str) -> None:
    model = ScriptedModel(f"{invented} {TRUE_ORGAN.wordings[0]}")
    shown, checked = run([TRUE_ORGAN, TRUE_SHARE], model, wording="free")
    assert invented not in shown
    assert "colon" in shown
    assert "23 %" in shown
    assert shown.split() == standing(checked).split()
    assert shown.count("colon") == 1


def test_what_rests_on_no_finding_is_not_said_again_where_it_was_said() -> None:
    limit = Statement(("The grade cannot be told from this picture.",), ())
    said = ScriptedModel(f"{TRUE_ORGAN.wordings[0]} {limit.wordings[0]}")
    shown, _ = run([limit, TRUE_ORGAN], said, wording="free")
    assert shown.count(limit.wordings[0]) == 1
    shown, _ = run([limit, TRUE_ORGAN], ScriptedModel(TRUE_ORGAN.wordings[0]), wording="free")
    assert shown.count(limit.wordings[0]) == 1


def test_a_model_that_only_invents_leaves_the_plain_templates() -> None:
    model = ScriptedModel("It is HER2 positive. It is grade 3. It is lung. It is liver. It is skin.")
    shown, checked = run([TRUE_ORGAN, TRUE_SHARE], model, wording="free")
    assert shown == "What is seen favours colon as the organ (0.91). Nuclei cover 23 % of the tissue."
    assert sum(event.claim.status == "struck" for event in checked) == 2 * MAX_GIVEN_UP


class Retrying(ScriptedModel):
    """Says one text after another, and remembers what it was asked."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = list(texts)
        self.asked: list[Sequence[Message]] = []

    def stream(self, messages: Sequence[Message], **_: object) -> Iterator[str]:  # type: ignore[override]
        self.asked.append(messages)
        yield from self.texts.pop(0)


FALSE_SHARE, TRUE_SHARE_TEXT = "Nuclei cover 32 % of the tissue.", TRUE_SHARE.wordings[0]


def test_a_sentence_that_is_struck_is_tried_once_more_with_the_reason() -> None:
    first, second = TRUE_ORGAN.wordings[0], TRUE_SHARE_TEXT
    model = Retrying(f"{first} {FALSE_SHARE} It is grade 3.", f"{first} {second}")
    shown, checked = run([TRUE_ORGAN, TRUE_SHARE], model, wording="free")
    assert shown.split() == f"{first} {second}".split()
    assert [event.claim.status for event in checked] == ["supported", "struck", "supported"]
    assert [turn["role"] for turn in model.asked[1]][-2:] == ["assistant", "user"]
    assert model.asked[1][-2]["content"] == f"{first} {FALSE_SHARE}"
    reason = checked[1].claim.reason
    assert reason
    assert reason in model.asked[1][-1]["content"]


def test_struck_twice_it_is_replaced_by_its_template_and_the_model_goes_on() -> None:
    model = Retrying(FALSE_SHARE, f"Nuclei cover 99 % of the tissue. {TRUE_ORGAN.wordings[0]}")
    shown, checked = run([TRUE_ORGAN, TRUE_SHARE], model, wording="free")
    assert shown.split() == f"{TRUE_ORGAN.wordings[0]} {TRUE_SHARE_TEXT}".split()
    assert [event.claim.status for event in checked] == ["struck", "struck", "supported", "supported"]
    assert len(model.asked) == 2


def test_a_model_that_repeats_itself_comes_to_an_end() -> None:
    model = Retrying(*[f"{TRUE_ORGAN.wordings[0]} {FALSE_SHARE}"] * 99)
    shown, _ = run([TRUE_ORGAN, TRUE_SHARE], model, wording="free")
    assert shown.split() == f"{TRUE_ORGAN.wordings[0]} {TRUE_SHARE_TEXT}".split()
    assert len(model.texts) > 90
