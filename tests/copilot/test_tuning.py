"""A tuning run: it learns by its stages, goes on bit for bit where it was, and ends when there is no more to gain."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from copilot.tuning.recipe import read_recipe
from copilot.tuning.trainer import CHECKPOINT

from .tiny_models import save_tiny_model
from .tuning_data import ALIGN, PREFER, TUNE, Bench, write_data, write_recipe

WEIGHTS = ("adapter_model.safetensors", "projector.safetensors")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and data."""
    place = tmp_path_factory.mktemp("tiny")
    return save_tiny_model(place / "tiny", "llama"), write_data(place / "data", pictures=True)


@pytest.fixture
def tune(tiny: tuple[Path, Path], tmp_path: Path) -> Bench:
    return Bench(*tiny, tmp_path)


def test_a_run_learns_by_its_stages(tune: Bench, tmp_path: Path) -> None:
    stages = (ALIGN, {**TUNE, "steps": 12, "rate": 2e-2}, PREFER)
    card = tune(*stages, sees=["records", "pictures"], watch=4)
    looked = [[seen for seen in card["looked"] if seen["kind"] == kind] for kind in ("align", "tune", "prefer")]
    assert all(own[0]["step"] == 0 for own in looked)
    assert looked[1][-1]["loss"] < looked[1][0]["loss"] - 0.5
    assert looked[2][0]["loss"] == pytest.approx(math.log(2))
    assert looked[2][-1]["right"] >= looked[2][0]["right"]
    assert card["finished"]
    assert card["steps"] == 20
    assert set(card["files"]) == {*WEIGHTS, "adapter_config.json"}
    assert json.loads((tmp_path / "out" / "adapter.json").read_text()) == card


def test_a_stopped_run_goes_on_bit_for_bit(tune: Bench, tmp_path: Path) -> None:
    stages: tuple[dict[str, object], ...] = (ALIGN, {**TUNE, "steps": 4}, PREFER)
    settings: dict[str, object] = {"sees": ["records", "pictures"], "dropout": 0.1}
    whole = tune(*stages, out="whole", **settings)
    for until in (1, 4, 7, 9):
        part = tune(*stages, out="parts", until=until, **settings)
        assert part["steps"] == until
        assert not part["finished"]
    parts = tune(*stages, out="parts", **settings)
    assert parts == whole
    for name in WEIGHTS:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_is_written_again_as_it_was(tune: Bench) -> None:
    assert tune({**TUNE, "steps": 2}) == tune({**TUNE, "steps": 2})


def test_align_moves_the_projector_alone_and_prefer_the_adapter_alone(tune: Bench, tmp_path: Path) -> None:
    tune(ALIGN, {**PREFER, "steps": 2}, sees=["pictures"], until=4, out="both")
    held = torch.load(tmp_path / "both" / CHECKPOINT)["weights"]
    assert all(bool((weight == 0).all()) for name, weight in held.items() if "lora_B" in name)
    after = tune(ALIGN, {**PREFER, "steps": 2}, sees=["pictures"], out="both")
    assert after["steps"] == 6
    moved = torch.load(tmp_path / "both" / CHECKPOINT)["weights"]
    assert all(torch.equal(moved[name], held[name]) for name in held if name.startswith("projector."))


@pytest.mark.parametrize("sees", [["records"], ["pictures"], ["records", "pictures"]])
def test_each_ablation_runs_and_is_told_apart(tune: Bench, sees: list[str]) -> None:
    card = tune({**TUNE, "steps": 2}, sees=sees)
    assert card["sees"] == sees
    assert ("projector.safetensors" in card["files"]) == ("pictures" in sees)
    assert (card["encoder"] is not None) == ("pictures" in sees)


def test_a_projector_learns_to_tell_pictures_apart(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    from copilot.tuning.base import load_base
    from copilot.tuning.batches import tensors_of
    from copilot.tuning.examples import Example
    from copilot.tuning.losses import answer_loss, log_likelihoods
    from copilot.tuning.student import learned, set_learning, student_of

    recipe = read_recipe(write_recipe(tmp_path / "r.toml", tiny[0], ALIGN, sees=["pictures"]))
    loaded = load_base(str(tiny[0]), "")
    student = student_of(loaded, recipe, 6)
    set_learning(student, "align")
    before = {name: weight.clone() for name, weight in student.named_parameters() if "projector" not in name}
    features = {str(number): torch.eye(6)[number].numpy() * 3 for number in range(6)}
    slots = (-1,) * recipe.visual_tokens
    examples = [Example((5, *slots, 6), (20 + number, loaded.tokens.end), (str(number),)) for number in range(6)]
    turned = [Example(one.prompt, one.reply, (str((number + 1) % 6),)) for number, one in enumerate(examples)]
    optimiser = torch.optim.AdamW(learned(student, "align").values(), lr=2e-2)
    for _ in range(60):
        batch = tensors_of(examples, features, 2)
        answer_loss(log_likelihoods(student, batch), batch).backward()
        optimiser.step()
        optimiser.zero_grad()
    losses = []
    for shown in (examples, turned):
        batch = tensors_of(shown, features, 2)
        losses.append(float(answer_loss(log_likelihoods(student, batch), batch).detach()))
    assert losses[0] < losses[1] - 0.5
    assert all(torch.equal(weight, dict(student.named_parameters())[name]) for name, weight in before.items())


def test_a_stage_ends_when_looking_brings_no_more(tune: Bench) -> None:
    card = tune({**TUNE, "steps": 40, "rate": 0.0, "patience": 2})
    assert card["finished"]
    assert card["steps"] == 4  # two looks, two steps apart, saw nothing better than the first


def test_preference_ends_where_enough_pairs_are_held_right(tune: Bench) -> None:
    card = tune({**PREFER, "steps": 40, "enough": 0.0})
    assert (card["finished"], card["steps"]) == (True, 0)
