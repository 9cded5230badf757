"""Slide models as a whole: what they learn, that a run can be killed, and what they say of a slide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slides.errors import SetupError, UsageError
from tests.vision_encoder.slide_bags import DIMENSION, RECIPE, FakeEncoder, made_bags, write_laboratory
from vision_encoder.benchmark.intervals import estimate
from vision_encoder.calibration import prediction_set
from vision_encoder.shipped import MadeForAnother
from vision_encoder.slide_models import run
from vision_encoder.slide_models.attention_model import AttentionModel
from vision_encoder.slide_models.bag import Bag, BagSet
from vision_encoder.slide_models.calibrate import fit_calibration
from vision_encoder.slide_models.compare import areas, kept, ladder
from vision_encoder.slide_models.composed import LabelledTiles, compose
from vision_encoder.slide_models.cross_fit import Fitting, folds_of, out_of_fold
from vision_encoder.slide_models.multitask import UNKNOWN
from vision_encoder.slide_models.pooling import fit_pooled, pooled
from vision_encoder.slide_models.recipe import read_recipe
from vision_encoder.slide_models.score import load_slide_model
from vision_encoder.slide_models.store import read_slide_model, write_slide_model

KINDS = ["mean", "max", "spread", "statistics", "abmil", "clam"]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def fitting(recipe: Path) -> Fitting:
    return Fitting(read_recipe(recipe))


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "load_encoder", lambda name: FakeEncoder())
    write_laboratory(tmp_path / "lab", made_bags())
    return tmp_path / "lab"


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_reads_a_bag_and_not_its_order(kind: str, fitting: Fitting) -> None:
    bags = made_bags(24)
    model = fitting.fit(kind, bags, [1])
    bag = bags.bags[3]
    turned = bag.where(np.random.default_rng(0).permutation(len(bag.features)))
    np.testing.assert_allclose(model.logits(bag)["tumour"], model.logits(turned)["tumour"], atol=1e-5)
    assert model.attention(bag)["tumour"].sum() == pytest.approx(1, abs=1e-5)
    assert model.tile_logits(bag)["tumour"].shape == (len(bag.features), 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tiles", [1, 2, 3])
def test_a_slide_of_few_tiles_is_learned_from_and_read(kind: str, tiles: int, fitting: Fitting) -> None:
    bags = made_bags(16)
    small = replace(bags, bags=tuple(bag.where(np.arange(tiles)) for bag in bags.bags))
    model = fitting.fit(kind, small, [1])
    assert np.isfinite(model.logits(small.bags[0])["tumour"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_model(kind: str, fitting: Fitting, tmp_path: Path) -> None:
    bags = made_bags(16)
    hashes = [write_slide_model(tmp_path / str(n), fitting.fit(kind, bags, [1]), {}) for n in range(2)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_from_disk_as_it_was(kind: str, fitting: Fitting, tmp_path: Path) -> None:
    bags = made_bags(16)
    model = fitting.fit(kind, bags, [1, 2])
    write_slide_model(tmp_path, model, {})
    again, _ = read_slide_model(tmp_path)
    for bag in bags.bags[:4]:
        np.testing.assert_allclose(again.logits(bag)["tumour"], model.logits(bag)["tumour"], atol=1e-4)
        np.testing.assert_allclose(again.tile_logits(bag)["tumour"], model.tile_logits(bag)["tumour"], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_the_tiles_make_the_decision(kind: str, fitting: Fitting) -> None:
    bags = made_bags(16)
    model = fitting.fit(kind, bags, [1])
    for bag in bags.bags[:4]:
        made = model.attention(bag)["tumour"] @ model.tile_logits(bag)["tumour"]
        np.testing.assert_allclose(made, model.logits(bag)["tumour"], atol=1e-5)


def test_the_top_tiles_are_the_ones_ranked_highest() -> None:
    features = np.arange(40, dtype=np.float32)[:, None]
    row = pooled("statistics", features, -features.astype(np.float64))
    np.testing.assert_allclose(row, [19.5, features.std(), 0.0, 0.5])  # 1 % is one tile, 5 % are two


def test_attention_finds_few_tumour_tiles_where_the_mean_drowns_them(fitting: Fitting) -> None:
    bags = made_bags(96, share=0.1)
    longer = replace(fitting, recipe=replace(fitting.recipe, training=replace(fitting.recipe.training, epochs=60)))
    model = longer.fit("abmil", bags, [1])
    assert isinstance(model, AttentionModel)
    won = total = 0.0
    for bag in made_bags(40, seed=9, share=0.1).bags:
        if bag.truth is not None and bag.truth.any():
            logits = model.tile_logits(bag)["tumour"] @ [-1, 1]
            won += (logits[bag.truth][:, None] > logits[~bag.truth]).mean()
            total += 1
    assert won / total > 0.9


def test_no_patient_lies_on_both_sides_of_a_fold(fitting: Fitting) -> None:
    bags = made_bags()
    for fitted, held_out in folds_of(bags, fitting.recipe, 3):
        assert not set(bags.groups[fitted]) & set(bags.groups[held_out])


def test_a_killed_run_ends_as_one_that_was_not(fitting: Fitting, tmp_path: Path) -> None:
    bags = made_bags(24)
    whole = out_of_fold("abmil", bags, fitting)
    kept_fits = replace(fitting, kept=tmp_path / "parts")

    class Killed(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        out_of_fold("abmil", bags, kept_fits, kill)
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").iterdir()}
    again = out_of_fold("abmil", bags, kept_fits)
    assert len(done) == 3
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    np.testing.assert_array_equal(again["tumour"], whole["tumour"])


def test_a_model_is_kept_only_where_it_surely_beats_the_one_before() -> None:
    bags = made_bags(80)
    truth = bags.labels["tumour"]
    draw = np.random.default_rng(0)

    def logits(signal: float) -> np.ndarray:
        score = signal * truth + draw.normal(size=len(truth))
        return np.stack([-score, score], axis=1)

    weak, same, strong = logits(0.5), logits(0.5), logits(4.0)
    found = {"mean": {"tumour": weak}, "abmil": {"tumour": same}, "clam": {"tumour": strong}}
    steps = ladder(bags, found, ["mean", "abmil", "clam"], "tumour")
    assert [step.kept for step in steps] == [True, False, True]
    assert steps[2].against == "mean"
    assert kept(steps) == "clam"


def test_calibrated_probabilities_are_the_observed_shares() -> None:
    draw = np.random.default_rng(2)
    count = 4000
    score = draw.normal(size=count)
    truth = (draw.random(count) < 1 / (1 + np.exp(-(2 * score - 1)))).astype(np.int64)
    raw = np.stack([-score, score], axis=1)  # too flat and off by a shift
    groups = np.array([str(number) for number in range(count)], dtype=object)
    calibration = fit_calibration(raw[:2000], truth[:2000], groups[:2000])
    stated = calibration.probabilities(raw[2000:])[:, 1]
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        chosen = (stated >= low) & (stated < high)
        assert truth[2000:][chosen].mean() == pytest.approx(stated[chosen].mean(), abs=0.06)
    sets = [prediction_set(row, calibration.threshold) for row in calibration.probabilities(raw[2000:])]
    covered = np.mean([label in chosen for label, chosen in zip(truth[2000:], sets, strict=True)])
    assert covered == pytest.approx(0.9, abs=0.03)


def test_a_patient_of_many_slides_counts_once() -> None:
    draw = np.random.default_rng(3)
    score = draw.normal(size=60)
    truth = (score + draw.normal(size=60) > 0).astype(np.int64)
    raw, groups = np.stack([-score, score], axis=1), np.array([str(n) for n in range(60)], dtype=object)
    repeated = np.concatenate([np.arange(60), np.zeros(200, dtype=np.int64)])
    once = fit_calibration(raw, truth, groups)
    many = fit_calibration(raw[repeated], truth[repeated], groups[repeated])
    assert once.groups == many.groups == 60
    assert once.scale == pytest.approx(many.scale, rel=1e-3)
    assert once.threshold == pytest.approx(many.threshold, abs=1e-3)


def test_a_composed_slide_holds_what_it_says_and_folds_share_no_tile() -> None:
    draw = np.random.default_rng(4)
    features = draw.normal(size=(80, 3)).astype(np.float32)
    groups = np.array([f"g{number // 2}" for number in range(80)], dtype=object)
    tiles = LabelledTiles(features, np.arange(80) // 4 % 2 == 1, groups, np.array(["a", "b"] * 40, dtype=object))
    settings = {"slides": 40, "pools": 3, "tiles": [5, 12], "share": [0.1, 0.5]}
    bags, again = compose(tiles, settings, 1), compose(tiles, settings, 1)
    assert bags.sha256() == again.sha256() != compose(tiles, settings, 2).sha256()
    seen: dict[bytes, str] = {}
    for bag, label in zip(bags.bags, bags.labels["tumour"], strict=True):
        assert bag.truth is not None
        assert bag.truth.any() == bool(label)
        assert bag.truth.mean() <= 0.6
        for tile in bag.features:
            assert seen.setdefault(tile.tobytes(), bag.group) == bag.group


def test_a_laboratory_trains_its_own_and_scores_with_it(laboratory: Path, recipe: Path, tmp_path: Path) -> None:
    card = run.train_slide(recipe, laboratory, tmp_path / "out")
    again = run.train_slide(recipe, laboratory, tmp_path / "again")
    assert card == again
    assert not (tmp_path / "out" / "parts").exists()
    assert "patient" not in (tmp_path / "out" / "slide_model.json").read_text().replace("patients", "")
    model = load_slide_model(tmp_path / "out", FakeEncoder())
    bags = made_bags(40, seed=5)
    scores = [model.score(bag.features, bag.coords) for bag in bags.bags]
    for bag, score in zip(bags.bags, scores, strict=True):
        assert sum(score.probabilities["tumour"].values()) == pytest.approx(1)
        assert score.tile_logits.shape == score.attention.shape == (len(bag.features),)
        assert score.calibrated
        assert score.first.abstained == (len(score.first.prediction_set) > 1)
        assert (score.first.reason is None) == (not score.first.abstained)
    logits = np.array([score.first.probability("tumour") for score in scores])
    found = areas(np.stack([-logits, logits], axis=1), bags.labels["tumour"], bags.groups)
    assert estimate(found).value > 0.9


SECOND = """
[[task]]
name = "{name}"
column = "label"
classes = ["{low}", "{high}"]
{more}
[task.values]
none = "{low}"
tumour = "{high}"
"""


@pytest.mark.parametrize(
    ("kind", "second"),
    [
        ("toad", SECOND.format(name="site", low="primary", high="metastatic", more="")),
        ("crane", SECOND.format(name="grade", low="low", high="high", more='among = ["tumour", "tumour"]')),
    ],
)
def test_toad_and_crane_are_recipes_too(kind: str, second: str, laboratory: Path, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE.replace('"mean", "abmil"', f'"{kind}"') + second, encoding="utf-8")
    card = run.train_slide(recipe, laboratory, tmp_path / "out")
    assert card["kind"] == kind
    model = load_slide_model(tmp_path / "out")
    bag = made_bags(4).bags[2]
    told, unknown = model.score(bag.features, sex=0), model.score(bag.features)
    assert len(told.tasks) == 2
    assert (told.probabilities == unknown.probabilities) == (kind == "crane")
    bad = second.replace("among", "amongst").replace("site", "tumour")
    recipe.write_text(RECIPE + bad, encoding="utf-8")
    with pytest.raises(UsageError):
        read_recipe(recipe)


def test_a_model_says_nothing_that_it_has_no_right_to(laboratory: Path, recipe: Path, tmp_path: Path) -> None:
    few = made_bags(24)
    folder = tmp_path / "few"
    write_laboratory(folder, few)
    run.train_slide(recipe, folder, tmp_path / "out")
    model = load_slide_model(tmp_path / "out")
    score = model.score(few.bags[0].features)
    assert not score.calibrated
    assert score.first.abstained
    assert "12 patients" in (score.first.reason or "")
    noise = made_bags(80, seed=1, distance=0.0)
    write_laboratory(tmp_path / "noise", noise)
    run.train_slide(recipe, tmp_path / "noise", tmp_path / "of noise")
    said = load_slide_model(tmp_path / "of noise").score(noise.bags[0].features).first
    assert said.abstained
    assert "chance" in (said.reason or "")


def test_a_slide_model_of_another_encoder_or_with_other_bytes_is_refused(
    laboratory: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run.train_slide(recipe, laboratory, out)
    other = FakeEncoder()
    other.sha256 = "0" * 64
    with pytest.raises(MadeForAnother):
        load_slide_model(out, other)
    with pytest.raises(ValueError, match="features"):
        load_slide_model(out).score(np.zeros((3, DIMENSION + 1), dtype=np.float32))
    content = bytearray((out / "slide_model.safetensors").read_bytes())
    content[-1] ^= 1
    (out / "slide_model.safetensors").write_bytes(bytes(content))
    with pytest.raises(SetupError, match="hash"):
        load_slide_model(out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lab: (lab / "labels.csv").unlink(), "cannot read labels.csv"),
        (lambda lab: (lab / "labels.csv").write_text("path,label\na.svs,none\n"), "no column 'patient'"),
        (lambda lab: (lab / "labels.csv").write_text("path,patient,label\na.svs,p,none\n"), "pathcopilot embed"),
        (lambda lab: _relabel(lab, "tumour", "tumor"), "'tumor' is no class"),
        (lambda lab: _relabel(lab, ",f", ",x"), "sex is f, m or empty"),
        (lambda lab: (lab / "features" / "slide-0.h5").write_bytes(b"no HDF5"), "no features and coords"),
    ],
)
def test_a_table_that_does_not_fit_ends_in_one_line(
    laboratory: Path, recipe: Path, tmp_path: Path, change: Any, said: str
) -> None:
    change(laboratory)
    with pytest.raises(UsageError, match=said) as caught:
        run.train_slide(recipe, laboratory, tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('models = ["mean", "abmil"]', 'models = ["transmil"]', "model 'transmil'"),
        ('from = "table"', 'from = "web"', "from = one of"),
        ("folds = 3", "folds = 1", "folds is a whole number"),
        ("folds = 3", "fold = 3", "key that no slide model reads"),
        ("epochs = 3", "epoch = 3", "has no 'epoch'"),
        ('classes = ["none", "tumour"]', 'classes = ["none"]', "two different classes"),
    ],
)
def test_a_recipe_that_cannot_be_read_ends_in_one_line(recipe: Path, old: str, new: str, said: str) -> None:
    recipe.write_text(RECIPE.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_recipe(recipe)


def test_unknown_labels_are_left_out_and_not_guessed(fitting: Fitting) -> None:
    bags = made_bags(24)
    labels = bags.labels["tumour"].copy()
    labels[:6] = UNKNOWN
    partly = BagSet(bags.bags, {"tumour": labels}, bags.classes, bags.source)
    known = fit_pooled("mean", partly.where(np.arange(6, 24)), 0.5)
    both = fit_pooled("mean", partly, 0.5)
    np.testing.assert_allclose(known.heads["tumour"].slope, both.heads["tumour"].slope)
    assert np.isfinite(out_of_fold("abmil", partly, fitting)["tumour"]).all()


def test_an_empty_bag_is_no_bag(fitting: Fitting, laboratory: Path, recipe: Path, tmp_path: Path) -> None:
    run.train_slide(recipe, laboratory, tmp_path / "out")
    with pytest.raises(ValueError, match="at least 1"):
        load_slide_model(tmp_path / "out").score(np.empty((0, DIMENSION), dtype=np.float32))
    assert Bag("a", "b", np.zeros((1, DIMENSION), np.float32), np.zeros((1, 2), np.int64)).where([0]).truth is None


def _relabel(laboratory: Path, old: str, new: str) -> None:
    table = laboratory / "labels.csv"
    table.write_text(table.read_text().replace(old, new))
