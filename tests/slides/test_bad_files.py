"""Every broken or odd file of the shared set does what expected.csv says, in one line."""

from __future__ import annotations

import os

import numpy as np
import pytest

from slides import PathcopilotError, Region, Slide, open_slide

from .conftest import BadFiles

ERRORS = {
    "dangling-link.svs": "link is broken",
    "dicom-corrupted": "volume-2048.dcm is cut short, volume-512.dcm is unreadable",
    "dicom-ct": "of another kind",
    "dicom-empty-folder": "holds no DICOM files",
    "dicom-label-only": "no slide image",
    "dzi-without-tiles.dzi": "tile folder .* is missing",
    "folder-named.svs": "empty folder",
    "header-only.tif": "holds no image",
    "huge-claim.tif": "2147483647x2147483647 is not believable",
    "mirax-alone.mrxs": "folder that belongs to this .mrxs file is missing",
    "needle-20000x3.png": "too small .*20000x3",
    "one-pixel.png": "too small .*1x1",
    "text-renamed.svs": "content is text",
    "truncated-60pct-directory-kept.svs": "cut short: pixel data are missing past byte",
    "truncated-60pct.svs": "cut short: its image directory",
    "unreadable.tif": "no permission",
    "zero-byte.svs": "empty .0 bytes",
}

CONDITIONS = {
    "all-black.png": ["black"],
    "alpha.png": ["plain PNG", "laid on white", "does not state µm/px"],
    "blank-glass.png": ["No tissue found"],
    "bomb-60000.tif": ["no overview levels"],
    "cmyk.jpg": ["CMYK", "not calibrated"],
    "corrupt-middle.tif": ["damaged and cannot be read"],
    "exif-rotated.jpg": ["Turned upright"],
    "grey-alpha.png": ["greyscale", "laid on white"],
    "grey16.tif": ["16-bit greyscale", "for viewing only"],
    "jpeg-named.png": ["name ends in .png, the content is a JPEG"],
    "jpeg-named.svs": ["name ends in .svs, the content is a JPEG"],
    "mpp-250.ome.tif": ["250 µm/px, which is not believable"],
    "mpp-anisotropic.ome.tif": ["not square", "0.25 x 0.5"],
    "mpp-negative.ome.tif": ["-0.25 µm/px, which is not believable"],
    "mpp-zero.ome.tif": ["0 µm/px, which is not believable"],
    "palette.png": ["palette"],
    "three-page.tif": ["3 pages", "first is shown"],
}


def test_every_case_is_spoken_for(bad_files: BadFiles) -> None:
    listed = {
        "error": set(ERRORS),
        "opens_with_condition": set(CONDITIONS),
        "opens": {name for name, kind in bad_files.expected.items() if kind == "opens"},
    }
    for name, kind in bad_files.expected.items():
        assert name in listed[kind]


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_is_one_line_that_names_the_file(bad_files: BadFiles, name: str) -> None:
    path = bad_files.folder / name
    if name == "unreadable.tif" and os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(PathcopilotError, match=ERRORS[name]) as error:
        open_slide(path)
    message = str(error.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert str(bad_files.folder) not in message
    assert "colon" not in message  # the text file's content


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_a_condition_is_stated_and_the_slide_reads(bad_files: BadFiles, name: str) -> None:
    with open_slide(bad_files.folder / name) as slide:
        told = " ".join(slide.conditions)
        for said in CONDITIONS[name]:
            assert said in told
        overview = slide.thumbnail(256)
        assert max(overview.shape[:2]) <= 256
        assert slide.read(Region(8, 8, 32, 32)).shape == (32, 32, 3)


def test_files_that_open_without_a_word(bad_files: BadFiles) -> None:
    for name in (name for name, kind in bad_files.expected.items() if kind == "opens"):
        with open_slide(bad_files.folder / name) as slide:
            assert slide.size == (512, 512)
            assert slide.mpp == pytest.approx(0.25)
            assert slide.name == name
            assert not slide.conditions


def _opened(bad_files: BadFiles, name: str) -> Slide:
    return open_slide(bad_files.folder / name)


def test_pixels_of_odd_files_are_right(bad_files: BadFiles) -> None:
    with _opened(bad_files, "alpha.png") as slide:
        assert (slide.read(Region(0, 0, 4, 4)) > 250).all()  # transparent corner
    with _opened(bad_files, "exif-rotated.jpg") as slide:
        assert slide.size == (320, 640)
        assert slide.read(Region(260, 40, 40, 80)).mean(axis=(0, 1)) == pytest.approx((0, 160, 0), abs=6)
    with _opened(bad_files, "cmyk.jpg") as slide:
        red, green, blue = slide.thumbnail(64).mean(axis=(0, 1))
        assert red > blue > green > 150  # pink on light, not inverted
    with _opened(bad_files, "grey16.tif") as slide:
        pixels = slide.thumbnail(640)
        assert pixels.min() < 10
        assert pixels.max() > 245
    with _opened(bad_files, "mpp-anisotropic.ome.tif") as slide:
        assert slide.size == (512, 1024)
        assert slide.mpp == 0.25


def test_a_bomb_is_sampled_in_bounded_memory(bad_files: BadFiles) -> None:
    with _opened(bad_files, "bomb-60000.tif") as slide:
        assert slide.size == (60000, 60000)
        overview = slide.thumbnail(512)
        assert overview.shape == (512, 512, 3)
        assert np.allclose(overview.mean(axis=(0, 1)), slide.read(Region(256, 256, 512, 512)).mean(axis=(0, 1)), atol=6)
