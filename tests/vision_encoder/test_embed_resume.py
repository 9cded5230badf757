"""A killed run loses no finished block, and the run after it ends as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slides import UsageError
from vision_encoder.embed import plan
from vision_encoder.embed.encode import TorchEngine
from vision_encoder.embed.journal import Journal
from vision_encoder.embed.run import Embedded, Settings, embed_slides

from .fakes import ColourEncoder
from .made_slides import write_slide

RECORD = 16 + 8 * 6 * 4
"""Bytes of a block of 8 tiles."""


class SlowEncoder(ColourEncoder):
    """Takes its time, so that a kill comes in the middle."""

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> np.ndarray:
        time.sleep(0.01)
        return super().encode_tiles(images, mpp)


def _embed(slide: Path, out: Path, encoder: ColourEncoder) -> Embedded:
    (result,) = embed_slides(encoder, [slide], out, Settings(workers=2), engine=TorchEngine(encoder))
    assert isinstance(result, Embedded), result
    return result


def _killed_at(slide: Path, out: Path, size: int) -> None:
    """Runs in a process of its own and kills it once the journal has `size` bytes, wherever it then is."""
    process = multiprocessing.get_context("fork").Process(target=_embed, args=(slide, out, SlowEncoder()))
    process.start()
    journal = out / f".{slide.stem}.h5.partial"
    while process.is_alive() and not (journal.exists() and journal.stat().st_size >= size):
        time.sleep(0.001)
    process.kill()
    process.join()


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_kills_at_any_moment_keep_what_is_done_and_end_in_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    monkeypatch.setattr(plan, "BLOCK", 8)
    slide = write_slide(tmp_path / "slide.tif", 7000, tissue=0.9)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    total = _embed(slide, whole, ColourEncoder()).tiles
    journal, draw = killed / ".slide.h5.partial", np.random.default_rng(0)
    before = b""
    for _ in range(kills):
        _killed_at(slide, killed, len(before) + int(draw.integers(1, 3 * RECORD)))
        if (killed / "slide.h5").exists():
            break
        content = journal.read_bytes()
        assert content[: len(before)] == before[: len(content)], "what was kept is as it was"
        before = content
    encoder = ColourEncoder()
    result = _embed(slide, killed, encoder)
    assert result.kept > 0
    assert encoder.encoded == total - result.kept
    assert (killed / "slide.h5").read_bytes() == (whole / "slide.h5").read_bytes()
    assert [path.name for path in killed.iterdir()] == ["slide.h5"]


def _rows(block: int) -> np.ndarray:
    return np.random.default_rng(block).normal(size=(3 + block % 2, 5)).astype(np.float32)


@given(cut=st.integers(0, 1000), garbage=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_a_journal_cut_anywhere_keeps_every_whole_block(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    ends = []
    with Journal(path, {"slide": "a"}, 5) as journal:
        for block in (4, 0, 7, 2):
            journal.append(block, _rows(block))
            ends.append(path.stat().st_size)
    content = path.read_bytes()
    left = max(0, len(content) - cut)
    path.write_bytes(content[:left] + garbage)
    whole = [block for block, end in zip((4, 0, 7, 2), ends, strict=True) if end <= left]
    with Journal(path, {"slide": "a"}, 5) as journal:
        assert journal.blocks == frozenset(whole)
        journal.append(9, _rows(9))
        for block in (*whole, 9):
            np.testing.assert_array_equal(journal.features(block), _rows(block))
    with Journal(path, {"slide": "a"}, 5) as journal:
        assert journal.blocks == {*whole, 9}


def test_blocks_of_another_slide_or_setting_are_thrown_away(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", {"slide": "a"}, 5) as journal:
        journal.append(0, _rows(0))
    with Journal(tmp_path / "journal", {"slide": "b"}, 5) as journal:
        assert not journal.blocks


def test_one_slide_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "journal", {"slide": "a"}, 5),
        pytest.raises(UsageError, match="another run"),
    ):
        Journal(tmp_path / "journal", {"slide": "a"}, 5)


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(tmp_path / "journal", {"slide": "a"}, 5) as journal:
        journal.append(0, _rows(0))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 20, limits[1]))
            with pytest.raises(UsageError, match="what is done is kept"):
                journal.append(1, _rows(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert journal.blocks == {0}
        journal.append(2, _rows(2))
    with Journal(tmp_path / "journal", {"slide": "a"}, 5) as journal:
        assert journal.blocks == {0, 2}
        np.testing.assert_array_equal(journal.features(2), _rows(2))
