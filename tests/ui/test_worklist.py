"""The worklist in the desk: ranked cases, releases one click away, overrides with a reason, all of it in the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from copilot.answer import Looking, Question, View
from copilot.store import Store
from copilot.triage.certificate import Certificate, certify
from copilot.triage.drift import refer
from copilot.triage.profile import Profile, measure_profile
from copilot.triage.scorer import HeadScorer
from slides import SetupError, UsageError, open_slide
from tests.conftest import paint_tissue
from tests.copilot.observed import observation
from ui import work
from ui.cases import Cases, Triage, open_triage
from ui.exchange import Exchange
from ui.models import Models
from ui.rack import Rack
from vision_encoder.observation import Observation

from .scripted import ScriptedEngine
from .serving import browser, opened, served

SCORES = {"low.png": 0.02, "lower.png": 0.01, "high.png": 0.9, "middle.png": 0.4}


class ScoringEngine(ScriptedEngine):
    """Sees in each slide the score that `SCORES` holds for its name."""

    def observe(
        self, view: View, *, context: str | None, halted: Callable[[], bool]
    ) -> Generator[Looking, None, Observation]:
        yield Looking("Looking at the tissue", 0, 1)
        score = SCORES[view.slide.name]
        seen = observation(view.slide.name, {"malignant": score, "normal": 1 - score})
        return replace(seen, mpp=view.slide.mpp)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("worklist")
    paths = []
    for seed, name in enumerate(SCORES):
        paint_tissue(640, 512, seed=seed).save(folder / name)
        paths.append(folder / name)
    broken = folder / "broken.png"
    broken.write_bytes(b"")
    return [*paths, broken]


def certified(slides: list[Path]) -> Certificate:
    """λ just under 0.3, for slides like these; nothing is drawn for the audit."""
    profiles: list[tuple[Profile, bool]] = []
    for path in slides[:-1]:
        with open_slide(path) as slide:
            profiles += [(measure_profile(slide, observation(slide.name)), True)] * 10
    return certify(
        [0.3] * 40,
        [0.1] * 10,
        sensitivity=0.9,
        confidence=0.95,
        data={"name": "labels.csv", "sha256": "b" * 64, "slides": 50, "patients": 50},
        made="2026-11-24",
        scorer={"name": HeadScorer.name, "hashes": {"pathcopilot": version("pathcopilot")}},
        reference=refer(profiles),
        audit_share=0.0,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite3") as kept:
        yield kept


@pytest.fixture
def cases(slides: list[Path], store: Store) -> Cases:
    return Cases(Rack(slides), store, certified(slides))


def by_status(cases: Cases) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for case in cases.as_props()["cases"]:
        found.setdefault(case["status"], []).append(case["slides"][0]["name"])
    return found


def test_cases_stand_in_order_and_what_is_below_is_released(cases: Cases) -> None:
    assert cases.as_props()["cases"] == []
    assert cases.as_props()["unranked"] == 5
    told = cases.rank(ScoringEngine(), lambda text: None).markdown()
    assert told == "5 slides ranked, 2 released, 0 drawn for the audit."
    assert by_status(cases) == {
        "to read": ["broken.png", "high.png", "middle.png"],
        "released": ["low.png", "lower.png"],
    }
    props = cases.as_props()
    assert props["certificate"]["n_positives"] == 40
    assert props["certificate"]["refused"] is None
    assert props["unranked"] == 0
    assert all(case["slides"][0]["fields"] for case in props["cases"] if case["score"] is not None)


def test_a_release_is_taken_back_with_a_reason_and_logged(cases: Cases, store: Store) -> None:
    cases.rank(ScoringEngine(), lambda text: None)
    case = next(item["id"] for item in cases.as_props()["cases"] if item["slides"][0]["name"] == "low.png")
    with pytest.raises(UsageError, match="say why"):
        cases.override(case, "recalled", " ")
    cases.override(case, "recalled", "clinical suspicion")
    assert by_status(cases)["recalled"] == ["low.png"]
    (shown,) = [item for item in cases.as_props()["cases"] if item["id"] == case]
    assert [entry["what"] for entry in shown["log"]] == ["released", "release overridden"]
    assert shown["log"][-1]["why"] == "clinical suspicion"
    assert shown["log"][-1]["who"].startswith("desk")
    assert store.first_broken_entry() is None


def test_signing_out_enters_the_truth_for_the_audit(cases: Cases, store: Store) -> None:
    cases.rank(ScoringEngine(), lambda text: None)
    certificate = cases.as_props()["certificate"]["sha256"]
    for item in cases.as_props()["cases"]:
        if item["score"] is not None:
            cases.sign_out(item["id"], positive=True)
    reviews = store.reviews(certificate)
    assert [review.missed for review in reviews] == [False, False, True, True]
    assert all(review.positive for review in reviews)
    assert by_status(cases)["read"] == ["high.png", "middle.png", "low.png", "lower.png"]


def test_another_desk_on_the_same_store_finds_the_cases_without_looking(
    cases: Cases, slides: list[Path], store: Store
) -> None:
    cases.rank(ScoringEngine(), lambda text: None)
    later = Cases(Rack(slides), store, certified(slides))
    assert later.as_props()["cases"] == []
    later.recall()
    assert by_status(later)["released"] == ["low.png", "lower.png"]
    elsewhere = Cases(Rack(slides[:1]), store, certified(slides))
    elsewhere.recall()
    assert by_status(elsewhere) == {"released": ["low.png"]}, "only slides of this desk are shown"


def test_two_files_of_one_content_are_one_case(slides: list[Path], store: Store, tmp_path: Path) -> None:
    copy = tmp_path / "low.png"
    copy.write_bytes(slides[0].read_bytes())
    for kept in (store, None):
        cases = Cases(Rack([slides[0], copy]), kept)
        cases.rank(ScoringEngine(), lambda text: None)
        shown = [slide["name"] for case in cases.as_props()["cases"] for slide in case["slides"]]
        assert shown == ["low.png", "low.png (2)"]
        assert len(cases.as_props()["cases"]) == (1 if kept else 2)


def test_without_a_store_it_ranks_and_keeps_nothing(slides: list[Path]) -> None:
    cases = Cases(Rack(slides), None, certified(slides))
    assert "every one has to be read" in cases.rank(ScoringEngine(), lambda text: None).markdown()
    assert by_status(cases) == {"to read": ["broken.png", "high.png", "middle.png", "low.png", "lower.png"]}
    with pytest.raises(UsageError, match="no case store"):
        cases.override("case-0", "recalled", "why")


def test_a_conversation_is_kept_with_its_slide_and_without_its_name(
    cases: Cases, slides: list[Path], store: Store, tmp_path: Path
) -> None:
    rack, models = Rack(slides), Models(ScriptedEngine())
    exchange = Exchange(0, "0", rack.slide("0").whole, "What is this?")
    done = threading.Event()

    def keep(finished: Exchange) -> None:
        cases.keep(finished)
        done.set()

    work.answer(exchange, models, rack, lambda views: Question("What is this?", views), keep)
    assert done.wait(30)
    ((question, answer),) = store.conversation(rack.slide("0").fingerprint)
    assert question == "What is this?"
    assert answer["answer"] == exchange.answer.text  # type: ignore[union-attr]
    assert answer["evidence"][0]["finding"] == "organ"
    store.close()
    for file in tmp_path.iterdir():
        assert b"low.png" not in file.read_bytes()
    Cases(rack).keep(exchange)  # without a store it is nothing


def test_a_stop_keeps_what_was_looked_at_and_nothing_half_seen(cases: Cases, store: Store) -> None:
    steps: list[str] = []

    def tell(text: str) -> None:
        steps.append(text)
        if len(steps) == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        cases.rank(ScoringEngine(), tell)
    assert store.worklist() == []
    assert cases.as_props()["cases"] == []


@pytest.mark.browser
def test_the_page_shows_certificate_gallery_releases_and_takes_a_reason(slides: list[Path], store: Store) -> None:
    triage = Triage(store, certified(slides))
    with browser() as chrome, served(ScoringEngine(), slides, triage=triage) as url:
        page: Any = chrome.new_page(viewport={"width": 1440, "height": 900})
        broken: list[str] = []
        page.on("pageerror", lambda error: broken.append(str(error)))
        opened(page, url)
        page.get_by_role("tab", name="Worklist").click()
        page.locator("#worklist-start").click()
        page.locator("#cases .case").first.wait_for()
        shown = page.locator("#cases > .html-container .list > .case .name, #cases .list > .case .name")
        assert shown.all_inner_texts() == ["broken.png", "high.png", "middle.png"]
        assert "n = 40" in page.locator("#cases .certificate summary").inner_text()
        assert "no malignancy" not in page.locator("#cases").inner_text().lower()
        page.wait_for_function(
            "[...document.querySelectorAll('#cases .list > .case .field img')].every((image) => image.naturalWidth)"
        )

        page.locator("#cases .group.released > summary").click()
        released = page.locator("#cases .group.released .case")
        assert released.count() == 2
        released.first.locator(".recall summary").click()
        assert released.first.locator("form button").is_disabled()
        released.first.locator("form input").fill("clinical suspicion <b>")
        released.first.locator("form button").click()
        page.wait_for_function("document.querySelectorAll('#cases .group.released .case').length === 1")
        assert page.locator("#cases .case[data-status=recalled] .name").inner_text() == "low.png"
        assert page.locator("#cases b b").count() == 0

        page.locator("#cases .case[data-status=recalled] .field").first.click()
        page.wait_for_function("window.pathcopilot.desk.slide?.name === 'low.png'")
        page.locator("#cases .case .name", has_text="high.png").click()
        page.wait_for_function("window.pathcopilot.desk.slide?.name === 'high.png'")
        page.locator("#cases .case", has_text="high.png").get_by_role("button", name="not positive").click()
        page.locator("#cases .group.done").wait_for()

        page.reload()
        page.get_by_role("tab", name="Worklist").click()
        page.locator("#cases .case[data-status=recalled]").wait_for()
        assert page.locator("#cases .group.done summary").first.inner_text() == "Signed out: 1"
        assert broken == []


def test_only_a_store_that_nobody_named_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATHCOPILOT_STORE", "/proc/none/store.sqlite3")
    assert open_triage(None, None, None) == Triage()
    with pytest.raises(SetupError):
        open_triage("/proc/none/store.sqlite3", None, None)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(UsageError, match="no certificate"):
        open_triage(None, tmp_path / "c.json", None)
