"""A language server in a process of its own: the same words as the model in this process, streamed, stopped, shown."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copilot import Copilot
from copilot.answer import Question, View
from copilot.check import Ground
from copilot.language import load_language
from copilot.language.model import Message
from copilot.speak import SHOWN_PX, speak
from copilot.statements import Statement
from slides import Evidence, Finding, Region, SetupError, UsageError, open_slide
from vision_encoder.observation import Observation

from .tiny_models import save_tiny_model

QUESTION: list[Message] = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is this?"}]


@dataclass
class Served:
    url: str
    folder: Path
    log: Path
    process: subprocess.Popen[str]

    def noted(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def serving(place: Path) -> Iterator[Served]:
    folder, log = save_tiny_model(place / "tiny", "llama"), place / "log.jsonl"
    command = [sys.executable, "-m", "tests.copilot.served_model", str(folder), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        try:
            yield Served(f"http://127.0.0.1:{int(process.stdout.readline())}/v1", folder, log, process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


def test_a_server_says_what_its_model_says_here(served: Served) -> None:
    remote, local = load_language(served.url), load_language(str(served.folder))
    assert (remote.name, remote.sha256) == (local.name, "")
    pieces = list(remote.stream(QUESTION, max_new_tokens=12))
    assert "".join(pieces) == "".join(local.stream(QUESTION, max_new_tokens=12))
    assert len(pieces) > 3


def test_its_choices_and_scores_are_of_the_options(served: Served) -> None:
    remote = load_language(served.url)
    wordings = ["The tumour is malignant.", "The tissue is normal."]
    assert "".join(remote.choose(QUESTION, "", wordings)) in wordings
    scores = remote.score(QUESTION, wordings)
    assert sum(map(math.exp, scores)) == pytest.approx(1.0)


def test_a_stop_ends_the_servers_work(served: Served) -> None:
    looks = itertools.count()
    pieces = list(load_language(served.url).stream(QUESTION, max_new_tokens=400, halted=lambda: next(looks) > 3))
    assert len(pieces) <= 4
    deadline = time.monotonic() + 30
    while not (left := [told["left_after"] for told in served.noted() if "left_after" in told]):
        assert time.monotonic() < deadline, "the server wrote on after the stop"
        time.sleep(0.05)
    assert left[0] < 400


def _ground(slide: Any) -> tuple[Ground, list[Statement]]:
    views = (View(slide, Region(600, 500, 1000, 500)), View(slide, Region(0, 0, 64, 64)))
    share = Finding("nuclear_share", value=0.23, unit="share")
    told = Evidence(slide.name, Region(600, 500, 1000, 500), slide.mpp, share)
    seen = (
        Observation(slide.name, Region(600, 500, 1000, 500), slide.mpp, (told,), 4, 4, usable=True),
        Observation(slide.name, Region(0, 0, 64, 64), slide.mpp, (), 0, 0, usable=False, reason="glass"),
    )
    statement = Statement(("Nuclei cover 23 % of the tissue.",), (0,))
    return Ground((told,), (), Question("What is this?", views), seen), [statement]


def test_pictures_are_shown_where_the_address_says_so_and_only_there(served: Served, generated_slide: Path) -> None:
    with open_slide(generated_slide) as slide:
        ground, statements = _ground(slide)
        for setting, count in (("", 0), ("?pictures", 1)):
            before = len(served.noted())
            list(speak(statements, ground, load_language(served.url + setting), wording="free", halted=lambda: False))
            told = next(line for line in served.noted()[before:] if "asked" in line)
            assert len(told["pictures"]) == count
            assert "23 %" in told["asked"][-1]["content"]
        scale = 1000 / SHOWN_PX
        width, height, kind, pixel = told["pictures"][0]
        assert (width, height, kind) == (SHOWN_PX, round(500 / scale), "JPEG")
        assert f"Picture 1, {0.5 * scale:.2f} µm/px:" in told["asked"][-1]["content"]
        there = slide.read_size(Region(600, 500, 1000, 500), (width, height))[5, 5]
        assert np.abs(there.astype(int) - pixel).max() < 40


def test_what_an_address_cannot_mean_is_told_in_one_line(served: Served) -> None:
    with pytest.raises(UsageError, match=r"\?pictures is the only one"):
        load_language(f"{served.url}?temperature=2")
    with pytest.raises(UsageError, match="--wording free"):
        Copilot.load(f"{served.url}?pictures")


def test_a_server_that_ends_is_told_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        remote = load_language(running.url)
        stream = remote.stream(QUESTION, max_new_tokens=400)
        next(stream)
        running.process.kill()
        running.process.wait()
        with pytest.raises(SetupError, match="broke off"):
            list(stream)
        with pytest.raises(SetupError, match="start its server"):
            list(remote.stream(QUESTION))
