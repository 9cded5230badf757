"""Two processes tune together: both learn the same weights, and the first alone tells and writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from copilot.language import load_language

from .tiny_models import save_tiny_model
from .tuning_data import PREFER, TUNE, write_data, write_recipe

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def test_two_processes_tune_and_go_on(tmp_path: Path) -> None:
    base = save_tiny_model(tmp_path / "tiny", "llama")
    data = write_data(tmp_path / "data", pictures=True)
    settings: dict[str, object] = {"sees": ["records", "pictures"], "batches": 2}
    recipe = write_recipe(tmp_path / "r.toml", base, {**TUNE, "rate": 1e-2}, PREFER, **settings)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "copilot.cli", "tune", str(recipe), "--data", str(data), "--out", str(tmp_path / "out"), "--json"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    cards = []
    for more in (["--until", "3"], []):
        done = subprocess.run([*command, *more], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=290)
        assert done.returncode == 0, done.stderr
        cards.append(json.loads(done.stdout))  # one object: one process tells
    assert [card["steps"] for card in cards] == [3, 10]
    looked = cards[1]["looked"]
    assert looked[: len(cards[0]["looked"])] == cards[0]["looked"]
    tuned = [seen["loss"] for seen in looked if seen["kind"] == "tune"]
    assert tuned[-1] < tuned[0]
    assert load_language(str(tmp_path / "out")).score([{"role": "user", "content": "Which organ?"}], ["Colon."])[0] < 0
