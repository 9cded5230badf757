"""What can go wrong in a tuning run ends in one line that says what to do, and leaves what stands intact."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from copilot.tuning.recipe import read_recipe
from copilot.tuning.run import tune as run
from copilot.tuning.trainer import CHECKPOINT, TuningStopped
from slides import UsageError
from vision_encoder.pretrain import checkpoint

from .tiny_models import save_tiny_model
from .tuning_data import ALIGN, TUNE, Bench, conversations, silent, write_data, write_recipe


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and data."""
    place = tmp_path_factory.mktemp("tiny")
    return save_tiny_model(place / "tiny", "llama"), write_data(place / "data", pictures=False)


@pytest.fixture
def tune(tiny: tuple[Path, Path], tmp_path: Path) -> Bench:
    return Bench(*tiny, tmp_path)


def test_what_is_not_a_number_ends_in_one_line_with_the_checkpoint_intact(tune: Bench, tmp_path: Path) -> None:
    tune({**TUNE, "steps": 2}, {**TUNE, "steps": 4, "rate": 1e38}, until=2)
    kept = (tmp_path / "out" / CHECKPOINT).read_bytes()
    with pytest.raises(
        TuningStopped, match=r"not a number at step \d+: lower `rate`.*checkpoint of step 2 is intact"
    ) as told:
        tune({**TUNE, "steps": 2}, {**TUNE, "steps": 4, "rate": 1e38})
    assert "\n" not in str(told.value)
    assert torch.load(tmp_path / "out" / CHECKPOINT)["done"] == 2
    assert len(kept) == (tmp_path / "out" / CHECKPOINT).stat().st_size


def test_a_full_disk_leaves_the_checkpoint_before(tune: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = {**TUNE, "steps": 4}
    expected = tune(stage, out="whole")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tune(stage, until=2)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_atomically", full)
        with pytest.raises(UsageError, match="No space left on device"):
            tune(stage)
    assert tune(stage) == expected


def test_a_damaged_checkpoint_and_one_of_other_data_are_told_in_one_line(tune: Bench, tmp_path: Path) -> None:
    tune({**TUNE, "steps": 2})
    other = write_data(tmp_path / "other", conversations(8))
    with pytest.raises(UsageError, match="other data"):
        run(tmp_path / "small.toml", other, tmp_path / "out", silent, silent)
    path = tmp_path / "out" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="damaged"):
        tune({**TUNE, "steps": 2})
    tune({**TUNE, "steps": 2}, out="mine")
    with pytest.raises(UsageError, match="another recipe"):
        tune({**TUNE, "steps": 3}, out="mine")


@pytest.mark.parametrize(
    ("stages", "settings", "said"),
    [
        ((TUNE,), {"colour": 1}, "unknown setting 'colour'"),
        (({**TUNE, "speed": 1},), {}, "unknown setting 'speed'"),
        (({"kind": "tune"},), {}, "without kind or steps"),
        (({"kind": "dream", "steps": 1},), {}, "kinds align, tune or prefer"),
        ((ALIGN,), {}, "needs pictures"),
        ((TUNE,), {"sees": ["smells"]}, "records, pictures or both"),
        ((TUNE,), {"quantise": "2bit"}, "only 4bit"),
        ((TUNE,), {"longest": 5000}, "longer than a batch"),
        ((TUNE,), {"rank": 0}, "below one"),
    ],
)
def test_a_recipe_at_fault_is_told_before_work_begins(
    tmp_path: Path, stages: tuple[dict[str, object], ...], settings: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        read_recipe(write_recipe(tmp_path / "r.toml", "embedded", *stages, **settings))


def test_data_without_a_part_say_which(tune: Bench, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "train only", [one for one in conversations(4) if one.part == "train"])
    recipe = write_recipe(tmp_path / "r.toml", tune.base)
    with pytest.raises(UsageError, match="part 'valid'"):
        run(recipe, folder, tmp_path / "out", silent, silent)


def test_a_missing_picture_is_named(tune: Bench, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "data")
    recipe = write_recipe(tmp_path / "r.toml", tune.base, sees=["pictures"])
    with pytest.raises(UsageError, match=r"set/tile 0 is not in the data folder.*--with-pictures"):
        run(recipe, folder, tmp_path / "out", silent, silent)
