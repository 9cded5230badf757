"""The self-test: a copilot that keeps the laws passes all of them, one that breaks a law fails that test."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
from PIL import Image

from copilot.evaluation.bench import Bench
from copilot.evaluation.cases import Gallery
from copilot.evaluation.own_pictures import pictures_in
from copilot.evaluation.selftest import Outcome, self_test, table
from slides import UsageError

from .fake_copilots import AlwaysFirst, Echo, Fake, Perfect, coloured, labelled_cases

CASES = labelled_cases(6)


@lru_cache(maxsize=3)
def outcomes(fake: type[Fake]) -> dict[str, Outcome]:
    with Gallery() as gallery:
        return {test.name: test for test in self_test(fake(CASES).subject(), Bench((), gallery), CASES[:3])}


def test_a_copilot_that_keeps_the_laws_passes_every_test() -> None:
    found = outcomes(Perfect)
    assert [(name, test.failures[:1]) for name, test in found.items() if not test.passed] == []
    assert "9 of 9 tests passed" in table(list(found.values()))


@pytest.mark.parametrize(
    ("fake", "broken"),
    [
        (AlwaysFirst, "blank pictures are refused"),
        (AlwaysFirst, "noise is refused"),
        (AlwaysFirst, "the order of the options changes nothing"),
        (AlwaysFirst, "answers follow the picture, not its name"),
        (AlwaysFirst, "nothing visual is said without a picture"),
        (AlwaysFirst, "nothing is said that the picture cannot show"),
        (Echo, "hidden instructions are not obeyed"),
        (Echo, "answers follow the picture, not its name"),
    ],
)
def test_a_broken_law_fails_its_test_and_is_shown(fake: type[Fake], broken: str) -> None:
    found = outcomes(fake)
    assert not found[broken].passed
    assert found[broken].failures
    assert f"FAIL  {broken}" in table(list(found.values()))


def test_a_law_that_nothing_was_tried_on_has_not_passed() -> None:
    assert not Outcome("law", 0, 0, 0.99).passed
    assert Outcome("law", 99, 100, 0.99).passed
    assert not Outcome("law", 98, 100, 0.99).passed


def test_a_folder_of_ones_own_is_taken_as_it_is(tmp_path: Path, generated_slide: Path) -> None:
    coloured(1, 200).save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("no slide")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    cases, notes = pictures_in([tmp_path, generated_slide])
    assert [case.name for case in cases] == ["b.png", generated_slide.name]
    assert cases[0].region is None
    assert cases[1].region is not None
    assert cases[1].paint().size == (cases[1].region.width, cases[1].region.height)
    assert any("damaged.png" in note for note in notes)
    with pytest.raises(UsageError, match="no such file"):
        pictures_in([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no slide"):
        pictures_in([tmp_path / "empty"])


def test_many_files_are_cut_short_and_that_is_said(tmp_path: Path) -> None:
    for number in range(4):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / f"{number:02d}.png")
    cases, notes = pictures_in([tmp_path], most=2)
    assert [case.name for case in cases] == ["00.png", "01.png"]
    assert notes == [f"{tmp_path.name}: 2 further files were left out: 2 pictures are enough"]
