"""Laws of the measures: a map that shows the tumour is told from one that does not, and parts are worth deleting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.vision_encoder.slide_bags import RECIPE, made_bags
from vision_encoder.benchmark.intervals import estimate
from vision_encoder.shipped import WEIGHTS
from vision_encoder.slide_models.compare import areas
from vision_encoder.slide_models.cross_fit import Fitting
from vision_encoder.slide_models.evaluate import _some, learning_curve
from vision_encoder.slide_models.faithful import MAPS, deletion, deletion_area, localisation, map_of
from vision_encoder.slide_models.recipe import read_recipe
from vision_encoder.slide_models.score import load_slide_model
from vision_encoder.slide_models.sections import Sections

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fitting(tmp_path: Path) -> Fitting:
    path = tmp_path / "own.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return Fitting(read_recipe(path))


def test_a_map_of_the_truth_finds_every_tile_and_its_opposite_none() -> None:
    bags = made_bags(20)
    sources = np.array(["a", "b"] * 10, dtype=object)
    truth = [bag.truth.astype(float) for bag in bags.bags if bag.truth is not None]
    assert localisation(bags, truth, sources)[0] == 1  # type: ignore[index]
    assert localisation(bags, [-row for row in truth], sources)[0] == 0  # type: ignore[index]
    assert localisation(bags, [np.zeros_like(row) for row in truth], sources)[0] == 0.5  # type: ignore[index]
    assert localisation(bags.where(np.flatnonzero(bags.labels["tumour"] == 0)), truth[:10], sources[:10]) is None


@pytest.mark.parametrize("kind", ["mean", "spread", "abmil"])
def test_the_parts_of_tiles_find_tumour_where_the_slide_was_read_rightly(kind: str, fitting: Fitting) -> None:
    longer = replace(fitting, recipe=replace(fitting.recipe, training=replace(fitting.recipe.training, epochs=60)))
    model = longer.fit(kind, made_bags(80, share=0.2), [1])
    asked = made_bags(40, seed=4, share=0.2)
    maps = [map_of(model, bag, "tumour", "tile logits") for bag in asked.bags]
    found = localisation(asked, maps, np.array(["a"] * 40, dtype=object))
    assert found is not None
    assert estimate(found).low > 0.6


def test_deleting_by_the_parts_of_a_mean_lowers_it_as_fast_as_can_be(fitting: Fitting) -> None:
    bags = made_bags(24)
    model = fitting.fit("mean", bags, [1])
    for bag in bags.bags[:6]:
        shown = map_of(model, bag, "tumour", "tile logits")
        best = deletion_area(model, bag, "tumour", shown)
        others = [deletion_area(model, bag, "tumour", np.random.default_rng(n).random(len(shown))) for n in range(10)]
        assert best < min(others)
        assert deletion_area(model, bag, "tumour", -shown) > max(others)


def test_deletion_is_paired_over_patients(fitting: Fitting) -> None:
    bags = made_bags(24)
    model = fitting.fit("mean", bags, [1])
    found = deletion(bags, [model] * len(bags), "tumour")
    assert set(found.areas) == set(MAPS)
    less = found.areas["tile logits"].value - found.areas["random"].value
    assert found.less["random"].value == pytest.approx(less)
    assert found.less["random"].high < 0


def test_a_share_of_the_patients_keeps_whole_patients_of_every_class() -> None:
    bags = made_bags(48)
    rows, numbers = np.arange(48), bags.labels["tumour"]
    for share in (0.1, 0.5, 1.0):
        some = _some(rows, numbers, bags.groups, share, 1)
        assert set(numbers[some]) == {0, 1}
        assert set(bags.groups[some]).isdisjoint(set(bags.groups) - set(bags.groups[some]))
        assert len(set(bags.groups[some])) == 2 * max(1, round(share * 12))


def test_more_patients_teach_more(fitting: Fitting) -> None:
    curve = learning_curve("mean", made_bags(60, distance=4.0), fitting.recipe, lambda *_: None)
    assert curve["100%"][0] > curve["10%"][0]


def test_a_section_is_made_once_and_comes_back_as_it_was(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, list[float]]:
        made.append(1)
        return {"area": [0.1, 0.2]}

    for _ in range(2):
        assert Sections(tmp_path / "kept").once("curve mean", make) == {"area": [0.1, 0.2]}
    assert len(made) == 1
    Sections(None).once("curve mean", make)
    assert len(made) == 2


def test_areas_of_several_classes_are_one_where_all_are_told_and_half_where_none_is() -> None:
    numbers = np.arange(30) % 3
    groups = np.array([str(n) for n in range(30)], dtype=object)
    assert areas(np.eye(3)[numbers] * 5, numbers, groups)[0] == 1
    assert areas(np.zeros((30, 3)), numbers, groups)[0] == 0.5


@pytest.mark.parametrize("name", ["slide-atlas", "slide-composed"])
def test_the_recipes_that_are_here_can_be_read(name: str) -> None:
    assert read_recipe(ROOT / "recipes" / f"{name}.toml").tasks


def test_what_ships_is_of_its_recipe_and_fits_its_encoder() -> None:
    if not (WEIGHTS / "slide_model.json").is_file():
        pytest.skip("no slide model ships")
    from vision_encoder.catalog import load_encoder

    loaded = load_slide_model(encoder=load_encoder())
    assert loaded.card["recipe_sha256"] == read_recipe(ROOT / "recipes" / "slide-atlas.toml").sha256
    assert (WEIGHTS / "slide_model.safetensors").stat().st_size < 2_000_000
    features = np.random.default_rng(0).normal(size=(20, loaded.card["encoder"]["dimension"])).astype(np.float32)
    score = loaded.score(features)
    for task in score.tasks.values():
        assert task.probabilities.sum() == pytest.approx(1)
        made = loaded.calibrations[task.task].probabilities(task.attention @ task.tile_logits)
        np.testing.assert_allclose(made, task.probabilities, atol=1e-4)
        if task.task in loaded.card["silent"]:
            assert task.abstained
