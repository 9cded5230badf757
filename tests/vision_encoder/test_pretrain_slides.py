"""Laws of tiles cut from slides: sharp tissue at the asked scale, each picture once, and who cannot be cut is named."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFilter

from slides import UsageError, open_slide
from slides.folder import slides_in
from vision_encoder.duplicates import SIDE, thumbnail
from vision_encoder.pretrain import slide_tiles
from vision_encoder.pretrain.pool import joined, unlabelled_pool
from vision_encoder.pretrain.recipe import Recipe
from vision_encoder.pretrain.slide_tiles import SlideTiles, cut_tiles, plan_cuts, room_for

from ..conftest import paint_tissue
from .pretrain_tiles import checkpoint_of, pool_of, run, same, write_recipe, write_set

RECIPE = Recipe("tiny", "0" * 64, {}, tile_px=64, slide_mpp=0.5, tiles_per_slide=12)
NOTHING = np.empty((0, SIDE, SIDE), dtype=np.float32)


def save_slide(path: Path, image: Image.Image, mpp: float | None = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = {} if mpp is None else {"resolution": (10000 / mpp, 10000 / mpp), "resolutionunit": "CENTIMETER"}
    kind = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    tifffile.imwrite(path, np.asarray(image), **kind | scale)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides that can be cut, one in a folder within; and one of each kind that cannot."""
    place = tmp_path_factory.mktemp("folder")
    save_slide(place / "first.tif", paint_tissue(700, 600, 1))
    save_slide(place / "inner" / "second.tif", paint_tissue(700, 600, 2))
    save_slide(place / "inner" / "zz copy.tif", paint_tissue(700, 600, 1))
    save_slide(place / "glass.tif", Image.new("RGB", (600, 600), (243, 241, 243)))
    save_slide(place / "coarse.tif", paint_tissue(700, 600, 3), mpp=4.0)
    paint_tissue(500, 400, 4).save(place / "photograph.png")
    (place / "broken.svs").write_bytes((place / "first.tif").read_bytes()[:4000])
    (place / "report.pdf").write_bytes(b"%PDF-1.4")
    return place


@pytest.fixture(scope="module")
def said_and_cut(folder: Path) -> tuple[str, SlideTiles, np.ndarray]:
    lines: list[str] = []
    cuts = plan_cuts([folder], RECIPE, lines.append, quiet)
    pixels = room_for(sum(cut.most for cut in cuts), 64, folder)
    tiles = cut_tiles(cuts, pixels, NOTHING, lines.append, quiet)
    return "".join(lines), tiles, pixels[: len(tiles)]


