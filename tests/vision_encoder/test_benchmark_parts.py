"""Laws of the other parts: whole cases, sources, diversity, changed pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_encoder.benchmark.atlas_cases import atlas_cases, measure_atlas
from vision_encoder.benchmark.baselines import ColourEncoder, random_encoder
from vision_encoder.benchmark.diversity import measure_diversity
from vision_encoder.benchmark.intervals import estimate
from vision_encoder.benchmark.robustness import SHIFTS, measure_robustness, stain_scaled
from vision_encoder.benchmark.sources import left_out_tasks, robustness_index, source_task
from vision_encoder.reference_tiles import ReferenceTiles

from ..conftest import paint_tissue
from .benchmark_tiles import made_tiles
from .test_benchmark_journey import painted

sklearn = pytest.importorskip("sklearn")


def two_sources(tiles: int = 30) -> ReferenceTiles:
    """Two sets, each of malignant and normal tiles, each tile a group of its own."""
    return made_tiles(
        [
            {
                "source": source,
                "group": f"{source}/{category}/{number}",
                "category": category,
                "tissue": category,
                "split": "dev" if number % 3 == 0 else "train",
            }
            for source in ("north", "south")
            for category in ("malignant", "normal")
            for number in range(tiles)
        ]
    )


def marked(marks: np.ndarray, seed: int = 0) -> np.ndarray:
    """Features in which the tiles of one mark lie together."""
    _, number = np.unique(marks.astype(str), return_inverse=True)
    features = np.random.default_rng(seed).normal(0, 0.02, (len(marks), 8))
    features[np.arange(len(marks)), number] += 1
    return features.astype(np.float32)


def test_the_robustness_index_is_one_for_tissue_alone_and_zero_for_source_alone() -> None:
    tiles = two_sources()
    tissue, source = robustness_index(marked(tiles.category), tiles), robustness_index(marked(tiles.source), tiles)
    assert tissue is not None
    assert source is not None
    assert tissue.samples[0] == 1
    assert source.samples[0] == 0


def test_the_robustness_index_of_noise_is_a_half() -> None:
    tiles = two_sources(60)
    noise = np.random.default_rng(0).normal(size=(len(tiles), 8)).astype(np.float32)
    found = robustness_index(noise, tiles)
    assert found is not None
    assert found.samples[0] == pytest.approx(0.5, abs=0.08)


def test_one_source_alone_has_no_robustness_index() -> None:
    tiles = two_sources()
    alone = tiles.where(tiles.source == "north")
    assert robustness_index(marked(alone.category), alone) is None


def test_a_set_left_out_is_learned_from_the_others_only() -> None:
    tiles = two_sources()
    for task in left_out_tasks(tiles, "tiles"):
        assert set(tiles.source[task.rows[task.tested]]) == {task.name}
        assert task.name not in set(tiles.source[task.rows[task.trained]])
        assert set(tiles.split[task.rows[task.tested]]) == {"dev"}


def test_the_source_task_names_the_sets() -> None:
    task = source_task(two_sources())
    assert task is not None
    assert task.classes == ("north", "south")


def atlas(groups: int = 15, slides: int = 2, tiles: int = 13) -> ReferenceTiles:
    """Cases of three organs, every third malignant, a fifth held out."""
    return made_tiles(
        [
            {
                "id": f"atlas/case{group}/slide{slide}/1@{tile},0",
                "kind": "cases",
                "source": "atlas",
                "group": f"atlas/case{group}",
                "split": "dev" if group < 4 else "train",
                "organ": ("colon", "liver", "skin")[group // 2 % 3],
                "category": ("malignant", "benign tumour", "normal/reactive/other")[group % 3],
            }
            for group in range(groups)
            for slide in range(slides)
            for tile in range(tiles)
        ]
    )


def test_perfect_features_part_the_cases_and_noise_does_not() -> None:
    tiles = atlas(groups=30)
    cases = atlas_cases(tiles)
    assert cases is not None
    assert (len(cases.slides), cases.malignant.sum(), cases.tumour.sum()) == (60, 20, 40)
    told = np.concatenate([marked(tiles.category), marked(tiles.organ)], axis=1)
    found = measure_atlas(told, cases, repeats=2)
    assert set(found) == {"malignant", "malignant, dev", "tumour", "tumour, dev", "organ", "organ, dev"}
    # scores of different folds are ranked together: their offsets cost a little
    assert all(figure.samples[0] > 0.9 for figure in found.values())
    assert found["organ"].samples[0] == 1
    noise = np.random.default_rng(1).normal(size=(len(tiles), 8)).astype(np.float32)
    assert measure_atlas(noise, cases, repeats=2)["malignant"].samples[0] < 0.75


def test_a_label_on_the_group_alone_cannot_be_carried_over() -> None:
    """Features that tell each case by heart, and nothing else, do not name the organ of an unseen case."""
    tiles = atlas(groups=30)
    cases = atlas_cases(tiles)
    assert cases is not None
    by_heart = np.eye(30, dtype=np.float32)[np.unique(tiles.group.astype(str), return_inverse=True)[1]]
    assert measure_atlas(by_heart, cases, repeats=2)["organ"].samples[0] < 0.5


def test_given_cases_join_the_folds_and_are_told_apart() -> None:
    tiles = atlas(groups=20)
    kinds = np.where(tiles.group == "atlas/case19", "given", tiles.kind.astype(str)).astype(object)
    kinds[np.isin(tiles.group, ["atlas/case18", "atlas/case17", "atlas/case16"])] = "given"
    mixed = ReferenceTiles(**{**{name: getattr(tiles, name) for name in tiles.__dataclass_fields__}, "kind": kinds})
    cases = atlas_cases(mixed)
    assert cases is not None
    assert "malignant, given" in measure_atlas(marked(tiles.category), cases, repeats=1)


def test_many_cases_teach_more_than_one_where_a_case_has_a_look_of_its_own() -> None:
    tiles = atlas(groups=36, slides=2, tiles=12)
    cases = atlas_cases(tiles)
    assert cases is not None
    own = np.random.default_rng(2).normal(0, 0.6, (36, 8))
    group = np.unique(tiles.group.astype(str), return_inverse=True)[1]
    arms = measure_diversity((marked(tiles.organ) + own[group]).astype(np.float32), cases)
    assert arms is not None
    assert arms.samples[4][0] > arms.samples[1][0]


def test_no_stain_shift_changes_nothing_and_more_stain_is_darker() -> None:
    tile = paint_tissue(64, 64)
    same = np.asarray(stain_scaled(tile, 1.0, 1.0), dtype=int)
    assert np.abs(same - np.asarray(tile, dtype=int)).max() <= 2
    assert np.asarray(stain_scaled(tile, 1.5, 1.5)).mean() < np.asarray(tile).mean()


@pytest.mark.parametrize("size", [(256, 256), (61, 40), (700, 460), (1, 1)])
def test_a_tile_of_any_size_can_be_changed(size: tuple[int, int]) -> None:
    tile = paint_tissue(*size) if min(size) > 1 else paint_tissue(64, 64).resize((1, 1))
    for name, shift in SHIFTS.items():
        changed = shift(tile)
        assert changed.mode == "RGB", name
        assert min(changed.size) >= 1


def test_colour_alone_suffers_from_stain_and_not_from_jpeg(tmp_path: Path) -> None:
    tiles, tasks = painted(tmp_path)
    encoder = ColourEncoder()
    clean = encoder.encode_tiles([tiles.image(row) for row in range(len(tiles))])
    found, again = (measure_robustness(encoder, clean, tiles, tasks, cache=tmp_path) for _ in range(2))
    for figures in (found.lost, found.renamed):
        assert estimate(figures["stain"]).value > estimate(figures["JPEG 30"]).value
    assert all(np.array_equal(found.lost[name], again.lost[name]) for name in found.lost)


def test_a_name_is_kept_where_the_features_do_not_move(tmp_path: Path) -> None:
    class Blind(ColourEncoder):
        sha256 = "1" * 64

        def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> np.ndarray:
            return np.ones((len(images), self.dimension), dtype=np.float32)

    tiles, tasks = painted(tmp_path)
    found = measure_robustness(Blind(), np.ones((len(tiles), 30), np.float32), tiles, tasks, cache=tmp_path)
    assert not any(vector.any() for figures in (found.lost, found.renamed) for vector in figures.values())


def test_random_weights_are_the_same_for_a_seed() -> None:
    tile = [paint_tissue(96, 96)]
    first, second, other = (random_encoder(seed) for seed in (0, 0, 1))
    assert np.array_equal(first.encode_tiles(tile), second.encode_tiles(tile))
    assert first.sha256 == second.sha256 != other.sha256
    assert np.isfinite(other.encode_tiles(tile)).all()
