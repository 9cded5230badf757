"""Laws of training: the same recipe and data make the same files, and what is held out stays out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slides.errors import UsageError
from vision_encoder import load_encoder
from vision_encoder.bags import draw_bags, tile_weights, unit_weights, units_of
from vision_encoder.build_atlas import build
from vision_encoder.heads import load_heads
from vision_encoder.label_split import is_unnamed
from vision_encoder.reference_tiles import load_reference_tiles
from vision_encoder.retrieval import load_atlas
from vision_encoder.train_heads import head_labels, train
from vision_encoder.views import VIEWS, view_of

from ..conftest import paint_tissue

pyarrow = pytest.importorskip("pyarrow")

HEADS = """
encoder = "embedded"
seed = 3
changed_views = ["half"]
changed_per_group = 1
dimensions = 12
whitening = 0.5
penalties = [0.3, 3.0]
balance = 0.75
folds = 3
coverage = 0.9
downsamples = [1]
negatives_per_kind = 1
[novelty]
dimensions = 8
tiles_per_group = 2
[rename.stain]
"none" = "not histology"
[[head]]
name = "stain"
column = "stain"
stain = ""
certain = false
minimum_groups = 3
mpp = [0.2, 1.5]
least_accuracy = 0.8
[[head]]
name = "organ"
column = "organ"
stain = "HE"
certain = true
minimum_groups = 3
mpp = [0.2, 1.5]
least_accuracy = 0.8
"""
ATLAS = """
encoder = "embedded"
seed = 3
dimensions = 8
whitening = 0.5
neighbours = 1
novelty_dimensions = 8
tiles_per_case = 4
downsamples = [1]
draws = 2
[rename.category]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two organs of generated tissue, told apart by colour: 12 training groups each, 2 held out, 2 unclear."""
    import pyarrow.parquet

    folder = tmp_path_factory.mktemp("data")
    (folder / "tiles").mkdir()
    rows = []
    for organ, tint in (("colon", (1.0, 0.9, 1.0)), ("liver", (0.9, 1.0, 0.8))):
        for number in range(16):
            for tile in range(2):
                pixels = np.asarray(paint_tissue(96, 96, number * 2 + tile)) * np.array(tint)
                file = io.BytesIO()
                Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=90)
                rows.append(
                    {
                        "id": f"{organ}-{number}-{tile}",
                        "dataset": "made",
                        "group": f"{organ}-{number}",
                        "organ": organ,
                        "label": organ,
                        "disease": f"normal {organ}",
                        "category": "normal",
                        "stain": "HE",
                        "mpp": 0.5,
                        "split": "dev" if number >= 14 else "train",
                        "terms": "unclear" if number in (12, 13) else "permissive",
                        "jpeg": file.getvalue(),
                    }
                )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "tiles" / "made.parquet")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_recipe_run_again_makes_the_same_files(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "heads.toml"
    recipe.write_text(HEADS, encoding="utf-8")
    once, again = tmp_path / "once", tmp_path / "again"
    assert train(recipe, data, out=once) == train(recipe, data, out=again)
    for name in ("heads.safetensors", "heads.json"):
        assert (once / name).read_bytes() == (again / name).read_bytes()
    heads = load_heads(load_encoder(), once)
    assert heads.names == ("stain", "organ")
    assert heads["organ"].classes == ("colon", "liver")
    assert heads.card["tiles"] == 48


def test_a_head_is_calibrated_only_on_groups_whose_label_the_encoder_never_learned(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "heads.toml"
    recipe.write_text('encoder_learned = ["made"]\n' + HEADS, encoding="utf-8")
    train(recipe, data, out=tmp_path)
    tiles = load_reference_tiles(data, {})
    learned_from = tiles.where(tiles.permissive & (tiles.split == "train"))
    unnamed = {group for group in learned_from.group if is_unnamed(group)}
    assert 0 < len(unnamed) < len(set(learned_from.group))
    row = next(row for row in load_heads(load_encoder(), tmp_path).card["heads"] if row["name"] == "organ")
    assert len(row["novelty"]["1"]["all"]) == len(unnamed)
    assert row["groups"] == len(set(learned_from.group))


def test_a_third_of_groups_is_unnamed() -> None:
    share = np.mean([is_unnamed(f"set/{number}") for number in range(3000)])
    assert 0.30 < share < 0.37


def test_the_trained_head_tells_the_held_out_groups_apart(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "heads.toml"
    recipe.write_text(HEADS, encoding="utf-8")
    train(recipe, data, out=tmp_path)
    encoder = load_encoder()
    head = load_heads(encoder, tmp_path)["organ"]
    tiles = load_reference_tiles(data, {})
    held_out = tiles.where(tiles.split == "dev")
    features = encoder.encode_tiles([held_out.image(position) for position in range(len(held_out))])
    found = [head.classes[int(row.argmax())] for row in head.tile_probabilities(features)]
    assert found == list(held_out.organ)


def test_an_atlas_built_again_is_the_same_and_knows_its_organs(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "atlas.toml"
    recipe.write_text(ATLAS, encoding="utf-8")
    assert build(recipe, data, out=tmp_path / "once") == build(recipe, data, out=tmp_path / "again")
    encoder = load_encoder()
    atlas = load_atlas(encoder, tmp_path / "once")
    assert [case.diagnosis for case in atlas.cases] == ["normal colon", "normal liver"]
    tiles = load_reference_tiles(data, {})
    livers = tiles.where((tiles.split == "dev") & (tiles.organ == "liver"))
    matches = atlas.nearest(encoder.encode_tiles([livers.image(position) for position in range(4)]))
    assert [match.organ for match in matches[:1]] in ([], ["liver"])


def test_a_folder_without_tiles_is_a_users_error(tmp_path: Path) -> None:
    recipe = tmp_path / "heads.toml"
    recipe.write_text(HEADS, encoding="utf-8")
    with pytest.raises(UsageError, match="no labelled tiles"):
        train(recipe, tmp_path, out=tmp_path)


def test_each_group_weighs_alike_and_balance_evens_the_classes() -> None:
    groups = np.array([f"g{number}" for number in (0, 0, 0, 1, 2, 2, 3)], dtype=object)
    labels = np.array([0, 0, 0, 0, 0, 0, 1])
    units = units_of(groups, groups, labels)
    assert [len(unit.tiles) for unit in units] == [3, 1, 2, 1]
    even = tile_weights(units, 1.0, len(groups))
    assert even[labels == 0].sum() == pytest.approx(even[labels == 1].sum())
    assert even[:3].sum() == pytest.approx(even[3])
    assert np.allclose(unit_weights(units, 0.0), 1)


def test_bags_hold_tiles_of_one_group_and_one_magnification_where_they_can() -> None:
    groups = np.repeat(np.array(["a", "b"], dtype=object), 20)
    levels = np.tile([1, 1, 1, 2], 10)
    units = units_of(groups, groups, np.zeros(40, dtype=np.int64))
    bags = list(draw_bags(units, levels, draws=3, seed=1))
    assert {size for size, _, _ in bags} == {1, 4, 16}
    for size, number, tiles in bags:
        assert len(set(tiles)) == size
        assert set(groups[tiles]) == {units[number].group}
        assert size == 16 or len(set(levels[tiles])) == 1


@pytest.mark.parametrize("view", list(VIEWS))
def test_a_view_is_the_same_every_time_and_its_own_for_each_tile(view: str) -> None:
    image = paint_tissue(256, 200)
    first, second = view_of(image, view, "a"), view_of(image, view, "a")
    assert np.array_equal(np.asarray(first), np.asarray(second))
    assert first.mode == "RGB"
    if view != "whole":
        other = view_of(image, view, "b")
        assert first.size != other.size or not np.array_equal(np.asarray(first), np.asarray(other))


def test_a_head_learns_nothing_from_the_tissue_it_is_to_leave_out(data: Path) -> None:
    tiles = load_reference_tiles(data, {})
    head = {"column": "organ", "stain": "", "certain": False, "minimum_groups": 1}
    left_out = str(tiles.tissue[0])
    every, fewer = head_labels(head, tiles), head_labels({**head, "without": [left_out]}, tiles)
    members = tiles.tissue == left_out
    assert (every != "").all()
    assert (fewer[members] == "").all()
    assert (fewer[~members] == every[~members]).all()
