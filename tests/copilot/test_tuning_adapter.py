"""A tuned adapter in the product: merged it is what peft makes of it, and it is put on no other model than its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from copilot.language import adapter as adapters
from copilot.language import embedded, load_language
from copilot.language.adapter import read_adapter
from copilot.language.convert import GGUF_SHA256
from copilot.language.llama import LlamaNetwork
from copilot.language.model import Message
from copilot.tuning.base import Base, load_base
from copilot.tuning.recipe import Recipe, Stage
from copilot.tuning.student import learned, student_of
from copilot.tuning.written import write_adapter
from slides import SetupError

from .tiny_models import save_tiny_model
from .tuning_data import TUNE, Bench, write_data

QUESTION: list[Message] = [{"role": "user", "content": "Which organ is it?"}]
WORDINGS = ["It favours the colon.", "It favours the lung.", "The picture is normal."]
RECIPE = Recipe("tests", "", (Stage("tune", 1),), rank=4, alpha=8)
FAMILIES = ("llama", "qwen2", "gemma2", "gemma3")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {family: save_tiny_model(place / family, family) for family in FAMILIES}


def stirred(base: Base) -> Any:
    """A student whose adapter changes what it says."""
    student = student_of(base, RECIPE, None)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in learned(student).values():
            weight += 0.1 * torch.randn(weight.shape, generator=draw)
    return student.eval()


def written(folder: Path, base: Base, **changed: str) -> Path:
    card = {"recipe": "tests", "base": {"name": base.name, "sha256": base.sha256, **changed}}
    write_adapter(folder, stirred(base), card)
    return folder


def test_merged_logits_are_those_of_pefts_merged_model(folders: dict[str, Path], tmp_path: Path) -> None:
    from peft import PeftModel

    base = load_base(str(folders["llama"]), "")
    folder = written(tmp_path / "adapter", base)
    ids = list(range(5, 60))
    network = LlamaNetwork(folders["llama"], read_adapter(folder))
    ours = network.extend(ids, range(-1, len(ids) - 1), range(len(ids)))
    plain = LlamaNetwork(folders["llama"]).extend(ids, range(-1, len(ids) - 1), range(len(ids)))
    merged = PeftModel.from_pretrained(load_base(str(folders["llama"]), "").model, str(folder)).merge_and_unload()
    with torch.no_grad():
        theirs = merged(torch.tensor([ids])).logits[0]
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(plain, theirs, atol=1e-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_tuned_and_loaded_by_the_folder(family: str, folders: dict[str, Path], tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", pictures=True)
    card = Bench(folders[family], data, tmp_path)({**TUNE, "steps": 4, "rate": 2e-2}, sees=["records", "pictures"])
    assert card["looked"][-1]["loss"] < card["looked"][0]["loss"]
    tuned, plain = load_language(str(tmp_path / "out")), load_language(str(folders[family]))
    assert tuned.name == f"{family} (small)"
    assert tuned.sha256 == card["files"]["adapter_model.safetensors"]
    assert tuned.score(QUESTION, WORDINGS) != plain.score(QUESTION, WORDINGS)
    assert "".join(tuned.choose(QUESTION, "", WORDINGS)) in WORDINGS


@pytest.mark.parametrize("family", FAMILIES)
def test_four_bit_weights_are_tuned_and_answer(family: str, folders: dict[str, Path], tmp_path: Path) -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip('bitsandbytes is not installed: pip install "pathcopilot[quantised]"')
    data = write_data(tmp_path / "data")
    card = Bench(folders[family], data, tmp_path)({**TUNE, "steps": 4, "rate": 2e-2}, quantise="4bit")
    assert card["base"]["quantised"] == "4bit"
    assert card["looked"][-1]["loss"] < card["looked"][0]["loss"]
    tuned = load_language(str(tmp_path / "out"), quantise="4bit")
    assert "".join(tuned.choose(QUESTION, "", WORDINGS)) in WORDINGS


def test_an_altered_file_is_told_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = written(tmp_path / "adapter", load_base(str(folders["llama"]), ""))
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(SetupError, match="incomplete or altered") as told:
        load_language(str(folder))
    assert "\n" not in str(told.value)
    (folder / "adapter.json").write_text("{}")
    with pytest.raises(SetupError, match="incomplete or altered"):
        load_language(str(folder))


def test_an_adapter_goes_onto_its_own_base_only(folders: dict[str, Path], tmp_path: Path) -> None:
    for name, changed in (("hub", {"sha256": "0" * 64}), ("embedded", {"name": "embedded"})):
        folder = written(tmp_path / name, load_base(str(folders["llama"]), ""), **changed)
        with pytest.raises(SetupError, match="tuned on another"):
            load_language(str(folder))
    other = {"model.layers.0.self_attn.q_proj.weight": torch.zeros(8, 8)}
    with pytest.raises(SetupError, match="does not fit"):
        adapters.merge(other, read_adapter(tmp_path / "hub"))


def test_an_adapter_that_ships_is_the_embedded_model(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "convert", lambda precision: folders["llama"])
    assert load_language("embedded").sha256 == GGUF_SHA256  # nothing untrained ships
    plain = load_language("embedded").score(QUESTION, WORDINGS)
    base = load_base(str(folders["llama"]), "")
    folder = written(tmp_path / "weights", base, name="embedded", sha256=GGUF_SHA256)
    by_path = load_language(str(folder))
    monkeypatch.setattr(adapters, "SHIPPED", folder)
    shipped = load_language("embedded")
    assert shipped.sha256 == by_path.sha256 == read_adapter(folder).sha256
    assert shipped.score(QUESTION, WORDINGS) == by_path.score(QUESTION, WORDINGS) != plain
    assert load_language("untuned").score(QUESTION, WORDINGS) == plain
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(SetupError, match="incomplete or altered"):
        load_language("embedded")


def test_an_adapter_names_no_path_of_this_machine(folders: dict[str, Path], tmp_path: Path) -> None:
    base = load_base(str(folders["llama"]), "")
    folder = written(tmp_path / "adapter", base, name="embedded")
    for name in ("adapter.json", "adapter_config.json"):
        assert str(tmp_path.parent) not in (folder / name).read_text()
