"""Laws of reading: regions reassemble, OpenSlide agrees, threads do not disturb each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slides import Region, RegionTooLarge, ScaleUnknown, Slide, UsageError, open_slide
from slides.pyramid import MOST_PIXELS

OPENSLIDE_READS = (
    "CMU-1-Small-Region.svs",
    "TCGA-CR-7395-01A-01-TS1.j2k.svs",
    "hamamatsu-fluorescence-tritc.ndpi",
    "giardia-generic-pyramid.tif",
    "giardia-aperio-layout-fake-label.svs",
    "giardia-philips-layout.tiff",
    "giardia-leica-layout.scn",
    "giardia-mirax-layout.mrxs",
    "her2-cish-72dpi.tif",
)


@pytest.fixture(scope="module")
def slide(generated_slide: Path) -> Slide:
    return open_slide(generated_slide)


@pytest.mark.parametrize("name", OPENSLIDE_READS)
def test_openslide_agrees_with_every_stored_level(slides_folder: Path, name: str) -> None:
    with open_slide(slides_folder / name) as ours, openslide.OpenSlide(slides_folder / name) as theirs:
        for number, level in enumerate(ours.levels):
            assert theirs.level_dimensions[number] == level.size
            side = min(96, *level.size)
            factor = theirs.level_downsamples[number]
            x = ours.bounds.x + ours.bounds.width // 3
            y = ours.bounds.y + ours.bounds.height // 3
            x, y = round(round(x / factor) * factor), round(round(y / factor) * factor)
            mine = ours.read_size(Region(x, y, round(side * factor), round(side * factor)), (side, side))
            image = theirs.read_region((x, y), number, (side, side))
            white = np.full((side, side, 3), 255.0)
            alpha = np.asarray(image)[..., 3:] / 255
            expected = np.asarray(image)[..., :3] * alpha + white * (1 - alpha)
            tolerance = 0.51 if abs(factor - round(factor)) < 1e-9 else 12
            assert np.abs(mine - expected).mean() <= tolerance


@settings(max_examples=40, deadline=None)
@given(
    x=st.integers(-300, 2000),
    y=st.integers(-300, 1500),
    columns=st.integers(1, 3),
    rows=st.integers(1, 3),
    side=st.integers(16, 96),
    downsample=st.sampled_from([0.5, 1.0, 1.25, 1.6, 2.0, 2.5, 3.0, 4.0, 6.4, 8.0]),
)
def test_regions_reassemble_to_the_slide(
    slide: Slide, x: int, y: int, columns: int, rows: int, side: int, downsample: float
) -> None:
    step = round(side * downsample * 5) if downsample % 1 else round(side * downsample)
    whole = slide.read(Region(x, y, columns * step, rows * step), downsample=downsample)
    parts = [
        [slide.read(Region(x + c * step, y + r * step, step, step), downsample=downsample) for c in range(columns)]
        for r in range(rows)
    ]
    joined = np.concatenate([np.concatenate(row, axis=1) for row in parts], axis=0)
    if joined.shape == whole.shape:
        assert np.abs(joined.astype(int) - whole).max() <= (1 if step / downsample == round(step / downsample) else 60)
    assert abs(joined.shape[1] - whole.shape[1]) <= columns
    assert abs(joined.shape[0] - whole.shape[0]) <= rows


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 900), height=st.integers(1, 900), mpp=st.floats(0.3, 12))
def test_the_size_of_a_read_is_the_regions_by_the_downsample(slide: Slide, width: int, height: int, mpp: float) -> None:
    pixels = slide.read(Region(500, 400, width, height), mpp=mpp)
    assert pixels.shape == (max(1, round(height * 0.5 / mpp)), max(1, round(width * 0.5 / mpp)), 3)
    assert pixels.dtype == np.uint8


def test_a_coarse_read_keeps_the_mean_colour(slide: Slide) -> None:
    region = Region(512, 384, 1024, 768)
    native = slide.read(region).reshape(-1, 3).mean(axis=0)
    for mpp in (0.7, 1.0, 1.3, 2.0, 5.0, 8.0):
        assert slide.read(region, mpp=mpp).reshape(-1, 3).mean(axis=0) == pytest.approx(native, abs=1.5)


def test_outside_is_white_and_inside_is_unmoved(slide: Slide) -> None:
    hanging = slide.read(Region(-40, -30, 100, 90))
    assert (hanging[:30] == 255).all()
    assert (hanging[:, :40] == 255).all()
    assert np.array_equal(hanging[30:, 40:], slide.read(Region(0, 0, 60, 60)))
    assert (slide.read(Region(10**7, 10**7, 50, 50), downsample=5) == 255).all()


def test_threads_read_the_same_pixels(slides_folder: Path) -> None:
    for name in ("giardia-generic-pyramid.tif", "OS-2-ki67-hamamatsu-crop.ome.tif", "dicom-giardia", "giardia.dzi"):
        with open_slide(slides_folder / name) as slide:
            regions = [Region(x, y, 200, 150) for x in range(0, 1000, 125) for y in range(0, 1000, 250)]
            alone = [slide.read(region, downsample=1.7) for region in regions]
            with ThreadPoolExecutor(8) as pool:
                together = list(pool.map(lambda region, s=slide: s.read(region, downsample=1.7), regions))
            for one, other in zip(alone, together, strict=True):
                assert np.array_equal(one, other)


def test_deep_zoom_shows_the_same_tissue_as_the_tiff(slides_folder: Path) -> None:
    with (
        open_slide(slides_folder / "giardia.dzi") as tiles,
        open_slide(slides_folder / "giardia-pyramid.ome.tif") as tiff,
    ):
        assert tiles.size == tiff.size
        for region in (tiff.whole, Region(200, 200, 300, 300), Region(1000, 1010, 280, 270)):
            difference = np.abs(tiles.read(region).astype(int) - tiff.read(region))
            assert difference.mean() < 4.5


def test_reads_that_cannot_be(slide: Slide, slides_folder: Path) -> None:
    with pytest.raises(RegionTooLarge, match="smaller region or a coarser scale"):
        slide.read(Region(0, 0, 10**5, 10**5))
    with pytest.raises(RegionTooLarge):
        slide.read(Region(0, 0, 2000, 1500), downsample=0.01)
    for wrong in ({"downsample": 0.0}, {"downsample": float("nan")}, {"mpp": -1.0}, {"mpp": 1.0, "downsample": 1.0}):
        with pytest.raises(UsageError):
            slide.read(Region(0, 0, 10, 10), **wrong)
    with open_slide(slides_folder / "giardia.dzi") as unknown, pytest.raises(ScaleUnknown, match="--mpp"):
        unknown.read(Region(0, 0, 10, 10), mpp=0.5)
    assert MOST_PIXELS <= 2**27


def test_a_closed_slide_says_so(generated_slide: Path) -> None:
    slide = open_slide(generated_slide)
    slide.close()
    with pytest.raises(UsageError, match="closed"):
        slide.read(Region(0, 0, 10, 10))


def test_the_fingerprint_is_of_content(generated_slide: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another name.svs"
    copy.write_bytes(generated_slide.read_bytes())
    changed = tmp_path / "changed.tif"
    data = bytearray(generated_slide.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(bytes(data))
    with open_slide(generated_slide) as slide, open_slide(copy) as same, open_slide(changed, probe=False) as other:
        assert slide.fingerprint == same.fingerprint != other.fingerprint