def quiet(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def test_each_slide_gives_so_many_tiles_at_most(said_and_cut: tuple[str, SlideTiles, np.ndarray]) -> None:
    _, tiles, _ = said_and_cut
    assert tiles.slides == 2
    assert set(tiles.slide) == {0, 1}
    assert 6 <= np.bincount(tiles.slide).min() <= np.bincount(tiles.slide).max() <= 12


def test_what_cannot_be_cut_is_named_with_the_reason_and_no_path(
    said_and_cut: tuple[str, SlideTiles, np.ndarray], folder: Path
) -> None:
    said = said_and_cut[0].splitlines()
    reasons = {
        "broken.svs": "",
        "coarse.tif": "4 µm/px is coarser than the 0.5 asked for",
        "glass.tif": "not one tile of tissue",
        "photograph.png": "states no µm/px",
        "zz copy.tif": "has the same content as first.tif",
    }
    assert len(said) == len(reasons)
    for name, reason in reasons.items():
        assert any(line.startswith(f"left out: {name}: ") and reason in line for line in said), (name, said)
    assert str(folder) not in said_and_cut[0]


def test_tiles_are_tissue_of_the_slide_at_the_asked_scale(folder: Path) -> None:
    for mpp in (0.5, 1.0):
        recipe = replace(RECIPE, slide_mpp=mpp)
        cut = plan_cuts([folder / "first.tif"], recipe, lambda line: None, quiet)[0]
        pixels = room_for(cut.most, 64, folder)
        tiles = cut_tiles([cut], pixels, NOTHING, lambda line: None, quiet)
        assert {place.width for place in cut.places} == {round(64 * mpp / 0.5)}
        with open_slide(cut.path) as slide:
            known = [slide.read_size(place, (64, 64)) for place in cut.places]
        assert len(tiles) > 0
        assert all(any(np.array_equal(tile, one) for one in known) for tile in pixels[: len(tiles)])
        assert pixels[: len(tiles)].mean(axis=(1, 2, 3)).max() < 235  # none of it is glass


def test_the_same_folder_is_cut_the_same_way(folder: Path, said_and_cut: tuple[str, SlideTiles, np.ndarray]) -> None:
    cuts = plan_cuts([folder], RECIPE, lambda line: None, quiet)
    pixels = room_for(sum(cut.most for cut in cuts), 64, folder)
    again = cut_tiles(cuts, pixels, NOTHING, lambda line: None, quiet)
    assert again.sha256 == said_and_cut[1].sha256
    assert np.array_equal(pixels[: len(again)], said_and_cut[2])
    other = plan_cuts([folder], replace(RECIPE, seed=8), lambda line: None, quiet)
    assert [cut.places for cut in other] != [cut.places for cut in cuts]
    assert [set(cut.places) for cut in other] == [set(cut.places) for cut in cuts]


def test_blurred_tiles_are_left_out_and_counted(tmp_path: Path) -> None:
    sharp = paint_tissue(640, 640, 5)
    half = sharp.filter(ImageFilter.GaussianBlur(4)).crop((0, 0, 320, 640))
    sharp.paste(half, (0, 0))
    recipe = replace(RECIPE, tiles_per_slide=1000)
    cuts = plan_cuts([save_slide(tmp_path / "half.tif", sharp)], recipe, lambda line: None, quiet)
    pixels = room_for(cuts[0].most, 64, tmp_path)
    tiles = cut_tiles(cuts, pixels, NOTHING, lambda line: None, quiet)
    left = sum(place.right <= 320 for place in cuts[0].places)
    right = sum(place.x >= 320 for place in cuts[0].places)
    assert tiles.blurred >= 0.9 * left > 0
    assert len(tiles) >= 0.9 * right


def test_a_picture_comes_once_also_turned_and_never_if_it_is_held_out(tmp_path: Path) -> None:
    image = paint_tissue(700, 600, 6)
    save_slide(tmp_path / "a.tif", image)
    save_slide(tmp_path / "b.tif", image.transpose(Image.Transpose.ROTATE_180))
    recipe = replace(RECIPE, tiles_per_slide=1000)
    cuts = plan_cuts([tmp_path], recipe, lambda line: None, quiet)
    assert len(cuts) == 2
    # The grid of a turned slide lies elsewhere: its places are taken from the other's.
    turned = [replace(place, x=700 - place.right, y=600 - place.bottom) for place in cuts[0].places]
    cuts[1] = replace(cuts[1], places=tuple(turned), most=len(turned))
    pixels = room_for(2 * len(turned), 64, tmp_path)
    tiles = cut_tiles(cuts, pixels, NOTHING, lambda line: None, quiet)
    assert set(tiles.slide) == {0}
    assert tiles.repeated >= len(tiles)
    held_out = np.stack([thumbnail(Image.fromarray(tile)) for tile in pixels[:3]])
    fewer = cut_tiles(cuts, pixels, held_out, lambda line: None, quiet)
    assert len(fewer) == len(tiles) - 3


def test_tiles_beyond_memory_lie_in_a_file_that_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said_and_cut: tuple[str, SlideTiles, np.ndarray]
) -> None:
    monkeypatch.setattr(slide_tiles, "IN_MEMORY", 1000)
    cuts = plan_cuts([folder], RECIPE, lambda line: None, quiet)
    pixels = room_for(sum(cut.most for cut in cuts), 64, tmp_path)
    assert isinstance(pixels, np.memmap)
    tiles = cut_tiles(cuts, pixels, NOTHING, lambda line: None, quiet)
    assert np.array_equal(pixels[: len(tiles)], said_and_cut[2])
    assert list(tmp_path.iterdir()) == []

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UsageError, match="No space left on device"):
        room_for(10, 64, tmp_path)


