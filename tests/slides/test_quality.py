"""Quality findings tell sharp from blurred, H&E from other stains, and abstain where they cannot know."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from slides import Finding, Region, open_slide
from slides.quality import BLURRED, FOCUS_MPP, SHARP, measure_quality, sharpness
from slides.tissue import tissue_mask

NO_TISSUE = {"BACK", "ADI", "08_EMPTY", "07_ADIPOSE"}


def _findings(path: Path, mpp: float | None = None, region: Region | None = None) -> dict[str, Finding]:
    with open_slide(path, mpp=mpp) as slide:
        where = region or slide.bounds
        found = measure_quality(slide, where, tissue_mask(slide))
        assert all(evidence.region == where and evidence.slide == slide.name for evidence in found)
        return {evidence.finding.name: evidence.finding for evidence in found}


@pytest.mark.parametrize(("name", "colour"), [
    ("CMU-1-Small-Region.svs", "H&E-like"), ("giardia-generic-pyramid.tif", "H&E-like"),
    ("TCGA-CR-7395-01A-01-TS1.j2k.svs", "H&E-like"), ("OS-1-he-crop.ome.tif", "H&E-like"),
    ("OS-2-ki67-hamamatsu-crop.ome.tif", "brown chromogen"), ("her2-cish-72dpi.tif", "other colour"),
    ("hamamatsu-fluorescence-tritc.ndpi", "dark field"), ("dicom-camelyon-lowres", "H&E-like"),
])  # fmt: skip
def test_stain_colour_of_real_slides(slides_folder: Path, name: str, colour: str) -> None:
    assert _findings(slides_folder / name)["stain_colour"].label == colour


@pytest.mark.parametrize(
    "name", ["CMU-1-Small-Region.svs", "OS-1-he-crop.ome.tif", "giardia-aperio-layout-fake-label.svs"]
)
def test_blur_is_seen(slides_folder: Path, tmp_path: Path, name: str) -> None:
    with open_slide(slides_folder / name) as slide:
        mpp = slide.mpp
        assert mpp is not None
        side = min(900, *slide.size)
        box = Region((slide.size.width - side) // 2, (slide.size.height - side) // 2, side, side)
        pixels = Image.fromarray(slide.read(box))
    seen, values = [], []
    for microns in (0.0, 0.5, 1.0, 2.0):
        pixels.filter(ImageFilter.GaussianBlur(microns / mpp)).save(tmp_path / "blurred.png")
        focus = _findings(tmp_path / "blurred.png", mpp)["focus"]
        seen.append(focus.label)
        values.append(focus.value)
    assert seen[0] == "sharp"
    assert seen[2] in {"soft", "blurred"}
    assert seen[3] == "blurred"
    assert values == sorted(values, reverse=True)


def test_contrast_is_not_sharpness(slides_folder: Path) -> None:
    with open_slide(slides_folder / "OS-1-he-crop.ome.tif") as slide:
        pixels = slide.read(Region(300, 300, 512, 512), mpp=0.5)
    pale = (255 - (255 - pixels.astype(float)) * 0.5).round().astype(np.uint8)
    assert sharpness(pale) == pytest.approx(sharpness(pixels), rel=0.25)


def test_focus_abstains_where_it_cannot_be_judged(slides_folder: Path) -> None:
    for name, said in (
        ("dicom-camelyon-lowres", "too coarse"),
        ("hamamatsu-fluorescence-tritc.ndpi", "no bright-field"),
        ("tiny-16px.svs", "too little tissue"),
    ):
        focus = _findings(slides_folder / name)["focus"]
        assert focus.abstained
        assert focus.label is None
        assert focus.reason is not None
        assert said in focus.reason


def test_shares_are_shares(generated_slide: Path) -> None:
    found = _findings(generated_slide)
    assert found["tissue_share"].value == pytest.approx(0.5, abs=0.03)
    assert found["pen"].value == 0
    assert _findings(generated_slide, region=Region(0, 0, 150, 100))["stain_colour"].label == "blank"


def test_pixels_at_hand_are_not_read_again(generated_slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_slide(generated_slide) as slide:
        mask, region = tissue_mask(slide), Region(800, 600, 400, 400)
        pixels = slide.read(region)
        monkeypatch.setattr(slide, "read_size", None)
        given = measure_quality(slide, region, mask, pixels)
    assert [evidence.finding.name for evidence in given] == ["tissue_share", "focus", "pen", "stain_colour"]
    assert given[3].finding.label == "H&E-like"


def _labels(tiles: list[Image.Image], microns: float) -> list[str]:
    values = [sharpness(np.asarray(tile.filter(ImageFilter.GaussianBlur(microns / FOCUS_MPP)))) for tile in tiles]
    return ["sharp" if value >= SHARP else "blurred" if value < BLURRED else "soft" for value in values]


def test_focus_limits_hold_on_tiles_of_many_sources(shared_data: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the tile sets are parquet files")
    tiles: list[Image.Image] = []
    for name in ("bcss", "crc_texture_2016", "crc_val_he_7k", "tcga_multiorgan"):
        rows = parquet.read_table(shared_data / "tiles" / f"{name}.parquet").to_pylist()
        for row in [row for row in rows if row["label"] not in NO_TISSUE][:40]:
            image = Image.open(io.BytesIO(row["jpeg"])).convert("RGB")
            shrink = row["mpp"] / FOCUS_MPP
            tiles.append(image.resize((round(image.width * shrink), round(image.height * shrink))))
    assert _labels(tiles, 0.0).count("sharp") >= 0.95 * len(tiles)
    assert _labels(tiles, 1.0).count("blurred") >= 0.85 * len(tiles)
