"""The whole way with an encoder that is not ours: a file, features, heads that refuse, and an answer nonetheless."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from copilot.language import convert
from slides import SetupError
from slides.files import sha256_of
from ui.command import main
from vision_encoder import load_encoder
from vision_encoder.heads import load_heads
from vision_encoder.retrieval import load_atlas
from vision_encoder.shipped import MadeForAnother

from ..vision_encoder.library_models import (
    TINY_CLIP,
    TISSUE,
    need_libraries,
    obey_the_laws,
    open_clip_repository,
    tiny_timm,
)
from .test_no_network import guarded


@pytest.fixture(autouse=True)
def language_model() -> None:
    try:
        convert.find_gguf()
    except SetupError as error:
        pytest.skip(str(error))


def answer(
    encoder: str, slide: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    words = ["ask", str(slide), "--region", "600,500,700,600", "--question", "what is this?", "--json"]
    monkeypatch.setattr(sys, "argv", ["pathcopilot", *words, "--encoder", encoder])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


@pytest.fixture(params=["timm", "open_clip"])
def encoder_name(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A model of each library with random weights in a file."""
    need_libraries()
    if request.param == "timm":
        return f"timm:test_vit@{tiny_timm(tmp_path)}"
    return f"open_clip:{TINY_CLIP}@{open_clip_repository(tmp_path) / 'open_clip_model.safetensors'}"


def test_another_librarys_model_goes_the_whole_way(
    encoder_name: str, generated_slide: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(encoder_name)
    obey_the_laws(encoder, *((64, 160) if encoder_name.startswith("timm") else (32, 64)))
    for load in (load_heads, load_atlas):
        with pytest.raises(MadeForAnother, match=encoder.name):
            load(encoder)
    told = answer(encoder_name, generated_slide, capsys, monkeypatch)
    assert told["abstained"]
    assert told["model"]["encoder"] == encoder.name
    assert told["model"]["weights_sha256"]["encoder"] == sha256_of(Path(encoder_name.partition("@")[2]))
    assert "heads" not in told["model"]["weights_sha256"]
    assert any("No heads were trained" in note and encoder.name in note for note in told["notes"])
    found = {item["finding"] for item in told["evidence"]}
    assert {"nuclei_density", "tissue_share"} <= found
    assert not {"organ", "category", "stain", "resembles"} & found
    assert [claim for claim in told["claims"] if claim["status"] == "supported"]


def test_an_encoder_that_is_not_here_is_refused_without_a_call_to_the_hub(generated_slide: Path) -> None:
    need_libraries()
    done = guarded("ask", str(generated_slide), "--question", "what is this?", "--encoder", "hf-hub:MahmoodLab/UNI2-h")
    assert "CALLED OUT" not in done.stderr
    assert done.returncode == 2
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("pathcopilot: ")]
    assert len(said) == 1
    assert "accept its terms at https://huggingface.co/MahmoodLab/UNI2-h" in said[0]


def test_the_baseline_can_be_asked(
    generated_slide: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = answer("imagenet", generated_slide, capsys, monkeypatch)
    baseline, default = load_encoder("imagenet"), load_encoder("embedded")
    assert told["model"]["encoder"] == "imagenet"
    refused = any("No heads were trained" in note for note in told["notes"])
    assert refused == (baseline.sha256 != default.sha256)
    assert baseline.encode_tiles(TISSUE).shape == (3, 1280)
