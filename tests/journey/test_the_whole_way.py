"""The product's story on one slide: open, ask about a box, ask again, choose, compare, report, triage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot import Copilot
from copilot.answer import Answer, Checked, Done, Event, Found, Looking, Question, Saying, Turn, View
from slides import Region, Slide, open_slide
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def copilot() -> Copilot:
    return Copilot.load()


@pytest.fixture(scope="module", params=["real", "generated"])
def slide(request: pytest.FixtureRequest, generated_slide: Path) -> Iterator[Slide]:
    """The real slide where the shared data is, the generated one always."""
    path = generated_slide
    if request.param == "real":
        data = Path(os.environ.get("PATHCOPILOT_DATA", ROOT.parent / "shared" / "data"))
        path = data / "slides" / "CMU-1-Small-Region.svs"
        if not path.is_file():
            pytest.skip(f"no real slide at {path}: set PATHCOPILOT_DATA")
    with open_slide(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def box(slide: Slide) -> Region:
    return Region(slide.size.width // 3, slide.size.height // 3, 700, 600)


def told(copilot: Copilot, question: Question) -> tuple[list[Event], Answer]:
    events = list(copilot.ask(question))
    assert isinstance(events[-1], Done)
    return events, events[-1].answer


def test_an_answer_is_what_was_shown_and_rests_on_places(copilot: Copilot, slide: Slide, box: Region) -> None:
    events, answer = told(copilot, Question("What is this?", (View(slide, box),)))
    shown = "".join(event.text for event in events if isinstance(event, Saying))
    assert " ".join(shown.split()) == " ".join(answer.text.split())
    assert tuple(event.claim for event in events if isinstance(event, Checked)) == answer.claims
    assert [event.index for event in events if isinstance(event, Found)] == list(range(len(answer.evidence)))
    for claim in answer.claims:
        assert claim.status != "supported" or claim.evidence, claim.text
        assert claim.status != "knowledge" or claim.sources, claim.text
        assert all(0 <= index < len(answer.evidence) for index in claim.evidence)
    for item in answer.evidence:
        assert box.contains(item.region) or item.finding.name == "choice"
    first_word = next(i for i, event in enumerate(events) if isinstance(event, Saying))
    assert any(isinstance(event, Looking) for event in events[:first_word])


def test_a_readable_field_gets_at_least_three_supported_statements(copilot: Copilot, slide: Slide, box: Region) -> None:
    _, answer = told(copilot, Question("What is this?", (View(slide, box),)))
    assert sum(claim.status == "supported" for claim in answer.claims) >= 3, answer.text


def test_the_same_question_gets_the_same_answer(copilot: Copilot, slide: Slide, box: Region) -> None:
    question = Question("What is seen here?", (View(slide, box),))
    assert told(copilot, question)[1].text == told(copilot, question)[1].text


def test_a_marker_is_never_read_from_this_stain(copilot: Copilot, slide: Slide, box: Region) -> None:
    _, answer = told(copilot, Question("What is the Ki-67 index, and is it HER2 positive?", (View(slide, box),)))
    assert "cannot be read" in answer.text or "can be read from this section" in answer.text
    assert not any("Ki-67" in c.text and c.status == "supported" for c in answer.claims)


def test_options_give_probabilities_that_follow_their_order(copilot: Copilot, slide: Slide, box: Region) -> None:
    options = ("H&E", "immunohistochemistry", "Giemsa cytology smear")
    view = (View(slide, box),)
    straight = told(copilot, Question("Which stain?", view, options=options))[1]
    turned = told(copilot, Question("Which stain?", view, options=options[::-1]))[1]
    assert straight.option_probabilities is not None
    assert turned.option_probabilities is not None
    assert straight.option_probabilities == pytest.approx(turned.option_probabilities[::-1], abs=1e-6)
    assert sum(straight.option_probabilities) == pytest.approx(1, abs=1e-3)


def test_two_boxes_are_told_apart_by_name(copilot: Copilot, slide: Slide, box: Region) -> None:
    other = Region(box.x, box.bottom, box.width, box.height).clamp(slide.size)
    _, answer = told(copilot, Question("Compare these.", (View(slide, box), View(slide, other))))
    assert "View 1" in answer.text
    assert "View 2" in answer.text


def test_a_second_turn_does_not_repeat_the_first(copilot: Copilot, slide: Slide, box: Region) -> None:
    view = (View(slide, box),)
    _, first = told(copilot, Question("What is this?", view))
    _, second = told(copilot, Question("Which organ is this?", view, history=(Turn("What is this?", first.text),)))
    assert "organ" in second.claims[0].text
    unasked = [claim.text for claim in second.claims if "organ" not in claim.text]
    assert not [text for text in unasked if text in first.text]


def test_a_stop_ends_the_answer_and_keeps_what_was_shown(copilot: Copilot, slide: Slide, box: Region) -> None:
    said: list[str] = []
    answer = None
    for event in copilot.ask(Question("What is this?", (View(slide, box),)), halted=lambda: len(said) > 3):
        if isinstance(event, Saying):
            said.append(event.text)
        if isinstance(event, Done):
            answer = event.answer
    assert answer is not None
    assert answer.stopped
    assert len(said) <= 5
    assert " ".join("".join(said).split()) == " ".join(answer.text.removesuffix("…").split())


def test_report_and_worklist_come_from_the_same_look(copilot: Copilot, slide: Slide, tmp_path: Path) -> None:
    report = copilot.report([View(slide)], context="biopsy", progress=lambda text: None)
    report.write(tmp_path / "draft.md")
    draft = (tmp_path / "draft.md").read_text(encoding="utf-8")
    assert "not assessed" in draft
    assert slide.name in draft
