"""The verb `train-slide` as a laboratory uses it: its own table and features in, a model out, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from copilot.cli import app
from slides.errors import UsageError
from tests.vision_encoder.slide_bags import RECIPE, FakeEncoder, made_bags, write_laboratory
from vision_encoder.slide_models import load_slide_model, run


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "load_encoder", lambda name: FakeEncoder())
    write_laboratory(tmp_path / "lab", made_bags())
    (tmp_path / "own.toml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def test_a_recipe_and_a_table_make_a_model_that_scores(laboratory: Path) -> None:
    arguments = ["train-slide", f"{laboratory}/own.toml", "--data", f"{laboratory}/lab", "--out", f"{laboratory}/out"]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert told.exit_code == 0
    assert "24 patients" in told.output
    assert "mean: area" in told.output
    bag = made_bags(4, seed=8).bags[2]
    score = load_slide_model(laboratory / "out").score(bag.features, bag.coords)
    assert set(score.probabilities["tumour"]) == {"none", "tumour"}
    again = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    card = json.loads(again.stdout.strip().splitlines()[-1])
    assert card["sha256"] == load_slide_model(laboratory / "out").sha256
    assert [step["model"] for step in card["ladder"]] == ["mean", "abmil"]


def test_a_folder_that_is_not_there_is_said_in_one_line(laboratory: Path) -> None:
    with pytest.raises(UsageError, match="--data names"):
        CliRunner().invoke(
            app, ["train-slide", f"{laboratory}/own.toml", "--data", f"{laboratory}/no"], catch_exceptions=False
        )
