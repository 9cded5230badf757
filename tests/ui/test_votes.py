"""Votes on answers: given in a real browser, kept on this machine, read by the tuner."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.ui.scripted import ScriptedEngine
from tests.ui.serving import ask, browser, chromium, finished, opened, served
from ui.votes import Votes

pytestmark = pytest.mark.browser


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_vote_and_a_second_wording_are_kept_without_the_slide_s_name(generated_slide: Path, tmp_path: Path) -> None:
    chromium()
    file = tmp_path / "data" / "votes.jsonl"
    with served(ScriptedEngine(), [generated_slide], Votes(file)) as url, browser() as chrome:
        page = opened(chrome.new_page(), url)
        ask(page, "What is this?")
        finished(page)
        page.get_by_role("button", name="Not useful").click()
        page.wait_for_function("document.querySelector('#conversation .judge[aria-pressed=true]')")
        page.get_by_role("button", name="Say it differently").click()
        finished(page, answers=2)
        assert page.get_by_role("button", name="Say it differently").count() == 0
        page.get_by_role("button", name="Better than before").click()
        page.wait_for_function("document.querySelectorAll('#conversation .judge[aria-pressed=true]').length === 2")
    thumb, preference = rows(file)
    assert (thumb["question"], thumb["useful"]) == ("What is this?", False)
    assert preference["rejected"] == thumb["answer"]
    assert "once more" in preference["chosen"]
    assert generated_slide.stem not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_desk_that_keeps_no_votes_asks_for_none(generated_slide: Path) -> None:
    chromium()
    with served(ScriptedEngine(), [generated_slide]) as url, browser() as chrome:
        page = opened(chrome.new_page(), url)
        ask(page, "What is this?")
        finished(page)
        assert page.locator("#conversation .judge").count() == 0
