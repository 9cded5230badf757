"""What is seen is the same in training as in a live answer, and is shown to a model only where it learned to see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copilot.answer import Question
from copilot.check import Ground
from copilot.engine import Copilot
from copilot.language.decoding import LocalModel
from copilot.language.model import Message
from copilot.speak import speak
from copilot.statements import Statement
from copilot.tuning.seen import features_of
from slides import Evidence, Finding, Region, UsageError, open_slide
from tests.conftest import paint_tissue
from vision_encoder.catalog import load_encoder
from vision_encoder.look import load_eye
from vision_encoder.observation import Observation

from .scripted_model import ScriptedModel
from .tuning_data import silent, write_data

BOX = Region(0, 0, 512, 512)
EVIDENCE = (Evidence("a.svs", BOX, 0.5, Finding("organ", label="colon", probability=0.91)),)
SAID = [Statement(("The picture favours colon as the organ (0.91).",), (0,))]


class Listening(ScriptedModel):
    """Remembers what it was asked."""

    def __init__(self, *sees: str) -> None:
        super().__init__()
        self.sees = sees
        self.asked: list[Message] = []

    def stream(self, messages: Sequence[Message], **settings: Any) -> Iterator[str]:
        self.asked = list(messages)
        yield ""


def asked(model: Listening, gist: np.ndarray | None) -> Message:
    seen = Observation("a.svs", BOX, 0.5, EVIDENCE, 4, 4, True, gist=gist)
    ground = Ground(EVIDENCE, (), Question("Which organ?"), (seen,))
    list(speak(SAID, ground, model, wording="free", halted=lambda: False))
    return model.asked[-1]


def test_pictures_go_to_a_model_that_sees_and_findings_to_one_that_reads() -> None:
    gist = np.arange(4, dtype=np.float32)
    reads = asked(Listening("records"), gist)
    assert "pictures" not in reads
    assert "colon" in reads["content"]
    sees = asked(Listening("pictures"), gist)
    assert [(picture.feature.tolist(), picture.mpp) for picture in sees["pictures"]] == [(gist.tolist(), 0.5)]
    assert sees["content"] == "Which organ?"
    both = asked(Listening("records", "pictures"), gist)
    assert "pictures" in both
    assert "colon" in both["content"]
    assert "pictures" not in asked(Listening("records", "pictures"), None)  # where nothing was seen


def test_training_sees_what_looking_sees(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", pictures=True)
    wide = paint_tissue(900, 700, seed=5)
    wide.save(data / "pictures" / "set__wide.png")
    eye = load_eye()
    scales = {"set/tile 0": 0.5, "set/wide": 0.5, "set/tile 1": None}
    found = features_of(scales, data, eye.encoder, silent, cache=tmp_path / "cache")
    for name, mpp in scales.items():
        path = next((data / "pictures").glob(name.replace("/", "__") + ".*"))
        with open_slide(path, mpp=mpp, probe=False) as slide:
            looking = eye.look(slide)
            while True:
                try:
                    next(looking)
                except StopIteration as end:
                    seen: Observation = end.value
                    break
        assert seen.gist is not None
        np.testing.assert_allclose(found[name], seen.gist, atol=1e-4)


def test_features_are_kept_for_the_same_pictures(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", pictures=True)
    encoder = load_encoder("embedded")
    looked: list[int] = []

    def progress(what: str, done: int, total: int) -> None:
        looked.append(done)

    first = features_of({"set/tile 0": 0.5}, data, encoder, progress, cache=tmp_path / "cache")
    again = features_of({"set/tile 0": 0.5}, data, encoder, progress, cache=tmp_path / "cache")
    assert looked == [1]
    assert np.array_equal(first["set/tile 0"], again["set/tile 0"])
    paint_tissue(256, 256, seed=40).save(data / "pictures" / "set__tile 0.jpg")
    other = features_of({"set/tile 0": 0.5}, data, encoder, progress, cache=tmp_path / "cache")
    assert not np.array_equal(first["set/tile 0"], other["set/tile 0"])


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", pictures=True)
    (data / "pictures" / "set__tile 0.jpg").write_bytes(b"\xff\xd8 cut")
    with pytest.raises(UsageError, match=r"picture set__tile 0\.jpg cannot be read"):
        features_of({"set/tile 0": 0.5}, data, load_encoder("embedded"), silent, cache=tmp_path / "cache")


def test_a_model_that_sees_by_another_encoder_is_refused() -> None:
    class Unread(LocalModel):
        """Is not read ahead."""

        def read(self, messages: Sequence[Message]) -> None:
            """Nothing."""

    model = Unread("tuned", "", None, None, sees=("pictures",), encoder_sha256="0" * 64)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="tuned was tuned to see by another encoder"):
        Copilot.load(model)
