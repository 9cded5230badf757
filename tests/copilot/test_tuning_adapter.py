"""A tuned adapter in the product: merged it is what peft makes of it, and it is put on no other model than its own."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from copilot.doctor import _tuned_language
from copilot.language import adapter as adapters
from copilot.language import embedded, load_language
from copilot.language.adapter import read_adapter
from copilot.language.convert import GGUF_SHA256
from copilot.language.decoding import LocalModel
from copilot.language.llama import LlamaNetwork
from copilot.language.model import Message
from copilot.language.pictures import KEPT, Picture, VisualTokens
from copilot.language.tokens import ChatML
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


def stirred(base: Base, recipe: Recipe = RECIPE, features: int | None = None) -> Any:
    """A student whose adapter changes what it says."""
    student = student_of(base, recipe, features)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in learned(student).values():
            weight += 0.1 * torch.randn(weight.shape, generator=draw)
    return student.eval()


def written(folder: Path, base: Base, **changed: str) -> Path:
    card = {
        "recipe": "tests",
        "base": {"name": base.name, "sha256": base.sha256, **changed},
        "sees": ["records"],
    }
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
    data = write_data(tmp_path / "data", pictures=True)
    card = Bench(folders[family], data, tmp_path)(
        {**TUNE, "steps": 4, "rate": 2e-2}, quantise="4bit", recompute=True, batches=2, sees=["records", "pictures"]
    )
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
    monkeypatch.setattr(embedded, "fastest_engine", lambda: "torch")
    monkeypatch.setattr(adapters, "SHIPPED", tmp_path / "none")
    assert load_language("embedded").sha256 == GGUF_SHA256
    plain = load_language("embedded").score(QUESTION, WORDINGS)
    base = load_base(str(folders["llama"]), "")
    folder = written(tmp_path / "weights", base, name="embedded", sha256=GGUF_SHA256)
    by_path = load_language(str(folder))
    monkeypatch.setattr(adapters, "SHIPPED", folder)
    shipped = load_language("embedded")
    assert shipped.sha256 == by_path.sha256 == read_adapter(folder).sha256
    assert shipped.score(QUESTION, WORDINGS) == by_path.score(QUESTION, WORDINGS) != plain
    assert load_language("untuned").score(QUESTION, WORDINGS) == plain
    assert [item.status for item in _tuned_language()] == ["PASS"]
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(SetupError, match="incomplete or altered"):
        load_language("embedded")
    assert [item.status for item in _tuned_language()] == ["FAIL"]


def test_an_adapter_names_no_path_of_this_machine(folders: dict[str, Path], tmp_path: Path) -> None:
    base = load_base(str(folders["llama"]), "")
    folder = written(tmp_path / "adapter", base, name="embedded")
    for name in ("adapter.json", "adapter_config.json"):
        assert str(tmp_path.parent) not in (folder / name).read_text()


def test_a_picture_is_seen_as_it_was_learned(folders: dict[str, Path], tmp_path: Path) -> None:
    """What the product's networks make of a prompt with pictures is what the student made of it in training."""
    from copilot.tuning.batches import tensors_of
    from copilot.tuning.examples import Example, Speller
    from copilot.tuning.losses import log_likelihoods

    recipe = replace(RECIPE, sees=("records", "pictures"), visual_tokens=3, projector_width=8)
    features = {"a": np.arange(6, dtype=np.float32), "b": np.ones(6, np.float32)}
    asked: list[Message] = [{"role": "system", "content": "Say."}, {"role": "user", "content": "What differs?"}]
    for family in ("embedded", *FAMILIES):
        source = folders["llama" if family == "embedded" else family]
        base = load_base(str(source), "")
        student = stirred(base, recipe, 6)
        speller = Speller(base.tokens, recipe)
        example = Example(speller.prompt(asked, [0.5, None]), speller.reply("Nothing."), ("a", "b"))
        batch = tensors_of([example], features, base.tokens.end)
        with torch.no_grad():
            learned_mean = log_likelihoods(student, batch)[0, :-1].mean().item()  # without the token that ends it
        card = {
            "recipe": "tests",
            "base": {"name": base.name, "sha256": base.sha256},
            "sees": recipe.sees,
            "visual_tokens": 3,
            "encoder": {"name": "embedded", "sha256": "of the encoder"},
        }
        write_adapter(tmp_path / family, student, card)
        model = load_language(str(tmp_path / family))
        if family == "embedded":
            adapter = read_adapter(tmp_path / family)
            tokens = ChatML(source / "tokenizer.json")
            model = LocalModel("tiny", "", LlamaNetwork(source, adapter), tokens, **adapter.sight())
        assert isinstance(model, LocalModel)
        assert model.encoder_sha256 == "of the encoder"
        shown: list[Message] = [
            asked[0],
            {**asked[1], "pictures": [Picture(features["a"], 0.5), Picture(features["b"], None)]},
        ]
        turned: list[Message] = [
            asked[0],
            {**asked[1], "pictures": [Picture(features["b"], 0.5), Picture(features["a"], None)]},
        ]
        assert model.score(shown, ["Nothing."])[0] == pytest.approx(learned_mean, abs=2e-2), family
        assert model.score(turned, ["Nothing."])[0] != pytest.approx(learned_mean, abs=2e-2), family
        assert "".join(model.stream(shown, max_new_tokens=5)) == "".join(model.stream(shown, max_new_tokens=5))


def test_a_network_remembers_no_more_pictures_than_it_may() -> None:
    held = VisualTokens()
    first = held.numbers(torch.zeros(2, 4))
    assert held.numbers(torch.zeros(2, 4)) == first == [-1, -2]
    later = [held.numbers(torch.full((2, 4), float(number))) for number in range(1, KEPT + 1)]
    assert len({number for numbers in later for number in numbers}) == 2 * KEPT
    assert held.numbers(torch.zeros(2, 4)) != first  # forgotten, and its numbers are not given out again
    assert torch.equal(held.fill([3, later[-1][0]], torch.ones(2, 4)), torch.tensor([[1.0] * 4, [float(KEPT)] * 4]))
