"""Laws of the tile pyramid and of the routes that carry pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from slides import Pixels, Region, RegionTooLarge, RegionUnreadable, Size, open_slide
from slides.pyramid import PyramidSlide
from ui.pictures import picture_routes
from ui.rack import Rack
from ui.tiles import OVERLAP_PX, TILE_PX, Pyramid, unreadable


@pytest.fixture(scope="module")
def slide(generated_slide: Path) -> PyramidSlide:
    opened = open_slide(generated_slide)
    assert isinstance(opened, PyramidSlide)
    return opened


def _grid(pyramid: Pyramid, level: int) -> list[tuple[int, int]]:
    size = pyramid.size(level)
    return [(col, row) for row in range(-(-size.height // TILE_PX)) for col in range(-(-size.width // TILE_PX))]


def test_tiles_of_the_top_level_reassemble_to_the_scan(slide: PyramidSlide) -> None:
    pyramid = Pyramid(slide)
    size = pyramid.size(pyramid.top)
    sheet = np.zeros((size.height, size.width, 3), np.uint8)
    for col, row in _grid(pyramid, pyramid.top):
        tile = np.asarray(pyramid.tile(pyramid.top, col, row))
        x, y = max(0, col * TILE_PX - OVERLAP_PX), max(0, row * TILE_PX - OVERLAP_PX)
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    assert size == (slide.bounds.width, slide.bounds.height)
    assert np.array_equal(sheet, slide.read_size(slide.bounds, size))


def test_every_level_is_covered_and_halves_the_one_above(slide: PyramidSlide) -> None:
    pyramid = Pyramid(slide)
    assert pyramid.size(0) == (1, 1)
    for level in range(pyramid.top + 1):
        size = pyramid.size(level)
        if level:
            below = pyramid.size(level - 1)
            assert (below.width, below.height) == (-(-size.width // 2), -(-size.height // 2))
        for col, row in _grid(pyramid, level):
            tile = pyramid.tile(level, col, row)
            assert max(tile.size) <= TILE_PX + 2 * OVERLAP_PX
        with pytest.raises(IndexError):
            pyramid.tile(level, size.width // TILE_PX + 1, 0)
    with pytest.raises(IndexError):
        pyramid.tile(pyramid.top + 1, 0, 0)
    with pytest.raises(IndexError):
        pyramid.tile(pyramid.top, -1, 0)


def test_coarse_tiles_agree_with_a_direct_read(slide: PyramidSlide) -> None:
    pyramid = Pyramid(slide)
    level = pyramid.top - 3
    size = pyramid.size(level)
    direct = slide.read_size(slide.bounds, size)[:TILE_PX, :TILE_PX].astype(int)
    tile = np.asarray(pyramid.tile(level, 0, 0)).astype(int)[: direct.shape[0], : direct.shape[1]]
    assert np.abs(tile - direct).mean() < 2.0


class Damaged(PyramidSlide):
    """A slide whose right half cannot be decoded."""

    def read_size(self, region: Region, size: Size | tuple[int, int]) -> Pixels:
        if region.right > self.size.width // 2:
            raise RegionUnreadable("this part cannot be decoded")
        return super().read_size(region, size)


def test_what_cannot_be_decoded_is_hatched_and_never_white(generated_slide: Path) -> None:
    damaged = open_slide(generated_slide)
    damaged.__class__ = Damaged
    pyramid = Pyramid(damaged)
    lost = np.asarray(pyramid.tile(pyramid.top, pyramid.size(pyramid.top).width // TILE_PX - 1, 1))
    assert np.array_equal(lost, np.asarray(unreadable(Size(lost.shape[1], lost.shape[0]))))
    assert (lost > 200).mean() < 0.02  # only its label is bright
    assert not np.array_equal(np.asarray(pyramid.tile(pyramid.top, 0, 1)), lost)


class OneLevel(PyramidSlide):
    """A slide whose reads hold at most a quarter of it, as a large scan without overview levels."""

    def read_size(self, region: Region, size: Size | tuple[int, int]) -> Pixels:
        if region.area > self.size.width * self.size.height // 4:
            raise RegionTooLarge("too many pixels for one read")
        return super().read_size(region, size)


def test_a_scan_without_overview_levels_shows_its_coarse_sample(generated_slide: Path) -> None:
    large = open_slide(generated_slide)
    large.__class__ = OneLevel
    large._has_overview = False
    pyramid = Pyramid(large)
    overview = np.asarray(pyramid.tile(pyramid.top - 3, 0, 0)).astype(int)
    with open_slide(generated_slide) as whole:
        true = np.asarray(Pyramid(whole).tile(pyramid.top - 3, 0, 0)).astype(int)
    assert np.abs(overview - true).mean() < 25
    assert np.abs(overview - np.asarray(unreadable(Size(overview.shape[1], overview.shape[0])))).mean() > 40


def test_a_canvas_that_is_mostly_empty_is_cut_to_the_scanned_area(shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "giardia-leica-layout.scn") as scn:
        pyramid = Pyramid(scn)
        assert pyramid.size(pyramid.top) == (scn.bounds.width, scn.bounds.height)
        assert pyramid.bounds.area < scn.size.width * scn.size.height / 1000
        assert np.asarray(pyramid.tile(pyramid.top - 1, 0, 0)).std() > 20


@pytest.fixture(scope="module")
def client(generated_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    broken = tmp_path_factory.mktemp("broken") / "broken.svs"
    broken.write_bytes(b"II*\0" + b"\0" * 100)
    app = FastAPI()
    app.include_router(picture_routes(Rack([generated_slide, broken])))
    return TestClient(app)


def test_tiles_and_fields_come_as_pictures_that_nothing_stores(client: TestClient) -> None:
    for place in ("tiles/0/11/0_0.jpg", "fields/0/100_100_300_200.jpg"):
        for _ in range(2):  # made, then from the cache
            answer = client.get(f"/{place}")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
    field = Image.open(io.BytesIO(client.get("/fields/0/100_100_300_200.jpg").content))
    assert field.size == (240, 160)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("tiles/0/11/99_0.jpg", 404),
        ("tiles/0/99/0_0.jpg", 404),
        ("tiles/0/-1/0_0.jpg", 404),
        ("tiles/7/11/0_0.jpg", 404),
        ("tiles/0/a/0_0.jpg", 422),
        ("tiles/1/0/0_0.jpg", 422),
        ("fields/0/90000_0_10_10.jpg", 404),
        ("fields/0/0_0_0_10.jpg", 404),
        ("fields/0/0_0_x_10.jpg", 422),
        ("tiles/..%2F..%2Fetc/0/0_0.jpg", 404),
    ],
)
def test_what_is_not_there_is_said_to_be_not_there(client: TestClient, place: str, status: int) -> None:
    answer = client.get(f"/{place}")
    assert answer.status_code == status
    assert "/tmp" not in answer.text
    assert "Traceback" not in answer.text