def test_slides_without_a_scale_are_cut_where_the_recipe_says_how(folder: Path) -> None:
    recipe = replace(RECIPE, slide_downsample=2.0)
    cut = plan_cuts([folder / "photograph.png"], recipe, lambda line: None, quiet)[0]
    assert cut.mpp is None
    assert {place.width for place in cut.places} == {128}


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_text("x")], ids=["empty", "file"])
def test_a_folder_without_slides_is_a_users_error(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "there")
    with pytest.raises(UsageError, match="no slide of --slides can be cut"):
        plan_cuts([tmp_path / "there"], RECIPE, lambda line: None, quiet)


def test_slides_of_pools_stay_apart() -> None:
    one, other = pool_of([2, 3]), pool_of([4, 1, 1])
    pixels = np.concatenate([one.pixels.numpy(), other.pixels.numpy(), other.pixels.numpy()])
    both = joined([one, unlabelled_pool(other.pixels.numpy(), other.slide)], pixels)
    assert np.bincount(both.slide).tolist() == [2, 3, 4, 1, 1]
    assert len(both.pixels) == len(both) == 11


def test_a_run_on_slides_alone_and_beside_labelled_tiles(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("accelerate")
    recipe = write_recipe(tmp_path, tile_px=64, tiles_per_slide=8)
    alone = run(recipe, None, tmp_path / "alone", slides=[folder])
    assert alone["tiles"] == alone["tiles_from_slides"] > 8
    assert alone["slides"] == alone["slides_cut"] == 2
    assert "permissive" not in alone["licence"]
    assert [entry["step"] for entry in alone["watched"]] == [5]
    assert "probe" not in alone["watched"][0]
    data = write_set(tmp_path / "data")
    run(recipe, data, tmp_path / "both", slides=[folder], until=2)
    both = run(recipe, data, tmp_path / "both", slides=[folder])
    at_once = run(recipe, data, tmp_path / "once", slides=[folder])
    assert same(checkpoint_of(tmp_path / "both"), checkpoint_of(tmp_path / "once"))
    assert both == at_once
    assert both["tiles"] == alone["tiles"] + 12
    assert both["slides"] == 8
    with pytest.raises(UsageError, match="give --data, --slides or both"):
        run(recipe, None, tmp_path / "none")


@pytest.mark.slow
def test_each_of_the_shared_slides_is_cut_or_named(shared_data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = replace(RECIPE, tile_px=128, tiles_per_slide=6)
    cuts = plan_cuts([shared_data / "slides"], recipe, lines.append, quiet)
    pixels = room_for(sum(cut.most for cut in cuts), 128, tmp_path)
    tiles = cut_tiles(cuts, pixels, NOTHING, lines.append, quiet)
    said = "".join(lines)
    left_out = {line.removeprefix("left out: ").partition(": ")[0] for line in said.splitlines()}
    assert left_out | {cut.name for cut in cuts} == {path.name for path in slides_in(shared_data / "slides")}
    never = {"tiny-16px.svs", "TCGA-CR-7395-01A-01-TS1.j2k.svs", "dicom-camelyon-lowres", "contact.jpg", "giardia.dzi"}
    assert never | {"hamamatsu-fluorescence-tritc.ndpi", "her2-cish-72dpi.tif"} <= left_out
    assert tiles.slides >= 5  # a busy machine may find a slide slow to open, and leave it out
    assert pixels[: len(tiles)].mean(axis=(1, 2, 3)).max() < 240
