"""Chat models of transformers: found on this machine, hashed, quantised; never fetched."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest

from copilot.language import load_language
from copilot.language.hub import weights_sha256
from copilot.language.model import Message
from slides import SetupError, UsageError

from .tiny_models import save_tiny_model

QUESTION: list[Message] = [{"role": "user", "content": "What is this?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny-llama", "llama")


def test_a_folder_gives_its_name_and_the_hash_of_its_weights(folder: Path) -> None:
    model = load_language(str(folder))
    assert model.name == "tiny-llama"
    assert model.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_several_files_have_one_hash_that_any_of_them_changes(tmp_path: Path) -> None:
    (tmp_path / "model-1.safetensors").write_bytes(b"one")
    (tmp_path / "model-2.safetensors").write_bytes(b"two")
    before = weights_sha256(tmp_path)
    (tmp_path / "model-2.safetensors").write_bytes(b"other")
    assert weights_sha256(tmp_path) != before


def test_weights_in_the_hubs_cache_are_named_by_their_hash(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / digest).write_bytes(b"weights")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(tmp_path / "blobs" / digest)
    assert weights_sha256(tmp_path / "snapshot") == digest


@pytest.mark.parametrize(("bits", "kind"), [("4bit", "Linear4bit"), ("8bit", "Linear8bitLt")])
def test_quantised_weights_answer(folder: Path, bits: str, kind: str) -> None:
    if not all(importlib.util.find_spec(package) for package in ("bitsandbytes", "accelerate")):
        pytest.skip('bitsandbytes is not installed: pip install "pathcopilot[quantised]"')
    model = load_language(str(folder), quantise=bits)
    linear = model._network._model.model.layers[0].mlp.up_proj  # type: ignore[attr-defined]
    assert type(linear).__name__ == kind
    assert getattr(linear.weight, "quant_type", "nf4") == "nf4"
    wordings = ["The tumour is malignant.", "The tissue is normal."]
    assert "".join(model.choose(QUESTION, "", wordings)) in wordings
    assert all(score < 0 for score in model.score(QUESTION, wordings))


def test_four_bits_without_their_package_name_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "bitsandbytes" else real(name, *rest)
    )
    with pytest.raises(SetupError, match=r"pip install .*quantised"):
        load_language(str(folder), quantise="4bit")


def test_a_model_without_a_chat_template_is_no_chat_model(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in folder.iterdir():
        if file.name != "chat_template.jinja":
            (bare / file.name).write_bytes(file.read_bytes())
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match="instruct"):
        load_language(str(bare))


def test_cut_weights_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in folder.iterdir():
        (cut / file.name).write_bytes(file.read_bytes()[: 100 if file.suffix == ".safetensors" else None])
    with pytest.raises(SetupError) as told:
        load_language(str(cut))
    assert "\n" not in str(told.value)
