"""Looking before the question: the newest box is looked at, and an older look gives way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from slides import Region
from tests.ui.scripted import ScriptedEngine
from ui.ahead import LookAhead
from ui.models import Models
from ui.rack import Rack

FIRST, SECOND = Region(100, 100, 400, 300), Region(600, 500, 400, 300)


def eventually(true: Callable[[], bool]) -> bool:
    """True as soon as the condition holds; False when it does not within ten seconds."""
    for _ in range(1000):
        if true():
            return True
        time.sleep(0.01)
    return False


def test_a_box_is_looked_at_as_the_question_would_look_at_it(generated_slide: Path) -> None:
    engine, rack = ScriptedEngine(), Rack([generated_slide])
    ahead = LookAhead(Models(engine), rack)
    ahead.look("tab", rack.shelves[0].key, (FIRST, SECOND), "colon biopsy")
    assert eventually(lambda: engine.looked == [(generated_slide.name, SECOND, "colon biopsy")])


def test_a_newer_box_takes_the_place_of_an_older_look(generated_slide: Path) -> None:
    engine, rack = ScriptedEngine(hold=-1), Rack([generated_slide])  # a look that ends only when it is halted
    ahead = LookAhead(Models(engine), rack)
    ahead.look("tab", rack.shelves[0].key, (FIRST,), None)
    assert eventually(lambda: len(engine.looked) == 1)
    ahead.look("tab", rack.shelves[0].key, (SECOND,), None)
    assert eventually(lambda: len(engine.looked) == 2)
    engine.go.set()
    assert [region for _, region, _ in engine.looked] == [FIRST, SECOND]


def test_a_slide_that_does_not_open_is_left_to_the_question(tmp_path: Path) -> None:
    (tmp_path / "broken.svs").write_bytes(b"II*\0")
    engine, rack = ScriptedEngine(), Rack([tmp_path / "broken.svs"])
    for shelf in rack.shelves:
        LookAhead(Models(engine), rack)._look(shelf.key, None, None, threading.Event())
    assert engine.looked == []
