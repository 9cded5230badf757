"""Tissue is found on real and generated slides, and what is taken out is said."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from slides import Region, open_slide
from slides.grid import tile_grid
from slides.tissue import TissueMask, tissue_mask
from tests.conftest import paint_tissue


def _saved(tmp_path: Path, image: Image.Image, mpp: float | None = None) -> TissueMask:
    image.save(tmp_path / "image.png")
    with open_slide(tmp_path / "image.png", mpp=mpp) as slide:
        return tissue_mask(slide)


def test_the_painted_ellipse_is_found(generated_slide: Path) -> None:
    with open_slide(generated_slide) as slide:
        mask = tissue_mask(slide)
        assert mask.region == slide.bounds
        rows, columns = np.mgrid[: mask.mask.shape[0], : mask.mask.shape[1]]
        x = (columns + 0.5) / mask.mask.shape[1] - 0.5
        y = (rows + 0.5) / mask.mask.shape[0] - 0.5
        painted = (x / 0.4) ** 2 + (y / 0.4) ** 2 < 1
        both = (painted & mask.mask).sum() / (painted | mask.mask).sum()
        assert both > 0.97


def test_a_box_inside_tissue_is_all_tissue(generated_slide: Path, slides_folder: Path) -> None:
    with open_slide(generated_slide) as slide:
        assert tissue_mask(slide, Region(900, 700, 200, 150)).mask.all()
        assert tissue_mask(slide, Region(10, 10, 100, 100)).mask.mean() < 0.02
    with open_slide(slides_folder / "OS-1-he-crop.ome.tif") as slide:
        for box in (Region(0, 0, 300, 300), Region(400, 300, 64, 64), slide.whole):
            assert tissue_mask(slide, box).mask.mean() > 0.97


@pytest.mark.parametrize(("name", "low", "high"), [
    ("CMU-1-Small-Region.svs", 0.3, 0.5), ("TCGA-CR-7395-01A-01-TS1.j2k.svs", 0.55, 0.75),
    ("giardia-generic-pyramid.tif", 0.4, 0.65), ("dicom-camelyon-lowres", 0.2, 0.4),
    ("giardia-leica-layout.scn", 0.85, 1.0), ("OS-2-ki67-hamamatsu-crop.ome.tif", 0.75, 0.97),
    ("her2-cish-72dpi.tif", 0.85, 1.0), ("tiny-16px.svs", 0.3, 1.0),
])  # fmt: skip
def test_tissue_of_real_slides(slides_folder: Path, name: str, low: float, high: float) -> None:
    """Ranges set by eye on the overlay of each slide."""
    with open_slide(slides_folder / name) as slide:
        assert low <= tissue_mask(slide).mask.mean() <= high


def test_pale_stains_and_fat_stay(shared_data: Path) -> None:
    """Slides on which a threshold by Otsu alone loses the tissue: a pale immunostain beside ink, a lipoma."""
    thumbs = shared_data / "atlas" / "thumbs"
    for name, least in (("EAS25__CMV", 0.2), ("EAS1__HE1", 0.1), ("colon-submucosal-lipoma__HE", 0.45)):
        with open_slide(thumbs / f"{name}.jpg", mpp=20.0) as slide:
            assert tissue_mask(slide).mask.mean() >= least


def test_dark_field_and_blank_slides_have_no_tissue_and_say_why(slides_folder: Path, tmp_path: Path) -> None:
    with open_slide(slides_folder / "hamamatsu-fluorescence-tritc.ndpi") as slide:
        mask = tissue_mask(slide)
        assert not mask.mask.any()
        assert "fluorescence" in mask.removed[0]
    blank = _saved(tmp_path, Image.new("RGB", (600, 400), (244, 243, 244)))
    assert not blank.mask.any()
    assert "glass" in blank.removed[0]


@pytest.mark.parametrize(
    ("colour", "ink"), [("Green", (40, 150, 70)), ("Blue", (50, 80, 190)), ("Black", (30, 30, 32))]
)
def test_pen_is_taken_out_and_named(tmp_path: Path, colour: str, ink: tuple[int, int, int]) -> None:
    image = paint_tissue(900, 700)
    stroke = Image.new("L", image.size, 0)
    ImageDraw.Draw(stroke).line([(120, 60), (400, 30), (780, 90)], fill=255, width=36)
    image.paste(Image.new("RGB", image.size, ink), mask=stroke.filter(ImageFilter.GaussianBlur(3)))
    mask = _saved(tmp_path, image, mpp=16.0)
    assert any(sentence.startswith(f"{colour} pen") for sentence in mask.removed)
    drawn = np.asarray(stroke.resize(mask.mask.shape[::-1])) > 250
    assert mask.mask[drawn].mean() < 0.02
    assert mask.pen[drawn].mean() > 0.95


def test_a_stain_of_pen_colour_is_no_pen(shared_data: Path) -> None:
    thumbs = shared_data / "atlas" / "thumbs"
    for name in (
        "neuroendocrine-cytology__giemsa",
        "helicobacterpylori__giemsa",
        "brain-mucormycosis__GMS",
        "EAS12__EZN-ARB",
    ):
        with open_slide(thumbs / f"{name}.jpg", mpp=20.0) as slide:
            assert not any("pen" in sentence for sentence in tissue_mask(slide).removed)


@pytest.mark.parametrize(("mpp", "size"), [(0.5, " smaller than 20 µm across"), (2.0, " smaller than 20 µm across"),
                                           (20.0, " smaller than 45 µm across"), (None, "")])  # fmt: skip
def test_specks_are_taken_out_and_their_size_is_said_only_where_the_scale_is_known(
    tmp_path: Path, mpp: float | None, size: str
) -> None:
    """20 µm, or four pixels where those are larger."""
    image = paint_tissue(700, 500)
    specks = [(12, 12), (60, 20), (650, 470)]
    for x, y in specks:
        image.putpixel((x, y), (170, 90, 160))
    mask = _saved(tmp_path, image, mpp=mpp)
    assert mask.mask.shape == (500, 700)
    assert not any(mask.mask[y, x] for x, y in specks)
    assert mask.removed[-1].startswith(f"3 specks{size}, 0.0% of the tissue found")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_shares_add_up(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    mask = TissueMask(rng.random((13, 17)) < 0.5, Region(30, 50, 340, 260), 20.0)
    cut = data.draw(st.integers(1, 339))
    left, right = Region(30, 50, cut, 260), Region(30 + cut, 50, 340 - cut, 260)
    total = mask.share(left) * left.area + mask.share(right) * right.area
    assert total == pytest.approx(mask.share(mask.region) * mask.region.area)
    assert mask.share(mask.region) == pytest.approx(mask.mask.mean())
    assert mask.share(Region(1000, 1000, 10, 10)) == 0


def test_a_grid_tiles_the_tissue(generated_slide: Path) -> None:
    with open_slide(generated_slide) as slide:
        mask = tissue_mask(slide)
        everything = tile_grid(mask, slide.bounds, 128, min_tissue=0.0)
        assert len(everything) == (2048 // 128) * (1536 // 128)
        assert all(tile.x % 128 == 0 and tile.y % 128 == 0 for tile in everything)
        tissue = tile_grid(mask, slide.bounds, 128, min_tissue=0.5)
        assert set(tissue) == {tile for tile in everything if mask.share(tile) >= 0.5}
        area = sum(tile.area for tile in tissue)
        assert area == pytest.approx(mask.area, rel=0.1)
        (narrow,) = tile_grid(mask, Region(1000, 700, 90, 60), 128)
        assert narrow == Region(981, 666, 128, 128)


@given(
    x=st.lists(st.integers(-400, 2500), min_size=2, max_size=6, unique=True).map(sorted),
    y=st.lists(st.integers(-400, 2500), min_size=2, max_size=6, unique=True).map(sorted),
    seed=st.integers(0, 50),
)
@settings(max_examples=60, deadline=None)
def test_shares_of_a_lattice_are_the_shares_of_its_cells(x: list[int], y: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = TissueMask(rng.random((37, 53)) > 0.5, Region(100, 50, 1920, 1300), 36.0)
    shares = mask.shares(np.array(x), np.array(y))
    one_by_one = [
        [mask.share(Region(left, top, right - left, bottom - top)) for left, right in itertools.pairwise(x)]
        for top, bottom in itertools.pairwise(y)
    ]
    np.testing.assert_allclose(shares, one_by_one, atol=1e-9)
