"""Tiles decoded from the file's own bytes are OpenSlide's pixels, or they are not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from simplejpeg import decode_jpeg

from slides.jpeg_tiles import JpegTiles, jpeg_tiles
from tests.conftest import paint_tissue

STORED_IN_JPEG = ("CMU-1-Small-Region.svs", "giardia-generic-pyramid.tif", "her2-cish-72dpi.tif")
OTHERWISE = ("TCGA-CR-7395-01A-01-TS1.j2k.svs", "OS-1-he-crop.ome.tif", "giardia-leica-layout.scn", "README.md")


def _written(path: Path, size: tuple[int, int], photometric: str, tile: int = 256, **options: Any) -> Path:
    with tifffile.TiffWriter(path) as out:
        pixels = np.asarray(paint_tissue(*size))
        out.write(pixels, tile=(tile, tile), photometric=photometric, compression="jpeg", metadata=None, **options)
    return path


def _opened(path: Path) -> JpegTiles:
    tiles = jpeg_tiles(path)
    assert tiles is not None
    return tiles


def _peer(path: Path, level: int, x: int, y: int, side: int) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        corner = (round(x * slide.level_downsamples[level]), round(y * slide.level_downsamples[level]))
        return np.asarray(slide.read_region(corner, level, (side, side)).convert("RGB"))


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_squares_on_and_off_the_lattice_are_openslides_pixels(tmp_path: Path, photometric: str) -> None:
    path = _written(tmp_path / "slide.tif", (1100, 900), photometric)
    tiles, kept = _opened(path), {}
    for x, y, side in [(256, 256, 256), (0, 0, 512), (100, 300, 256), (511, 255, 2), (600, 400, 480)]:
        np.testing.assert_array_equal(tiles.window(0, x, y, side, 1, kept), _peer(path, 0, x, y, side))
    tiles.close()


@pytest.mark.parametrize("name", STORED_IN_JPEG)
def test_real_slides_give_openslides_pixels_on_every_level(slides_folder: Path, name: str) -> None:
    tiles = _opened(slides_folder / name)
    for number, level in enumerate(tiles.levels):
        assert level is not None
        side = min(256, *level.size)
        for share in (0.1, 0.45, 0.9):
            x, y = int((level.size.width - side) * share), int((level.size.height - side) * share)
            ours = tiles.window(number, x, y, side, 1, {})
            np.testing.assert_array_equal(ours, _peer(slides_folder / name, number, x, y, side), f"level {number}")
    tiles.close()


def test_rgb_without_the_marker_would_be_other_colours(slides_folder: Path) -> None:
    tiles = _opened(slides_folder / "CMU-1-Small-Region.svs")
    level = tiles.levels[0]
    assert level is not None
    number = int(level.counts.argmax())
    row, column = divmod(number, level.columns)
    content = (slides_folder / "CMU-1-Small-Region.svs").read_bytes()
    at = int(level.offsets[number])
    data = content[at : at + int(level.counts[number])]
    unmarked = level.head[: level.head.index(b"\xff\xee\x00\x0eAdobe")] + data[2:]
    assert np.abs(decode_jpeg(unmarked).astype(int) - tiles.tile(0, column, row)).mean() > 20
    tiles.close()


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_shrunk_tiles_are_the_area_mean_within_a_few_grey_levels(tmp_path: Path, shrink: int) -> None:
    tiles = _opened(_written(tmp_path / "slide.tif", (1100, 900), "ycbcr"))
    side = 512
    whole = Image.fromarray(tiles.window(0, 256, 0, side, 1, {}))
    shrunk = tiles.window(0, 256, 0, side, shrink, {})
    assert shrunk.shape == (side // shrink, side // shrink, 3)
    mean = np.asarray(whole.resize((side // shrink, side // shrink), Image.Resampling.BOX)).astype(int)
    assert np.abs(mean - shrunk).mean() < 5
    tiles.close()


def test_a_tile_is_decoded_once_for_all_squares_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = _opened(_written(tmp_path / "slide.tif", (1100, 900), "ycbcr", tile=512))
    decoded: list[tuple[int, int]] = []
    tile = tiles.tile
    monkeypatch.setattr(tiles, "tile", lambda level, *place: decoded.append(place[:2]) or tile(level, *place))
    kept: dict[tuple[int, int], np.ndarray] = {}
    for x in range(0, 1024, 256):
        for y in range(0, 512, 256):
            tiles.window(0, x, y, 256, 1, kept)
    assert sorted(decoded) == [(0, 0), (1, 0)]
    tiles.close()


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_stored_in_another_way_is_left_to_the_readers(slides_folder: Path, name: str) -> None:
    assert jpeg_tiles(slides_folder / name) is None


def test_colours_that_the_header_lies_about_are_left_to_the_readers(tmp_path: Path) -> None:
    """A JFIF marker inside the tiles speaks against the TIFF's word; whoever is right, OpenSlide's pixels count."""
    path = _written(tmp_path / "slide.tif", (600, 600), "ycbcr")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["PhotometricInterpretation"].overwrite(2)  # says RGB now
    tiles = jpeg_tiles(path)
    if tiles is not None:
        np.testing.assert_array_equal(tiles.window(0, 256, 256, 256, 1, {}), _peer(path, 0, 256, 256, 256))
        tiles.close()


def test_tiles_that_the_file_lacks_or_that_are_damaged_raise(tmp_path: Path) -> None:
    path = _written(tmp_path / "slide.tif", (1100, 900), "ycbcr")
    tiles = _opened(path)
    level = tiles.levels[0]
    assert level is not None
    with path.open("r+b") as file:
        file.seek(int(level.offsets[0]) + int(level.counts[0]) // 2)
        file.write(b"\xff\xd9" * 40)
    level.counts[1] = 0
    for column, row in [(0, 0), (1, 0), (99, 0), (0, 99)]:
        with pytest.raises(ValueError, match=r"\w"):
            tiles.tile(0, column, row)
    tiles.close()
