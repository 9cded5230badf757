"""The desk as a person uses it, in a real browser, with a scripted engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.ui.scripted import INJECTION, ScriptedEngine
from tests.ui.serving import LOADED, ask, browser, chromium, drag_box, finished, opened, served

pytestmark = pytest.mark.browser
EVIL = '<img src=x onerror="window.broken=1"> ${window.broken=1} {{value}}.tif'


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture(scope="module")
def desk(engine: ScriptedEngine, generated_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    chromium()
    evil = tmp_path_factory.mktemp("evil") / EVIL
    shutil.copy(generated_slide, evil)
    broken = evil.parent / "broken.svs"
    broken.write_bytes(b"no slide at all")
    with served(engine, [generated_slide, evil, broken]) as url:
        yield url


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as driver:
        yield driver


@pytest.fixture
def page(chrome: Any, desk: str, engine: ScriptedEngine) -> Iterator[Any]:
    engine.pause, engine.sentences, engine.hold = 0.0, 1, None
    engine.go.clear()
    engine.asked.clear()
    context = chrome.new_context(viewport={"width": 1366, "height": 768})
    opened_page = context.new_page()
    complaints: list[str] = []
    outside: list[str] = []
    opened_page.on("pageerror", lambda error: complaints.append(str(error)))
    opened_page.on("console", lambda line: complaints.append(line.text) if _complains(line) else None)
    opened_page.on("request", lambda request: outside.append(request.url) if _leaves(request.url) else None)
    yield opened(opened_page, desk)
    assert outside == []
    assert complaints == []
    assert opened_page.evaluate("window.broken") is None
    context.close()


def _leaves(url: str) -> bool:
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1"


def _complains(line: Any) -> bool:
    """An error of the page; that a stream broke off when the page itself was left is none."""
    return line.type == "error" and "AbortError" not in line.text and "Connection errored out" not in line.text


def _texts(page: Any, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def test_draw_a_box_ask_and_see_where_the_answer_comes_from(page: Any, engine: ScriptedEngine) -> None:
    engine.hold = 12
    drag_box(page, 0.3, 0.3, 0.25, 0.3)
    assert page.locator("#viewer .asked-box").count() == 1
    ask(page, "What is this?")
    page.wait_for_function("document.querySelector('#conversation .saying')?.innerText.startsWith('Nuclei are')")
    assert page.locator("#stop").is_visible()
    assert page.locator("#viewer .evidence-box").count() == 2  # those of the first sentence
    engine.go.set()
    finished(page)
    assert "about 4,210 per mm²" in page.locator("#conversation .text").inner_text()

    region = engine.asked[0].views[0].region
    assert region is not None
    boxes = page.evaluate("window.pathcopilot.desk.places.map((place) => place.box)")
    assert boxes
    for x, y, width, height in boxes:
        assert region.x <= x <= x + width <= region.right
        assert region.y <= y <= y + height <= region.bottom
    assert page.locator("#viewer .evidence-box").count() == len(boxes)
    assert page.locator("#viewer .frame").count() == len(boxes)
    assert page.locator("#question textarea").evaluate("node => node === document.activeElement")


def test_letters_lead_both_ways(page: Any) -> None:
    ask(page, "What is this?")
    finished(page)
    zoom = "window.pathcopilot.viewer.viewport.getZoom()"
    before = page.evaluate(zoom)
    page.locator("#conversation .letter", has_text="C").first.click()
    page.wait_for_function(f"{zoom} > {before} * 1.3")
    assert page.locator("#viewer .evidence-box.picked").get_attribute("data-letter") == "C"
    assert page.locator("#viewer .frame.picked").get_attribute("data-letter") == "C"
    page.locator("#conversation .letter", has_text="A").first.click()
    page.wait_for_function("document.querySelector('.evidence-box.picked')?.dataset.letter === 'A'")
    page.wait_for_timeout(700)  # the flight
    page.locator("#viewer .evidence-box[data-letter=A] .tag").click()
    picked = _texts(page, "#conversation .sentence.picked")
    assert picked
    assert all("A" in text for text in picked)
    page.locator("#viewer .frame[data-letter=D]").click()
    assert "glands look alike" in _texts(page, "#conversation .sentence.picked")[0]


def test_figures_and_what_was_struck_open_on_demand(page: Any) -> None:
    ask(page, "What is this?")
    finished(page)
    summary = page.locator("details.figures summary")
    assert summary.inner_text() == "mucosa 0.83 · set {mucosa} · novelty p 0.42 · 4 of 4 fields seen"
    assert not page.locator("details.figures table").is_visible()
    summary.click()
    assert "4,210 per mm² (3,900–4,500)" in page.locator("details.figures table").inner_text()
    page.locator("details.struck summary").click()
    assert "no finding measures Ki-67 here" in page.locator("details.struck").inner_text()
    assert "Ki-67 is 40" not in page.locator("#conversation .text").inner_text()


def test_stop_leaves_what_was_said_and_a_word_that_it_was_stopped(page: Any, engine: ScriptedEngine) -> None:
    engine.hold = 14
    ask(page, "What is this?")
    page.wait_for_function("document.querySelector('#conversation .saying')?.innerText.startsWith('Nuclei')")
    page.locator("#stop").click()
    finished(page)
    assert engine.halted_after[-1] == 14
    answer = page.locator("#conversation .answer").inner_text()
    assert "most like colon (0.91)." in answer
    assert "Stopped." in answer
    assert page.locator("#send").is_visible()
    engine.hold = None
    ask(page, "And now?")
    finished(page, 2)
    assert [turn.question for turn in engine.asked[-1].history] == ["What is this?"]


def test_escape_stops_from_the_question_box(page: Any, engine: ScriptedEngine) -> None:
    engine.hold = 5
    ask(page, "What is this?")
    page.wait_for_selector("#conversation .saying")
    page.keyboard.press("Escape")
    finished(page)
    assert "Stopped." in page.locator("#conversation .answer").inner_text()


def test_another_slide_never_shows_the_old_answer_and_the_old_slide_keeps_it(page: Any, engine: ScriptedEngine) -> None:
    engine.hold = 14
    drag_box(page, 0.3, 0.3, 0.25, 0.3)
    ask(page, "What is on the first slide?")
    page.wait_for_function("document.querySelectorAll('.evidence-box').length > 0")
    page.locator("#case [aria-label='Next slide']").click()
    page.wait_for_function("window.pathcopilot.desk.slide?.key === '1'")
    nothing_old = "!document.querySelector('.exchange, .evidence-box, .asked-box, .frame')"
    assert page.evaluate(nothing_old)
    engine.go.set()
    ask(page, "What is on the second slide?")
    finished(page)
    assert "first" not in page.locator("#conversation").inner_text()
    assert "What is on the second slide?" in page.locator("#conversation").inner_text()
    page.locator("#case [aria-label='Previous slide']").click()
    finished(page)
    assert "What is on the first slide?" in page.locator("#conversation").inner_text()
    assert "Stopped." not in page.locator("#conversation").inner_text()
    assert page.locator(".evidence-box").count() > 0
    assert page.locator(".asked-box").count() == 1


def test_a_reload_loses_nothing_even_in_the_middle_of_an_answer(page: Any, engine: ScriptedEngine) -> None:
    drag_box(page, 0.3, 0.3, 0.25, 0.3)
    page.locator("#context textarea, #context input").fill("62 years, colon biopsy")
    ask(page, "First?")
    finished(page)
    engine.hold = 14
    ask(page, "Second?")
    page.wait_for_selector("#conversation .saying")
    page.reload()
    page.wait_for_function(LOADED)
    page.wait_for_function("document.querySelector('#conversation .saying')?.innerText.startsWith('Nuclei')")
    engine.go.set()
    finished(page, 2)
    assert _texts(page, "#conversation .question") == ["First?", "Second?"]
    assert page.locator("#context textarea, #context input").input_value() == "62 years, colon biopsy"
    assert page.locator(".asked-box").count() == 1
    assert engine.asked[-1].context == "62 years, colon biopsy"


def test_names_answers_and_drafts_are_text_and_never_markup(page: Any) -> None:
    page.keyboard.press("]")
    page.wait_for_function("window.pathcopilot.desk.slide?.key === '1'")
    assert page.locator("#case select option").nth(1).inner_text() == EVIL
    ask(page, INJECTION)
    finished(page)
    assert INJECTION in page.locator("#conversation .question").inner_text()
    assert page.locator("#conversation img, #conversation script").count() == 0
    page.get_by_role("tab", name="Tests").click()
    page.locator("#tests-start").click()
    page.wait_for_function("document.querySelector('#tests').innerText.includes('CK20')")
    assert page.locator("#tests img, #tests script").count() == 0
    assert "onerror" in page.locator("#tests").inner_text()


def test_drafts_stay_with_their_slide_and_the_report_can_be_saved(page: Any) -> None:
    page.get_by_role("tab", name="Report").click()
    page.locator("#report-start").click()
    page.wait_for_function("document.querySelector('#report').innerText.includes('Specimen')")
    with page.expect_download() as saved:
        page.locator("#save-report").click()
    text = Path(saved.value.path()).read_text(encoding="utf-8")
    assert text.startswith("# Report draft")
    assert saved.value.suggested_filename == "report generated.md"
    page.get_by_role("tab", name="Worklist").click()
    page.locator("#worklist-start").click()
    page.wait_for_function("document.querySelector('#cases').innerText.includes('generated.tif')")
    assert "every one has to be read" in page.locator("#worklist").inner_text()
    page.get_by_role("tab", name="Report").click()
    page.locator("#case [aria-label='Next slide']").click()
    page.wait_for_function("!document.querySelector('#report').innerText.includes('Specimen')")
    page.locator("#case [aria-label='Previous slide']").click()
    page.wait_for_function("document.querySelector('#report').innerText.includes('Specimen')")


def test_a_slide_that_does_not_open_says_so_in_its_place(page: Any) -> None:
    page.keyboard.press("]")
    page.keyboard.press("]")
    page.wait_for_function("document.querySelector('#viewer .notice').innerText.includes('broken.svs')")
    assert not page.locator("#viewer .tools").is_visible()
    page.locator("#case select").select_option("0")
    page.wait_for_function(LOADED)


def test_the_keyboard_does_what_its_list_says(page: Any, engine: ScriptedEngine) -> None:
    page.keyboard.press("?")
    listed = _texts(page, "dialog.keys dt")
    assert {"R", "A", "1", "4", "<", ">", "0", "Esc", "?", "Enter"} <= set(listed)
    page.keyboard.press("Escape")
    assert not page.locator("dialog.keys").is_visible()

    microns = "window.pathcopilot.micronsPerPixel()"
    for key, power in (("1", 5), ("2", 10), ("3", 20)):
        page.keyboard.press(key)
        page.wait_for_function(f"Math.abs({microns} - 10 / {power}) < 0.02 * 10 / {power}")
    assert page.locator("#viewer .scale .power").inner_text() == "20×"
    assert page.locator("#viewer .tools button", has_text="40×").is_disabled()  # the scan is 20×
    page.keyboard.press(">")
    page.wait_for_function("window.pathcopilot.viewer.viewport.getRotation() === 90")
    page.keyboard.press("0")
    page.wait_for_function("window.pathcopilot.viewer.viewport.getRotation() === 0")
    page.keyboard.press("v")
    assert page.locator(".asked-box").count() == 1
    page.keyboard.press("Escape")
    assert page.locator(".asked-box").count() == 0
    page.keyboard.press("/")
    page.keyboard.type("raise 1?")  # letters in the question are letters
    assert page.locator("#question textarea").input_value() == "raise 1?"
    page.keyboard.press("Enter")
    finished(page)
    page.locator("#viewer .openseadragon-canvas").first.focus()
    page.keyboard.press("a")
    assert page.locator(".evidence-box").count() == 0
    page.keyboard.press("a")
    assert page.locator(".evidence-box").count() > 0


def test_two_boxes_make_one_question_of_two_views(page: Any, engine: ScriptedEngine) -> None:
    drag_box(page, 0.3, 0.3, 0.15, 0.2)
    page.keyboard.press("Shift+R")
    frame = page.locator("#viewer .osd").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] * 0.55, frame["y"] + frame["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.65, frame["y"] + frame["height"] * 0.7, steps=4)
    page.mouse.up()
    assert _texts(page, ".asked-box .number") == ["1", "2"]
    ask(page, "How do these differ?")
    finished(page)
    assert len(engine.asked[0].views) == 2
    assert engine.asked[0].views[0].region != engine.asked[0].views[1].region


def test_nothing_of_a_question_stays_in_the_browser(page: Any) -> None:
    ask(page, "A very particular question?")
    finished(page)
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "particular" not in stored
    assert "colon" not in stored
    assert page.evaluate("document.cookie") == ""
    assert json.loads(stored) is not None


def test_updates_come_at_most_twelve_times_a_second(page: Any, engine: ScriptedEngine) -> None:
    engine.pause, engine.sentences = 0.002, 60
    page.evaluate(
        """() => {
          window.seen = [];
          new MutationObserver(() => window.seen.push(performance.now()))
            .observe(document.querySelector('#conversation .log'), {childList: true, subtree: true});
        }"""
    )
    ask(page, "What is this?")
    finished(page)
    seen = page.evaluate("window.seen")
    busiest = max(sum(start <= other < start + 1000 for other in seen) for start in seen)
    assert busiest <= 13  # twelve intervals hold thirteen edges


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1920, 1080)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fills_the_window_and_does_not_scroll(
    chrome: Any, desk: str, width: int, height: int, scheme: str, tmp_path: Path
) -> None:
    context = chrome.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = opened(context.new_page(), desk)
    ask(page, "What is this?")
    finished(page)
    extent = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert extent == [width, height]
    slide, talk = (page.locator(part).bounding_box() for part in ("#slide-side", "#talk-side"))
    assert abs(slide["width"] / width - 2 / 3) < 0.02
    assert abs(talk["y"] + talk["height"] - height) < 1
    assert page.locator("#question").bounding_box()["y"] < height - 60
    colour = page.evaluate("getComputedStyle(document.querySelector('#talk-side')).backgroundColor")
    brightness = sum(int(part) for part in colour.strip("rgba()").split(",")[:3])
    assert (brightness < 200) == (scheme == "dark")
    for button in page.locator("#viewer .tools button").all():
        bounds = button.bounding_box()
        assert bounds["width"] >= 44
        assert bounds["height"] >= 44
    picture = tmp_path / f"desk-{scheme}-{width}.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 50_000
    context.close()


def test_a_narrow_window_stacks_the_columns(chrome: Any, desk: str) -> None:
    context = chrome.new_context(viewport={"width": 820, "height": 1180})
    page = opened(context.new_page(), desk)
    slide, talk = (page.locator(part).bounding_box() for part in ("#slide-side", "#talk-side"))
    assert slide["width"] == talk["width"] == 820
    assert talk["y"] >= slide["y"] + slide["height"] - 1
    context.close()


def test_a_slide_without_a_scale_asks_for_it(chrome: Any, shared_data: Path) -> None:
    with served(ScriptedEngine(), [shared_data / "slides" / "TCGA-CR-7395-01A-01-TS1.j2k.svs"]) as url:
        context = chrome.new_context(viewport={"width": 1366, "height": 768})
        page = opened(context.new_page(), url)
        assert page.locator("#viewer .scale .unknown").is_visible()
        assert page.locator("#viewer .tools button", has_text="20×").is_disabled()
        page.locator("#viewer .scale input").fill("0,25")
        page.locator("#viewer .scale button").click()
        page.wait_for_selector("#viewer .scale .known:not([hidden])")
        assert page.locator("#viewer .tools button", has_text="20×").is_enabled()
        assert "stated by you" in page.locator("#case .facts").inner_text()
        context.close()


def test_a_draft_on_its_way_is_found_again_after_a_reload(page: Any, engine: ScriptedEngine) -> None:
    engine.hold = 0
    page.get_by_role("tab", name="Report").click()
    page.locator("#report-start").click()
    page.wait_for_function("document.querySelector('#report').innerText.includes('Looking at the tissue')")
    page.reload()
    page.wait_for_function(LOADED)
    page.get_by_role("tab", name="Report").click()
    page.wait_for_function("document.querySelector('#report').innerText.includes('Looking at the tissue')")
    assert page.locator("#report-stop").is_visible()
    engine.go.set()
    page.wait_for_function("document.querySelector('#report').innerText.includes('Specimen')")
    assert page.locator("#save-report").is_visible()
    assert not page.locator("#report-stop").is_visible()


def test_a_draft_can_be_stopped(page: Any, engine: ScriptedEngine) -> None:
    engine.hold = -1
    page.get_by_role("tab", name="Worklist").click()
    page.locator("#worklist-start").click()
    page.locator("#worklist-stop").click()
    page.wait_for_function("document.querySelector('#worklist').innerText === 'Stopped.'")
    assert not page.locator("#worklist-stop").is_visible()


def test_a_desk_without_slides_says_how_to_open_one(chrome: Any) -> None:
    with served(ScriptedEngine(), []) as url:
        context = chrome.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_function("document.querySelector('#viewer .notice')?.innerText.includes('pathcopilot serve')")
        assert not page.locator("#conversation .loading").is_visible()
        context.close()
