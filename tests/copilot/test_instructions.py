"""From tiles on disk to instruction data: what may be used, what is written, and that twice is the same."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from copilot.cli import app
from copilot.instructions.pictures import Library
from copilot.instructions.run import build_instructions, outside_of_repositories, read_recipe
from instruction_data.export import read
from slides import Finding, UsageError
from vision_encoder.look import Eye

from ..conftest import ROOT, paint_tissue
from ..vision_encoder.fakes import ColourEncoder, FixedReading

pa = pytest.importorskip(
    "pyarrow", reason="instruction data are read from and written to Parquet: install pathcopilot[train]"
)
pq = pytest.importorskip("pyarrow.parquet")

ORGANS = ("colon", "breast", "oral cavity", "liver")
CATEGORIES = ("malignant", "normal", "benign tumour", "inflammatory/infectious")


def jpeg(seed: int) -> bytes:
    held = io.BytesIO()
    paint_tissue(256, 256, seed).save(held, "JPEG", quality=90)
    return held.getvalue()


def tile(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"t{number}", "dataset": "bcss", "group": f"p{number // 2}", "organ": ORGANS[number % 4], "label": "",
        "disease": "", "category": CATEGORIES[(number // 2) % 4], "stain": "HE", "mpp": 0.5 if number % 2 else None,
        "split": "train", "terms": "permissive", "jpeg": jpeg(number), **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen tiles to learn from, and others that may not be: held out, of other terms, the twin of a held-out one."""
    folder = tmp_path_factory.mktemp("data")
    rows = [tile(number) for number in range(16)]
    rows += [tile(90, split="dev", group="held"), tile(91, terms="noncommercial", group="other terms")]
    rows += [tile(92, group="twin", jpeg=jpeg(90))]
    (folder / "tiles").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "tiles" / "bcss.parquet")
    (folder / "atlas").mkdir()
    slides, tiles = [], []
    for number, split in enumerate(("train", "train", "train", "train", "dev")):
        slides.append({
            "case": f"c{number}", "slide": "HE", "group": f"c{number}", "title": f"lesion {number}",
            "diagnosis": f"lesion {number}", "organ": ORGANS[number % 4], "category": CATEGORIES[number % 4],
            "label_confidence": "high", "stain_type": "HE", "split": split,
            "description": f"Nests of cells of kind {number} in a loose stroma.",
        })  # fmt: skip
        tiles += [
            {
                "case": f"c{number}", "slide": "HE", "downsample": d, "x0": 0, "y0": n,
                "jpeg": jpeg(200 + 10 * number + d + n),
            }
            for d in (1, 2)
            for n in range(10 if (number, d) == (0, 1) else 2)
        ]  # fmt: skip
    with (folder / "atlas" / "slides.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(slides[0]))
        writer.writeheader()
        writer.writerows(slides)
    pq.write_table(pa.Table.from_pylist(tiles), folder / "atlas" / "tiles-000.parquet")
    return folder


class KnowingHeads:
    """Heads that say a class by the mean colours of the tiles, with a whole distribution."""

    card = {"sha256": "2" * 64}  # noqa: RUF012
    added = ()

    def read(self, features: np.ndarray, *, mpp: float | None = None, organ: str | None = None) -> Any:
        shade = float(features[:, 3:].mean())  # spread of the colours: small where nothing is to be seen
        place = int(1e5 * float(features.mean()))
        histology = shade > 0.05
        stain = ("HE", "IHC", "not histology") if histology else ("not histology", "HE", "IHC")
        return (
            self._reading("stain", stain, 0.93),
            self._reading("organ", _turned(ORGANS, place), 0.55 + place % 40 / 100),
            self._reading("category", _turned(CATEGORIES, place // 7), 0.5 + place % 45 / 100),
        )

    def _reading(self, name: str, classes: Sequence[str], p: float) -> FixedReading:
        rest = (1 - p) / (len(classes) - 1)
        chances = tuple((label, p if label == classes[0] else rest) for label in classes)
        held = tuple(label for label, share in chances if share > 0.09)
        finding = Finding(
            name, label=classes[0], probability=p, prediction_set=held, distribution=chances, novelty=0.5, source="made"
        )
        return FixedReading(finding, np.array([[share for _, share in chances]], np.float32), tuple(classes))


def _turned(classes: Sequence[str], by: int) -> tuple[str, ...]:
    by %= len(classes)
    return (*classes[by:], *classes[:by])


@pytest.fixture(scope="module")
def eye() -> Eye:
    return Eye(ColourEncoder(), KnowingHeads(), None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipe with fewer conversations, and limits for so few."""
    text = (ROOT / "recipes" / "instructions.toml").read_text()
    start, end = text.index("[builders]"), text.index("# What the mixture is meant to be")
    counts = {
        "describe": 4, "question": 6, "dialogue": 1, "several": 2, "verdict": 2, "context": 3, "report": 1, "fields": 1,
        "summary": 1, "tests": 1, "case_text": 3, "knowledge": 4, "guard": 8, "scope": 4,
    }  # fmt: skip
    counted = "[builders]\n" + "\n".join(f"{name} = {count}" for name, count in counts.items())
    text = text[:start] + counted + "\n\n" + text[end:]
    text = text.replace("blurred = 60", "blurred = 2").replace("half = 60", "half = 2").replace("made = 5", "made = 1")
    text = text.replace("near_repeats = 0.05", "near_repeats = 0.2").replace("[0.15, 0.55]", "[0.05, 0.80]")
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, data: Path, recipe: Path, eye: Eye) -> Path:
    folder = tmp_path_factory.mktemp("out") / "first"
    build_instructions(recipe, data, folder, lambda *_: None, eye=eye, card=folder.parent / "card.md")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_building_twice_gives_identical_files(out: Path, tmp_path: Path, data: Path, recipe: Path, eye: Eye) -> None:
    fresh = Eye(eye.encoder, eye.heads, None)
    build_instructions(recipe, data, tmp_path, lambda *_: None, eye=fresh)
    assert files_of(tmp_path) == files_of(out)
    build_instructions(recipe, data, tmp_path, lambda *_: None, eye=fresh)  # now from the records that were kept
    assert files_of(tmp_path) == files_of(out)


def test_only_permissive_tiles_to_train_on_are_used_and_no_twin_of_a_held_out_one(
    out: Path, data: Path, recipe: Path
) -> None:
    settings = read_recipe(recipe)
    library = Library(data, settings["rename"], settings["seed"])
    chosen, left_out = library.without_held_out(library.choose(settings["pictures"]))
    names = {entry.picture.id for entry in chosen}
    assert {f"bcss/t{number}" for number in range(16)} <= names
    assert not names & {"bcss/t90", "bcss/t91", "bcss/t92"}
    assert "bcss/t92" in left_out
    assert not any("/c4/" in name for name in names)
    assert {name for name in names if "~sheet" in name} == {"atlas/c0/HE~sheet1"}
    assert library.image("atlas/c0/HE~sheet1").size == (1024, 768)
    used = {picture.id for one in read(out) for picture in one.pictures}
    assert used
    assert used <= names


def test_what_is_written_agrees_in_every_form(out: Path) -> None:
    conversations = read(out)
    manifest = json.loads((out / "manifest.json").read_text())
    for part in ("train", "valid"):
        own = [one for one in conversations if one.part == part]
        rows = [json.loads(line) for line in (out / "sharegpt" / f"{part}.jsonl").read_text().splitlines()]
        table = pq.read_table(out / f"{part}.parquet").to_pylist()
        assert [row["id"] for row in rows] == [one.id for one in own] == [row["id"] for row in table]
        assert [row["conversations"] for row in rows] == [row["conversations"] for row in table]
        assert manifest["conversations"][part] == len(own)
    assert len({one.id for one in conversations}) == len(conversations)


def test_the_card_tells_what_was_made(out: Path) -> None:
    card = (out.parent / "card.md").read_text()
    conversations = read(out)
    assert f"| conversations | {len(conversations)} |" in card
    assert "| NO |" not in card
    assert "Amgad" in card


def test_hugging_face_datasets_reads_the_parquet_files(out: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is an oracle and not installed here")
    files = {"train": str(out / "train.parquet"), "validation": str(out / "valid.parquet")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
    own = [one for one in read(out) if one.part == "train"]
    assert loaded["train"]["id"] == [one.id for one in own]
    first = loaded["train"][0]["conversations"]
    assert [turn["from"] for turn in first[:2]] == ["human", "gpt"]
    assert first[1]["value"] == own[0].exchanges[0].answer


def test_pictures_are_written_where_they_are_asked_for_and_never_into_a_repository(
    out: Path, tmp_path: Path, data: Path, recipe: Path, eye: Eye
) -> None:
    assert not list(out.rglob("*.jpg"))
    shutil.copytree(out / "seen", tmp_path / "seen")
    told = build_instructions(recipe, data, tmp_path, lambda *_: None, eye=eye, with_pictures=True)
    used = {picture.id for one in read(tmp_path) for picture in one.pictures}
    written = sorted((tmp_path / "pictures").iterdir())
    assert told["pictures"] == len(used) == len(written)
    for path in written:
        assert Image.open(path).size[0] > 0
    (tmp_path / "project" / ".git").mkdir(parents=True)
    with pytest.raises(UsageError, match="outside of it"):
        outside_of_repositories(tmp_path / "project" / "out")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[builders]\n", "[builders]\npoems = 3\n"), "no builder 'poems'"),
        (("seed = 7", ""), "lacks 'seed'"),
        (('[licence.bcss]\nterms = "permissive"', '[licence.bcss]\nterms = "noncommercial"'), "licences"),
        (("seed = 7", "seed = = 7"), "no recipe in TOML"),
    ],
)
def test_a_recipe_at_fault_ends_in_one_line_and_writes_nothing(
    change: tuple[str, str], said: str, out: Path, tmp_path: Path, data: Path, recipe: Path, eye: Eye
) -> None:
    text = recipe.read_text()
    assert change[0] in text
    path = tmp_path / "broken.toml"
    path.write_text(text.replace(*change))
    shutil.copytree(out / "seen", tmp_path / "out" / "seen")
    with pytest.raises(UsageError, match=said) as raised:
        build_instructions(path, data, tmp_path / "out", lambda *_: None, eye=eye)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "conversations.jsonl").exists()


def test_a_folder_without_tiles_is_named(tmp_path: Path, recipe: Path, eye: Eye) -> None:
    with pytest.raises(UsageError, match="no labelled tiles"):
        build_instructions(recipe, tmp_path, tmp_path / "out", lambda *_: None, eye=eye)


def test_the_command_is_there_and_names_a_missing_recipe() -> None:
    result = CliRunner().invoke(app, ["build-data", "nowhere.toml", "--data", ".", "--out", "out"])
    assert isinstance(result.exception, UsageError)
    assert "nowhere.toml" in str(result.exception)
