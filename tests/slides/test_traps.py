"""The ten traps that real readers set, each measured on the shared slides."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slides import NotASlide, PathcopilotError, Region, RegionUnreadable, SlideDamaged, open_slide
from slides.probe import CPU_SECONDS, MEMORY_LIMIT, WALL_SECONDS, child_command

from .conftest import BadFiles

IDENTITY = ("TESTPATIENT", "MRN 0000000", "FAKE^PATIENT", "FAKE-0001", "B99-00001")


def test_1_big_endian_tiff_opens(slides_folder: Path, bad_files: BadFiles) -> None:
    for path in (slides_folder / "OS-1-he-crop.ome.tif", bad_files.folder / "big-endian.tif"):
        with open_slide(path) as slide:
            assert slide.read(Region(100, 100, 64, 64)).shape == (64, 64, 3)


def test_2_big_endian_ome_tiff_has_true_colours(slides_folder: Path) -> None:
    with open_slide(slides_folder / "OS-1-he-crop.ome.tif") as slide:
        middle = slide.read(Region(1101 // 2 - 128, 1101 // 2 - 128, 256, 256))
    assert np.allclose(middle.mean(axis=(0, 1)), (147, 122, 180), atol=1)


def test_3_levels_in_sub_directories_are_seen(slides_folder: Path) -> None:
    with open_slide(slides_folder / "giardia-pyramid.ome.tif") as slide:
        assert [round(level.downsample) for level in slide.levels] == [1, 2, 4]


def test_4_scale_is_read_from_ome_xml_and_a_print_resolution_is_not_believed(slides_folder: Path) -> None:
    with open_slide(slides_folder / "OS-1-he-crop.ome.tif") as slide:
        assert slide.mpp == pytest.approx(0.227097, abs=1e-4)
    for name, said in (("her2-cish-72dpi.tif", "not believable"), ("giardia.dzi", "does not state")):
        with open_slide(slides_folder / name) as slide:
            assert slide.mpp is None
            assert slide.mpp_source is None
            assert any(said in condition for condition in slide.conditions)
    with open_slide(slides_folder / "dicom-camelyon-lowres") as slide:
        assert slide.mpp == pytest.approx(28.969, abs=1e-3)  # coarse, and true


def test_5_a_dicom_slide_opens_from_its_folder_and_from_one_file(slides_folder: Path) -> None:
    folder = slides_folder / "dicom-giardia"
    region = Region(700, 900, 300, 200)
    with (
        open_slide(folder) as whole,
        open_slide(folder / "volume-512.dcm") as single,
        open_slide(slides_folder / "giardia-aperio-layout-fake-label.svs") as svs,
    ):
        assert whole.size == single.size == svs.size
        assert np.array_equal(whole.read(region), single.read(region))
        assert np.array_equal(whole.read(region), svs.read(region))


def test_6_the_overview_is_the_scanned_area(slides_folder: Path) -> None:
    with open_slide(slides_folder / "giardia-leica-layout.scn") as slide:
        assert slide.size == (76924, 230770)
        assert slide.bounds == Region(35384, 123076, 1024, 1024)
        overview = slide.thumbnail(256)
        assert overview.shape == (256, 256, 3)
        assert overview.std() > 20
        assert (slide.read(Region(0, 0, 64, 64)) == 255).all()


def test_7_reads_go_on_after_one_that_failed(bad_files: BadFiles) -> None:
    with open_slide(bad_files.folder / "corrupt-middle.tif") as slide:
        before = slide.read(Region(0, 0, 128, 128))
        with pytest.raises(RegionUnreadable, match="x 1000 y 1000"):
            slide.read(Region(1000, 1000, 64, 64))
        assert np.array_equal(slide.read(Region(0, 0, 128, 128)), before)
        assert any("damaged" in condition for condition in slide.conditions)
        assert slide.thumbnail(512).shape == (512, 512, 3)


def test_8_missing_data_is_an_error_and_never_white(bad_files: BadFiles) -> None:
    for name in ("truncated-60pct.svs", "truncated-60pct-directory-kept.svs", "dicom-corrupted"):
        with pytest.raises(SlideDamaged, match="cut short"):
            open_slide(bad_files.folder / name)


def test_9_files_are_probed_in_a_child_with_limits(bad_files: BadFiles) -> None:
    assert child_command(Path("-rf"))[-1].endswith("/-rf")
    assert CPU_SECONDS < WALL_SECONDS < 10
    assert MEMORY_LIMIT <= 2 * 2**30
    with pytest.raises(PathcopilotError, match="not believable"):
        open_slide(bad_files.folder / "huge-claim.tif")


def test_10_identity_never_leaves_the_reader(slides_folder: Path) -> None:
    for name in ("giardia-aperio-layout-fake-label.svs", "dicom-giardia", "hamamatsu-fluorescence-tritc.ndpi"):
        with open_slide(slides_folder / name) as slide:
            told = json.dumps(slide.as_json()) + repr(slide) + repr(vars(slide)) + slide.fingerprint
            assert not any(identity in told for identity in IDENTITY)
            assert not any("label" in part or "macro" in part or "associated" in part for part in dir(slide))
    with (
        open_slide(slides_folder / "dicom-giardia" / "label.dcm") as opened,
        open_slide(slides_folder / "dicom-giardia") as slide,
    ):
        assert opened.size == slide.size  # the slide the label belongs to, not the label


def test_10_a_label_alone_is_refused(bad_files: BadFiles) -> None:
    for path in (bad_files.folder / "dicom-label-only", bad_files.folder / "dicom-label-only" / "label.dcm"):
        with pytest.raises(NotASlide, match="not shown") as refused:
            open_slide(path)
        assert not any(identity in str(refused.value) for identity in IDENTITY)
