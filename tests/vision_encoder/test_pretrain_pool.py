"""Laws of the tiles that pretraining sees: what is held out stays out, and no slide rules the batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slides.errors import UsageError
from vision_encoder.duplicates import near_identical, thumbnail
from vision_encoder.pretrain.pool import Sampler, pool_of_tiles, refuse_held_out
from vision_encoder.pretrain.recipe import read_recipe
from vision_encoder.pretrain.run import learned_tiles
from vision_encoder.reference_tiles import ReferenceTiles, load_reference_tiles

from .benchmark_tiles import made_tiles
from .pretrain_tiles import pool_of, run, write_recipe, write_set

pytest.importorskip("pyarrow")
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("bad", [{"split": "dev"}, {"permissive": False}], ids=["held out", "not permissive"])
def test_a_tile_that_may_not_be_seen_is_refused(bad: dict[str, object]) -> None:
    tiles = made_tiles([{}, {"id": "the bad one", **bad}, {}])
    for refuse in (refuse_held_out, lambda tiles: pool_of_tiles(tiles, 32)):
        with pytest.raises(UsageError, match="'the bad one' is held out or not permissive"):
            refuse(tiles)
    refuse_held_out(tiles.where(np.array([0, 2])))


def test_a_run_learns_from_permissive_training_tiles_alone(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", split={0: "dev", 1: "dev"}, terms={2: "noncommercial", 3: "unclear"})
    assert run(write_recipe(tmp_path), data, tmp_path / "out", until=1)["tiles"] == 8


@pytest.fixture(scope="module")
def everything(shared_data: Path) -> ReferenceTiles:
    return load_reference_tiles(shared_data, {})


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("pretrain*.toml")), ids=lambda path: path.stem)
def test_no_group_of_the_shared_data_that_is_held_out_is_learned_from(everything: ReferenceTiles, recipe: Path) -> None:
    learned = learned_tiles(everything, read_recipe(recipe))
    held_out = everything.where(everything.split == "dev")
    assert len(learned) > 5000
    assert not set(learned.group) & set(held_out.group)
    assert not set(learned.id) & set(held_out.id)
    assert learned.permissive.all()
    assert set(learned.split) == {"train"}


@pytest.mark.slow
def test_no_tile_of_the_shared_data_that_is_learned_from_shows_a_held_out_picture(everything: ReferenceTiles) -> None:
    learned = learned_tiles(everything, read_recipe(RECIPES / "pretrain-cpu.toml"))
    held_out = everything.where(everything.split == "dev")
    pictures = [thumbnail(tiles.image(row)) for tiles in (learned, held_out) for row in range(len(tiles))]
    side = np.array(["learned"] * len(learned) + ["held out"] * len(held_out), dtype=object)
    assert list(near_identical(np.stack(pictures), side)) == []


def test_the_same_step_draws_the_same_batch_and_another_step_another() -> None:
    pool = pool_of([5] * 30)
    first, again = Sampler(pool, 16, 7), Sampler(pool, 16, 7)
    assert np.array_equal(first.draw(3), again.draw(3))
    assert not np.array_equal(first.draw(3), first.draw(4))
    assert not np.array_equal(first.draw(3), Sampler(pool, 16, 8).draw(3))


@pytest.mark.parametrize(
    "slides", [[5] * 30, [1, 2, 3], [400, *[2] * 40], [1]], ids=["even", "few", "one large", "one"]
)
def test_neighbours_are_two_tiles_of_one_slide(slides: list[int]) -> None:
    pool = pool_of(slides)
    sampler = Sampler(pool, 16, 7)
    for step in range(20):
        drawn = sampler.draw(step)
        assert drawn.shape == (16,)
        one, other = drawn[0::2], drawn[1::2]
        assert np.array_equal(pool.slide[one], pool.slide[other])
        assert all(a != b or slides[pool.slide[a]] == 1 for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "slides",
    [[5000, *[2] * 40], [900, 800, 700, *[1] * 60], [50] * 21, [3000, *[30] * 400]],
    ids=["one large", "three large", "even", "many"],
)
@pytest.mark.parametrize("batch", [8, 64])
def test_no_slide_gives_more_than_a_twentieth_in_the_long_run(slides: list[int], batch: int) -> None:
    pool = pool_of(slides)
    sampler = Sampler(pool, batch, 7)
    counts = np.bincount(
        np.concatenate([pool.slide[sampler.draw(step)] for step in range(6000 // batch)]), minlength=len(slides)
    )
    draws = counts.sum() / 2  # a slide is drawn for two tiles at once
    assert counts.max() / counts.sum() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    assert (counts > 0).mean() > 0.9


def test_with_few_slides_each_gives_alike() -> None:
    pool = pool_of([100, 1, 1, 1])
    sampler = Sampler(pool, 8, 7)
    counts = np.bincount(np.concatenate([pool.slide[sampler.draw(step)] for step in range(400)]))
    assert np.allclose(counts / counts.sum(), 0.25, atol=0.03)


def test_labelled_tiles_come_last_and_classes_come_alike() -> None:
    pool = pool_of([20] * 30)
    pool.task[:90], pool.label[:80], pool.label[80:90] = 0, 0, 1
    pool = type(pool)(pool.pixels, pool.slide, pool.task, pool.label, (2,))
    sampler = Sampler(pool, 16, 7, labelled=0.5)
    assert sampler.pairs == 4
    labels = np.concatenate([pool.label[sampler.draw(step)[8:]] for step in range(100)])
    assert set(labels) == {0, 1}
    assert labels.mean() == pytest.approx(0.5, abs=0.08)


def test_a_class_of_several_sets_is_drawn_from_each_alike() -> None:
    pool = pool_of([20] * 30)
    pool.task[:100], pool.label[:100] = 0, 0
    source = np.repeat([0, 1, 2], [90, 10, len(pool) - 100])
    pool = type(pool)(pool.pixels, pool.slide, pool.task, pool.label, (1,), source)
    sampler = Sampler(pool, 16, 7, labelled=0.5)
    sources = np.concatenate([source[sampler.draw(step)[8:]] for step in range(100)])
    assert set(sources) == {0, 1}
    assert sources.mean() == pytest.approx(0.5, abs=0.08)


def test_processes_share_a_draw_without_rest() -> None:
    pool = pool_of([20] * 30)
    pool.task[:90], pool.label[:90] = 0, 0
    pool = type(pool)(pool.pixels, pool.slide, pool.task, pool.label, (1,))
    one, three = Sampler(pool, 48, 7, labelled=0.25), Sampler(pool, 16, 7, labelled=0.25, processes=3)
    assert np.array_equal(one.draw(5), three.draw(5))
    assert (one.pairs, three.pairs) == (18, 6)
    rows = [three.rows(process) for process in range(3)]
    assert sorted(np.concatenate(rows)) == list(range(48))
    for own in rows:
        assert np.array_equal(own[0:12:2] + 1, own[1:12:2])  # a pair stays together
        assert (pool.task[three.draw(5)[own[12:]]] == 0).all()


def test_a_pool_is_told_from_another_by_its_hash() -> None:
    pool, other = pool_of([4] * 5), pool_of([4] * 5)
    assert pool.sha256() == other.sha256()
    other.pixels[7, 0, 0, 0] += 1
    assert pool.sha256() != other.sha256()
    assert pool.sha256() != pool_of([5] * 4).sha256()
