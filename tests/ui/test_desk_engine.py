"""The same desk with the real engine: from a box on a slide to an answer that points at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copilot import Copilot
from slides import SetupError
from tests.ui.serving import ask, browser, chromium, drag_box, opened, served

pytestmark = pytest.mark.browser
PATIENCE = 180_000  # ms, for the slowest machine; nothing here asserts a duration


@pytest.fixture(scope="module")
def desk(generated_slide: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    chromium()
    try:
        engine = Copilot.load()
    except SetupError as error:
        pytest.skip(f"the models are not installed: {error}")
    try:
        slide = request.getfixturevalue("shared_data") / "slides" / "CMU-1-Small-Region.svs"
    except pytest.skip.Exception:
        slide = generated_slide
    with served(engine, [slide]) as url:
        yield url


@pytest.fixture(scope="module")
def page(desk: str) -> Iterator[Any]:
    with browser() as chrome:
        page = chrome.new_context(viewport={"width": 1366, "height": 768}).new_page()
        page.set_default_timeout(PATIENCE)
        yield opened(page, desk)


def test_a_box_a_question_and_an_answer_that_points_at_the_tissue(page: Any) -> None:
    drag_box(page, 0.48, 0.25, 0.15, 0.2)
    ask(page, "What is this?")
    page.wait_for_selector("#conversation .saying, #conversation details.figures")
    page.wait_for_selector("#conversation details.figures")
    assert page.locator("#conversation .sentence.supported").count() >= 3
    assert page.locator("#conversation .letter").count() >= 3
    assert page.locator("#viewer .evidence-box").count() >= 1
    assert page.locator("#viewer .frame").count() == page.locator("#viewer .evidence-box").count()
    assert page.locator("#conversation .failure").count() == 0


def test_a_report_and_tests_are_drafted_and_slides_ranked(page: Any) -> None:
    page.get_by_role("tab", name="Worklist").click()
    page.locator("#worklist-start").click()
    page.locator("#cases .case .score").first.wait_for()
    for tab, button, drafted in (
        ("Tests", "#tests-start", "Ancillary tests"),
        ("Report", "#report-start", "Pathology report"),
    ):
        page.get_by_role("tab", name=tab).click()
        page.locator(button).click()
        page.get_by_role("heading", name=drafted).first.wait_for()
