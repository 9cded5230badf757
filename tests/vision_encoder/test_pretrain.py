"""Laws of a pretraining run: what a kill, a bad number, a bad tile and a full disk leave behind."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slides.errors import PathcopilotError, UsageError
from vision_encoder import load_encoder
from vision_encoder.pretrain.recipe import read_recipe
from vision_encoder.pretrain.start import starting_network
from vision_encoder.pretrain.trainer import TrainingStopped
from vision_encoder.pretrain.watch import Health, Watch
from vision_encoder.shipped import read_trained

from ..conftest import paint_tissue
from .pretrain_tiles import LITE0, Killed, checkpoint_of, painted, run, same, write_recipe, write_set

pytest.importorskip("pyarrow")
pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(write_recipe(folder), data, folder / "out")
    return folder / "out"


def refused(kind: type[PathcopilotError], *args: Any, **more: Any) -> str:
    with pytest.raises(kind) as told:
        run(*args, **more)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_killed_run_goes_on_bit_for_bit(data: Path, tmp_path: Path, uninterrupted: Path) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    with pytest.raises(Killed):
        run(recipe, data, out, stop_at=3)
    assert checkpoint_of(out)["step"] == 2
    run(recipe, data, out)
    assert same(checkpoint_of(out), checkpoint_of(uninterrupted))
    for name in ("encoder.safetensors", "encoder.json"):
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_a_killed_run_of_the_shipped_network_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    """EfficientNet-Lite0 with frozen blocks, SIGReg, pairs of one slide and labels."""
    objective = {"name": '"sigreg"', "slide": 0.3, "labels": 0.3, "view": "{ side = 64 }"}
    recipe = write_recipe(tmp_path, LITE0, objective, batch=8, steps=3, watch=9, checkpoint=1, labelled=0.5)
    recipe.write_text(recipe.read_text() + '\n[[task]]\nsource = "made"\ncolumn = "tissue"\n')
    run(recipe, data, tmp_path / "whole")
    with pytest.raises(Killed):
        run(recipe, data, tmp_path / "killed", stop_at=2)
    start = checkpoint_of(tmp_path / "killed")
    run(recipe, data, tmp_path / "killed")
    end = checkpoint_of(tmp_path / "killed")
    assert same(end, checkpoint_of(tmp_path / "whole"))
    moved = {name for name, value in end["objective"].items() if not torch.equal(value, start["objective"][name])}
    assert not any(name.startswith(("network._conv_stem", "network._blocks.2.")) for name in moved)
    assert {"network._blocks.3._project_conv.weight", "slide_projector.0.weight", "classifiers.0.weight"} <= moved


def test_what_the_network_saw_at_its_start_stands_beside_what_it_learned(data: Path, tmp_path: Path) -> None:
    changed: dict[str, object] = {"start": '"imagenet"', "batch": 8, "steps": 3, "watch": 9, "seed": 7}
    shares = {"readout": 6, "early": 2, "beside": 5}
    recipe = write_recipe(tmp_path, LITE0.replace("3", "5"), {"name": '"vicreg"', "view": "{ side = 64 }"}, **changed)
    recipe.write_text(recipe.read_text().replace("readout = 0", "").replace("early = 0", ""))
    recipe.write_text("\n".join(f"{name} = {length}" for name, length in shares.items()) + "\n" + recipe.read_text())
    run(recipe, data, tmp_path / "out")
    assert load_encoder(str(tmp_path / "out")).encode_tiles([paint_tissue(96, 96)]).shape == (1, 13)
    arrays, _ = read_trained(tmp_path / "out", "encoder")
    start = starting_network(read_recipe(recipe)).state_dict()
    tail = {name: value.numpy() for name, value in start.items() if name.startswith(("_blocks.5.", "_conv_head"))}
    assert all(np.array_equal(arrays["_beside." + name.replace("_blocks.5", "_blocks.0")], value.astype(np.float16))
               for name, value in tail.items())  # fmt: skip
    assert not all(np.array_equal(arrays[name], value.astype(np.float16)) for name, value in tail.items())
    recipe.write_text(recipe.read_text().replace("frozen = 5", "frozen = 4"))
    assert "'beside' needs" in refused(UsageError, recipe, data, tmp_path / "other")


def test_a_run_in_parts_equals_the_run_at_once(data: Path, tmp_path: Path, uninterrupted: Path) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    run(recipe, data, out, until=1)
    assert checkpoint_of(out)["step"] == 1
    run(recipe, data, out)
    assert same(checkpoint_of(out), checkpoint_of(uninterrupted))


def test_the_encoder_that_a_run_writes_is_one_that_loads(uninterrupted: Path) -> None:
    encoder = load_encoder(str(uninterrupted))
    card = json.loads((uninterrupted / "encoder.json").read_text(encoding="utf-8"))
    features = encoder.encode_tiles([paint_tissue(96, 96)])
    assert features.shape == (1, 24)
    assert (card["steps"], card["tiles"], card["groups"], card["tiles_seen"]) == (5, 12, 6, 20)
    assert card["tiles_by_source"] == {"made": 12}
    assert [entry["step"] for entry in card["watched"]] == [5]


@pytest.mark.parametrize("step", [2, 3], ids=["at a checkpoint", "between checkpoints"])
def test_a_loss_that_is_no_number_stops_and_leaves_the_last_good_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    from vision_encoder.pretrain import joint

    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    run(recipe, data, out, until=1)
    before = (out / "checkpoint.pt").read_bytes()
    seen = []

    def spoiling(*embeddings: torch.Tensor, **weights: float) -> torch.Tensor:
        seen.append(1)
        loss = sum(embedding.square().mean() for embedding in embeddings)
        # The loss of this step is a number and its gradient is none: the next loss, or the next look, shows it.
        return loss + (torch.sqrt(0 * loss) if len(seen) == step - 1 else 0)

    monkeypatch.setattr(joint, "vicreg", spoiling)
    told = refused(TrainingStopped, recipe, data, out)
    assert "not a number" in told
    if step == 2:
        assert "checkpoint of step 1 is intact" in told
        assert (out / "checkpoint.pt").read_bytes() == before
    kept = checkpoint_of(out)
    assert all(value.isfinite().all() for value in kept["objective"].values())
    monkeypatch.undo()
    assert run(recipe, data, out)["steps"] == 5


def test_a_rate_beyond_reason_stops_in_one_line(data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, rate=1e38, projector_rate=1e38)
    told = refused(TrainingStopped, recipe, data, tmp_path / "out")
    assert "lower `rate`" in told
    assert "no checkpoint was written" in told


def test_features_that_collapse_stop_the_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = iter([100.0, 79.0])
    monkeypatch.setattr(Watch, "look", lambda self, network, device: Health(next(ranks), 1.0, 0.1, None))
    told = refused(TrainingStopped, write_recipe(tmp_path, watch=1), data, tmp_path / "out")
    assert "collapse at step 2" in told
    assert checkpoint_of(tmp_path / "out")["step"] == 2


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_stops_in_one_line_and_the_run_goes_on_later(
    data: Path, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    run(recipe, data, out, until=1)
    before = sorted((path.name, path.read_bytes()) for path in out.iterdir())

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        told = refused(UsageError, recipe, data, out)
    assert "No space left on device" in told
    assert "make room" in told
    assert sorted((path.name, path.read_bytes()) for path in out.iterdir()) == before
    run(recipe, data, out)
    assert same(checkpoint_of(out), checkpoint_of(uninterrupted))


def test_a_disk_that_is_full_at_the_very_end_is_told_in_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vision_encoder import shipped

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shipped, "write_atomically", full)
    told = refused(UsageError, write_recipe(tmp_path), data, tmp_path / "out", until=1)
    assert "the encoder could not be written" in told
    assert checkpoint_of(tmp_path / "out")["step"] == 1


@pytest.mark.parametrize("bytes_kept", [0, 40, 700], ids=["empty", "no picture", "cut short"])
@pytest.mark.parametrize("terms", ["permissive", "noncommercial"])
def test_a_corrupt_tile_is_named_in_one_line(tmp_path: Path, bytes_kept: int, terms: str) -> None:
    """Also one that is only looked at, not learned from."""
    data = write_set(tmp_path / "data", jpeg={3: painted(3)[:bytes_kept]}, terms={3: terms})
    told = refused(UsageError, write_recipe(tmp_path), data, tmp_path / "out")
    assert "'made/1-1' cannot be decoded" in told


def test_a_checkpoint_of_another_recipe_or_other_tiles_is_refused(tmp_path: Path, data: Path) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    run(recipe, data, out, until=1)
    other = write_set(tmp_path / "other", groups=7)
    assert "not those of the checkpoint" in refused(UsageError, recipe, other, out)
    assert "of another recipe" in refused(UsageError, write_recipe(tmp_path, clip=2.0), data, out)


def test_a_damaged_checkpoint_is_told_in_one_line(tmp_path: Path, data: Path) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "out"
    run(recipe, data, out, until=1)
    whole = (out / "checkpoint.pt").read_bytes()
    for content in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        (out / "checkpoint.pt").write_bytes(content)
        assert "damaged" in refused(UsageError, recipe, data, out)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("speed", "3", "unknown setting 'speed'"),
        ("decay", "'much'", "'decay' is no float"),
        ("labelled", "true", "'labelled' is no float"),
        ("clip", "[1.0]", "'clip' is no float"),
        ("seed", "", "not valid TOML"),
        ("batch", "3", "an even batch"),
        ("watch", "0", "at least 1"),
        ("checkpoint", "0", "at least 1"),
        ("steps", "0", "at least 1"),
    ],
)
def test_a_recipe_that_is_wrong_is_told_in_one_line(tmp_path: Path, setting: str, value: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        read_recipe(write_recipe(tmp_path, **{setting: value}))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({"depth": 3}, "depth"),
        ({"view": "{ turn = 3 }"}, "turn"),
        ({"name": '"magic"'}, "no objective 'magic'"),
    ],
)
def test_an_objective_that_is_wrong_is_told_in_one_line(
    tmp_path: Path, data: Path, objective: dict[str, object], said: str
) -> None:
    assert said in refused(UsageError, write_recipe(tmp_path, objective=objective), data, tmp_path / "out")


def test_an_output_folder_that_cannot_be_is_told_before_the_work(tmp_path: Path, data: Path) -> None:
    (tmp_path / "out").write_text("a file")
    assert "give another --out" in refused(UsageError, write_recipe(tmp_path), data, tmp_path / "out")
