"""A slide is looked at once: what is remembered is what was seen, to the last bit, and only by what made it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from copilot import Copilot
from copilot.answer import Answer, Done, Looking, Question, View
from slides import Slide
from slides.open import open_slide
from tests.copilot.scripted_model import ScriptedModel
from tests.vision_encoder.fakes import ColourEncoder, FixedAtlas, FixedHeads
from tests.vision_encoder.made_slides import write_slide
from vision_encoder.look import Eye
from vision_encoder.memory import InProcess, pack_observation, unpack_fields, unpack_observation


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide(tmp_path_factory.mktemp("slide") / "patient.tif", 5120, mpp=0.5, tissue=0.8)


@pytest.fixture
def slide(path: Path):
    with open_slide(path) as opened:
        yield opened


class Counting(InProcess):
    """Memory whose bytes can be looked at."""

    def all(self) -> bytes:
        return b"".join(repr(key).encode() + payload for key, payload in self._kept.items())


def answered(memory: InProcess, slide: Slide, **more: str) -> tuple[Answer, int, int]:
    """An answer, how many tiles were encoded for it, and how many reads of pixels it took."""
    encoder = ColourEncoder()
    copilot = Copilot(Eye(encoder, FixedHeads(), FixedAtlas(), memory=memory), ScriptedModel())
    events = list(copilot.ask(Question("Is there tumour, and where?", (View(slide),), **more)))
    assert isinstance(events[-1], Done)
    looks = sum(len(event.looks) for event in events if isinstance(event, Looking))
    return events[-1].answer, encoder.encoded, looks


def without_times(answer: Answer) -> bytes:
    told = answer.as_json()
    del told["timings_s"]
    return json.dumps(told).encode()


def test_an_answer_from_memory_is_the_answer_without_it_and_reads_nothing(slide: Slide) -> None:
    memory = InProcess()
    first, encoded, looks = answered(memory, slide)
    again, encoded_again, looks_again = answered(memory, slide)
    afresh, _, _ = answered(InProcess(), slide)
    assert encoded > 0
    assert looks > 0
    assert encoded_again == looks_again == 0
    assert without_times(first) == without_times(again) == without_times(afresh)
    assert first.evidence == again.evidence
    assert first.looks == again.looks


def test_with_another_organ_stated_the_fields_are_not_encoded_again(slide: Slide) -> None:
    memory = InProcess()
    answered(memory, slide)
    known, encoded, _ = answered(memory, slide, context="Biopsy of the breast.")
    afresh, _, _ = answered(InProcess(), slide, context="Biopsy of the breast.")
    assert encoded == 0
    assert without_times(known) == without_times(afresh)


def test_another_encoder_head_or_scale_finds_nothing(path: Path, slide: Slide) -> None:
    memory = InProcess()
    answered(memory, slide)

    class Other(ColourEncoder):
        sha256 = "9" * 64

    encoder = Other()
    looking = Eye(encoder, FixedHeads(), FixedAtlas(), memory=memory).look(slide)
    assert len(list(looking)) > 1
    assert encoder.encoded > 0
    with open_slide(path, mpp=0.25) as other:
        assert answered(memory, other)[2] > 0


def test_a_copy_under_another_name_is_known_and_called_by_its_own(path: Path, slide: Slide, tmp_path: Path) -> None:
    memory = Counting()
    answered(memory, slide)
    assert b"patient" not in memory.all()
    copy = tmp_path / "renamed.tif"
    copy.write_bytes(path.read_bytes())
    with open_slide(copy) as renamed:
        answer, encoded, _ = answered(memory, renamed)
    assert encoded == 0
    assert {item.slide for item in answer.evidence} == {"renamed.tif"}


def test_a_stopped_look_is_not_remembered(slide: Slide) -> None:
    memory = Counting()
    list(Eye(ColourEncoder(), FixedHeads(), None, memory=memory).look(slide, halted=lambda: True))
    assert not memory.all()


def test_what_is_damaged_is_looked_at_again(slide: Slide) -> None:
    class Torn(InProcess):
        def memory(self, slide: str, kind: str, made_by: str) -> bytes | None:
            payload = super().memory(slide, kind, made_by)
            return None if payload is None else payload[: len(payload) // 2]

    torn = Torn()
    first, _, _ = answered(torn, slide)
    again, encoded, _ = answered(torn, slide)
    assert encoded > 0
    assert without_times(first) == without_times(again)
    assert unpack_observation(b"", "a") is None
    assert unpack_fields(b"nothing of ours") is None


def test_an_observation_comes_back_to_the_last_bit(slide: Slide) -> None:
    looking = Eye(ColourEncoder(), FixedHeads(), FixedAtlas()).look(slide)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            seen = end.value
            break
    known = unpack_observation(pack_observation(seen), slide.name)
    assert known == seen
    np.testing.assert_array_equal(known.gist, seen.gist)


def test_memory_in_the_process_lets_the_oldest_go() -> None:
    memory = InProcess(most=10)
    for number in range(4):
        memory.remember("slide", f"kind {number}", b"1234", "maker")
        memory.memory("slide", "kind 0", "maker")
    assert memory.memory("slide", "kind 0", "maker") == b"1234"
    assert memory.memory("slide", "kind 1", "maker") is None
    assert memory.memory("slide", "kind 3", "maker") == b"1234"


def test_a_case_store_remembers_as_well_from_one_process_to_the_next(slide: Slide, tmp_path: Path) -> None:
    from copilot.store.store import Store

    place = tmp_path / "store.sqlite3"
    with Store(place, key=tmp_path / "key") as store:
        first, _, _ = answered(store, slide)
    with Store(place, key=tmp_path / "key") as store:
        again, encoded, looks = answered(store, slide)
    assert encoded == looks == 0
    assert without_times(first) == without_times(again)
