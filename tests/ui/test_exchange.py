"""Laws of an answer on the page: letters, what is struck, stopping, and what a session remembers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from copilot.answer import Checked, Claim, Found, Question, Saying
from slides import Evidence, Finding, Region, open_slide
from tests.ui.scripted import INJECTION, ScriptedEngine
from ui import work
from ui.exchange import Exchange
from ui.models import Halted, Models
from ui.places import SLIDE, Places
from ui.rack import Rack, expand
from ui.session import REMEMBERED_TURNS, Sessions, SlideState

WHOLE = Region(0, 0, 1000, 800)


def _evidence(region: Region = WHOLE, *fields: Region, name: str = "organ") -> Evidence:
    return Evidence("slide", region, 0.5, Finding(name, "colon", probability=0.9), fields)


def _answered(rack: Rack, engine: ScriptedEngine, text: str = "What is this?", *regions: Region) -> Exchange:
    exchange = Exchange(0, "0", rack.slide("0").bounds, text, regions)
    work.answer(exchange, Models(engine), rack, lambda views: Question(text, views))
    for _ in work.follow(exchange):
        pass
    return exchange


@pytest.fixture(scope="module")
def rack(generated_slide: Path) -> Rack:
    return Rack([generated_slide])


def test_letters_follow_the_order_of_the_sentences_and_name_one_place_once() -> None:
    left, right = Region(0, 0, 100, 100), Region(500, 0, 100, 100)
    nearly_left = Region(5, 5, 100, 100)
    places = Places(WHOLE)
    places.mark(_evidence(WHOLE, right, left))
    places.mark(_evidence(WHOLE, nearly_left))
    assert places.letters(_evidence(WHOLE, right)) == ["A"]
    assert places.letters(_evidence(WHOLE, left)) == ["B"]
    assert places.letters(_evidence(WHOLE, nearly_left)) == ["B"]
    assert places.letters(_evidence(WHOLE)) == [SLIDE]
    assert [place["box"] for place in places.as_props()] == [[500, 0, 100, 100], [0, 0, 100, 100]]


def test_a_box_asked_about_is_a_place_and_letters_run_out_quietly() -> None:
    places = Places(WHOLE)
    box = Region(10, 10, 50, 50)
    places.mark(_evidence(box))
    assert places.letters(_evidence(box)) == ["A"]
    for column in range(40):
        places.mark(_evidence(Region(column * 20, 700, 10, 10)))
    assert len(places.as_props()) == 12


def test_a_class_that_abstained_is_not_written_on_a_picture() -> None:
    unsure = Finding("organ", "colon", probability=0.4, abstained=True, reason="unlike what it was trained on")
    places = Places(WHOLE)
    places.mark(Evidence("slide", WHOLE, 0.5, unsure, (Region(0, 0, 50, 50),)))
    places.mark(_evidence(WHOLE, Region(500, 500, 50, 50)))
    assert [place["name"] for place in places.as_props()] == ["organ", "organ: colon"]


def test_a_struck_sentence_is_never_among_the_sentences() -> None:
    exchange = Exchange(0, "0", WHOLE, "What?")
    exchange.take(Found(0, _evidence(WHOLE, Region(0, 0, 50, 50))))
    exchange.take(Saying("It is colon."))
    assert exchange.as_props()["saying"] == "It is colon."
    exchange.take(Checked(Claim("It is colon.", "supported", (0,))))
    exchange.take(Checked(Claim("Ki-67 is 40 %.", "struck", (), (), "nothing measures it")))
    props = exchange.as_props()
    assert [sentence["text"] for sentence in props["sentences"]] == ["It is colon."]
    assert props["sentences"][0]["letters"] == ["A"]
    assert props["saying"] == ""
    assert props["struck"] == [{"text": "Ki-67 is 40 %.", "reason": "nothing measures it"}]


def test_the_finished_exchange_says_exactly_what_the_answer_says(rack: Rack) -> None:
    exchange = _answered(rack, ScriptedEngine())
    answer = exchange.answer
    assert answer is not None
    props = exchange.as_props()
    assert " ".join(sentence["text"] for sentence in props["sentences"]) == answer.text
    assert len(props["figures"]) == len(answer.evidence)
    assert all(x >= 0 and y >= 0 for x, y, _, _ in (place["box"] for place in props["places"]))
    assert INJECTION in answer.text


def test_a_stop_ends_the_engine_within_one_word(rack: Rack) -> None:
    engine = ScriptedEngine(pause=0.01, sentences=50)
    exchange = Exchange(0, "0", rack.slide("0").bounds, "What?")
    said: list[str] = []
    take = exchange.take

    def counted(event: object) -> None:
        take(event)  # type: ignore[arg-type]
        if isinstance(event, Saying):
            said.append(event.text)
            if len(said) == 5:
                exchange.halt.set()

    exchange.take = counted  # type: ignore[assignment]
    work.answer(exchange, Models(engine), rack, lambda views: Question("What?", views))
    for _ in work.follow(exchange):
        pass
    assert len(said) == 5
    assert exchange.as_props()["stopped"]


def test_a_failing_engine_is_one_line_and_tells_no_path(rack: Rack, capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(ScriptedEngine):
        def ask(self, question: Question, **how: object) -> object:  # type: ignore[override]
            raise RuntimeError("/home/someone/secret.svs")

    exchange = _answered(rack, Failing())
    error = exchange.as_props()["error"]
    assert "RuntimeError" in error
    assert "secret" not in error
    assert "secret.svs" not in capsys.readouterr().err


def test_one_question_uses_the_models_at_a_time_and_a_stop_ends_the_wait() -> None:
    models = Models(ScriptedEngine())
    waited: list[str] = []
    with models.turn(waited.append, lambda: False):
        halted = threading.Event()
        halted.set()
        with pytest.raises(Halted), models.turn(waited.append, halted.is_set):
            pytest.fail("two at once")
    assert waited == ["Finishing an earlier look or question first"]
    with models.turn(waited.append, lambda: False):
        pass


def test_models_that_do_not_load_say_so(rack: Rack) -> None:
    def broken() -> ScriptedEngine:
        raise ImportError("no torch at /opt/secret")

    exchange = Exchange(0, "0", rack.slide("0").bounds, "What?")
    work.answer(exchange, Models(broken), rack, lambda views: Question("What?", views))
    for _ in work.follow(exchange):
        pass
    assert "ImportError" in exchange.as_props()["error"]
    assert "secret" not in exchange.as_props()["error"]


def test_later_questions_take_the_last_turns_along(rack: Rack) -> None:
    state = SlideState()
    for number in range(REMEMBERED_TURNS + 2):
        state.exchanges.append(_answered(rack, ScriptedEngine(), f"Question {number}?"))
    history = state.history()
    assert [turn.question for turn in history] == [f"Question {n}?" for n in range(2, REMEMBERED_TURNS + 2)]
    assert state.running is None


def test_sessions_know_their_keys_and_forget_the_oldest() -> None:
    sessions = Sessions()
    mine = sessions.get("a" * 43)
    assert sessions.get("a" * 43) is mine
    assert sessions.get("b" * 43) is not mine
    assert sessions.get("../../etc") is not sessions.get("../../etc")
    for number in range(100):
        sessions.get(f"{number:043d}")
    assert sessions.get("a" * 43) is not mine


def test_drafts_end_when_they_are_halted(rack: Rack) -> None:
    kept: list[str] = []
    drafting = work.Drafting(
        None,
        Models(ScriptedEngine(pause=0.2)),
        lambda engine, tell: engine.suggest([], context=None, given=(), progress=tell),
        kept.append,
    )
    drafting.halt.set()
    *_, (text, over) = drafting.follow()
    assert (text, over) == ("Stopped.", True)
    assert kept == []


def test_markdown_of_a_draft_holds_no_markup_and_no_picture() -> None:
    plain = work.plain_markdown("<b>x</b> ![y](http://evil.example/y.png) a < b")
    assert "<" not in plain
    assert "![" not in plain


def test_a_folder_stands_for_its_slides_and_names_tell_no_folder(tmp_path: Path, generated_slide: Path) -> None:
    case = tmp_path / "Doe, Jane"
    dicom = case / "series"
    dicom.mkdir(parents=True)
    (dicom / "1.dcm").write_bytes(b"")
    for name in ("b.svs", "a.tif", "notes.txt", ".hidden.svs"):
        (case / name).write_bytes(b"")
    assert [path.name for path in expand([case])] == ["a.tif", "b.svs", "series"]
    rack = Rack([case, generated_slide, generated_slide])
    assert list(rack.names.values()) == ["a.tif", "b.svs", "series", "generated.tif", "generated.tif (2)"]
    assert "Doe" not in str(rack.describe("0"))
    assert rack.describe("0")["error"]
    assert rack.describe("3")["error"] is None


def test_a_stated_scale_is_known_as_the_users(shared_data: Path) -> None:
    rack = Rack([shared_data / "slides" / "TCGA-CR-7395-01A-01-TS1.j2k.svs"])
    assert rack.describe("0")["mpp"] is None
    rack.state_mpp("0", 0.25)
    described = rack.describe("0")
    assert (described["mpp"], described["mpp_source"]) == (0.25, "user")
    with open_slide(rack.paths[0]) as again:
        assert again.mpp is None
