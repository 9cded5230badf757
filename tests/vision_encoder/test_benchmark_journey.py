"""From Parquet files to the table, the JSON and the card, through the command line."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copilot import cli
from vision_encoder.benchmark.baselines import ColourEncoder
from vision_encoder.benchmark.card import shortfalls, write_card
from vision_encoder.benchmark.labelled_sets import Task, tasks_of
from vision_encoder.reference_tiles import ReferenceTiles, load_reference_tiles

from ..conftest import paint_tissue

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

TINTS = {"pink": (1.0, 0.9, 1.0), "blue": (0.85, 0.95, 1.1)}
CATEGORIES = {"pink": "malignant", "blue": "normal"}


def row(dataset: str, label: str, group: int, split: str, side: int = 64) -> dict[str, Any]:
    """One tile of generated tissue whose tint is its label."""
    pixels = np.asarray(paint_tissue(side, side + group % 2, seed=group), dtype=np.float32) * TINTS[label]
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return {
        "id": f"{label}-{group}",
        "dataset": dataset,
        "group": f"{label}-{group}",
        "organ": "colon",
        "label": label,
        "disease": label,
        "category": CATEGORIES[label],
        "stain": "HE",
        "mpp": 0.5,
        "split": split,
        "terms": "permissive",
        "jpeg": content.getvalue(),
    }


def rows(dataset: str, splits: Sequence[str], first: int = 0) -> list[dict[str, Any]]:
    return [row(dataset, label, first + number, split) for label in TINTS for number, split in enumerate(splits)]


def write(path: Path, made: Sequence[dict[str, Any]]) -> Path:
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(made)), path)
    return path


def painted(folder: Path) -> tuple[ReferenceTiles, list[Task]]:
    """A data folder of one set on disk: its tiles and tasks."""
    write(folder / "tiles" / "tinted.parquet", rows("tinted", ["train"] * 6 + ["dev"] * 5))
    tiles = load_reference_tiles(folder, {})
    return tiles, tasks_of(tiles)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "tiles" / "one.parquet", rows("one", ["train"] * 4 + ["dev"] * 4))
    write(folder / "tiles" / "two.parquet", rows("two", ["train"] * 4 + ["dev"] * 4, first=40))
    return folder


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


class Shade(ColourEncoder):
    """A stand-in for a network: colour under another name, so that a journey needs no seconds a tile."""

    def __init__(self, name: str = "random") -> None:
        self.name = name
        self.sha256 = hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_encoder.benchmark.run.load_encoder", Shade)
    monkeypatch.setattr("vision_encoder.benchmark.baselines.load_encoder", Shade)
    monkeypatch.setattr("vision_encoder.benchmark.baselines.random_encoder", Shade)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["pathcopilot", "evaluate", "encoder", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.mark.usefixtures("no_networks")
def test_the_data_folder_gives_a_table_json_and_a_card(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "encoder.md"
    assert run(monkeypatch, "--data", data, "--encoder", "imagenet", "--out", card, "--json") == 0
    results = json.loads(capsys.readouterr().out)
    assert set(results["sets"]) == {"one", "two"}
    assert {"imagenet", "random", "colour"} <= set(results["encoders"])
    linear = results["probes"]["colour"]["linear"]
    assert linear["tasks"]["one"]["value"] == 1
    assert linear["mean"]["value"] == 1
    assert set(linear["against"]["imagenet"]["tasks"]) == {"one", "two"}
    ratio = results["robustness"]["stain_ratio"]["imagenet"]
    assert ratio is None or ratio["value"] == 1
    assert results["sources"]["left_out"]["sets"]["one"]["how"] == "training rows of all other sets"
    text = card.read_text(encoding="utf-8")
    for heading in (
        "In one table",
        "Labelled sets",
        "Few tiles a class",
        "Changed pictures",
        "What failed",
        "Attribution",
    ):
        assert f"## {heading}" in text
    assert text == write_card(results, None)


@pytest.mark.slow
def test_the_networks_themselves_are_measured(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--data", data, "--encoder", "imagenet", "--quick", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    assert results["encoders"]["imagenet"]["role"] == "measured"
    assert (results["encoders"]["random"]["dimension"], results["encoders"]["colour"]["dimension"]) == (1280, 30)
    assert results["probes"]["imagenet"]["knn20"]["mean"]["value"] > 0.8


@pytest.mark.usefixtures("no_networks")
def test_a_card_prints_every_fact_of_the_weights(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--data", data, "--quick", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    card = write_card(results, {"recipe": "r.toml", "compute": {"hours": 2.5}, "sources": ["a", "b"]})
    for fact in ("| recipe | r.toml |", "| compute: hours | 2.5 |", "| sources | a; b |"):
        assert fact in card
    assert any("not shown to be above zero" in sentence for sentence in shortfalls(results, "embedded"))


@pytest.mark.usefixtures("no_networks")
def test_new_rows_of_a_known_set_are_tested_with_its_training_rows(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unseen = write(tmp_path / "unseen.parquet", rows("one", ["dev"] * 6, first=80))
    assert run(monkeypatch, "--data", data, "--tiles", unseen, "--quick", "--json") == 0
    one = json.loads(capsys.readouterr().out)["sets"]["one"]
    assert (one["train_tiles"], one["test_tiles"], one["how"]) == (8, 12, "training rows under the data folder")


@pytest.mark.usefixtures("no_networks")
def test_rows_of_training_groups_are_left_out_and_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = write(tmp_path / "mixed.parquet", rows("one", ["test"] * 2) + rows("one", ["test"] * 5, first=90))
    assert run(monkeypatch, "--data", data, "--tiles", mixed, "--quick", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    assert results["sets"]["one"]["test_tiles"] == 10
    assert any("among the training rows" in note for note in results["notes"])


@pytest.mark.usefixtures("no_networks")
def test_new_sets_with_two_splits_and_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also without any data folder, and as further arguments, as a shell expands a pattern."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PATHCOPILOT_DATA", raising=False)
    both = write(tmp_path / "both.parquet", rows("new", ["train"] * 6 + ["test"] * 5))
    single = write(tmp_path / "single.parquet", rows("single", ["dev"] * 8))
    assert run(monkeypatch, "--tiles", both, single, "--quick", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    assert results["sets"]["new"]["how"] == "its own split"
    assert results["sets"]["single"]["how"].endswith("grouped folds, three times")
    assert results["sets"]["single"]["test_tiles"] == 16
    assert results["atlas"] is None


def without(column: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in made.items() if name != column} for made in rows("new", ["dev"] * 5)]


def broken() -> list[dict[str, Any]]:
    made = rows("new", ["dev"] * 5)
    made[3]["jpeg"] = made[3]["jpeg"][:40]
    return made


def leaking() -> list[dict[str, Any]]:
    made = rows("new", ["train"] * 5 + ["dev"] * 5)
    made[7]["group"] = made[0]["group"]
    return made


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (without("jpeg"), "lacks the column(s) jpeg"),
        (without("group"), "lacks the column(s) group"),
        (broken(), "tile 'pink-3' is no picture"),
        (leaking(), "lies in split train and outside it"),
        ([row("new", "pink", number, "dev") for number in range(9)], "nothing to measure"),
    ],
)
def test_a_file_that_cannot_be_used_ends_in_one_line(
    made: list[dict[str, Any]],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "--tiles", write(tmp_path / "given.parquet", made), "--json") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.strip().count("\n") == 0


@pytest.mark.parametrize("name", ["absent.parquet", "text.parquet"])
def test_a_file_that_is_none_ends_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.parquet").write_text("no table")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "--tiles", tmp_path / name) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_data_at_all_says_how_to_name_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PATHCOPILOT_DATA", raising=False)
    assert run(monkeypatch) == 2
    assert "--data" in capsys.readouterr().err
