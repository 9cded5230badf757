"""Files of many kinds, written here: each opens as what it is, or is refused in one line."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from slides import (
    NotASlide,
    PathcopilotError,
    Region,
    SlideDamaged,
    SlideNotFound,
    SlideRefused,
    UsageError,
    open_slide,
)
from slides.readers.markup import UnsafeMarkup, elements, ome_scale
from tests.conftest import paint_tissue


@pytest.fixture(scope="module")
def tissue() -> Image.Image:
    return paint_tissue(320, 256)


def _refused(path: Path, kind: type[PathcopilotError], said: str) -> None:
    with pytest.raises(kind, match=said) as error:
        open_slide(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "gif", "jp2", "ppm", "tif"])
def test_plain_images_open_as_one_level(tmp_path: Path, tissue: Image.Image, ending: str) -> None:
    path = tmp_path / f"image.{ending}"
    tissue.save(path)
    with open_slide(path) as slide:
        assert slide.size == (320, 256)
        assert len(slide.levels) == 1
        assert slide.mpp is None
        difference = np.abs(slide.read(slide.whole).astype(int) - np.asarray(tissue))
        assert difference.mean() < 8


@pytest.mark.parametrize("options", [
    {"compression": "lzw", "rowsperstrip": 16},
    {"bigtiff": True, "tile": (64, 64)},
    {"byteorder": ">", "compression": "zlib"},
    {"compression": "zlib", "predictor": True, "tile": (64, 64), "byteorder": ">"},
])  # fmt: skip
def test_tiff_layouts_give_the_pixels_written(tmp_path: Path, tissue: Image.Image, options: dict[str, object]) -> None:
    pixels = np.asarray(tissue)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", metadata=None, **options)
    with open_slide(tmp_path / "a.tif") as slide:
        assert np.array_equal(slide.read(slide.whole), pixels)


def test_separate_colour_planes_are_joined(tmp_path: Path, tissue: Image.Image) -> None:
    pixels = np.asarray(tissue)
    for tile in (None, (64, 64)):
        path = tmp_path / f"planar{tile is None}.tif"
        tifffile.imwrite(
            path, pixels.transpose(2, 0, 1), planarconfig="separate", photometric="rgb", tile=tile, metadata=None
        )
        with open_slide(path) as slide:
            assert np.array_equal(slide.read(slide.whole), pixels)


def test_transparency_of_a_tiled_tiff_is_laid_on_white(tmp_path: Path, tissue: Image.Image) -> None:
    clear = np.dstack([np.asarray(tissue), np.zeros((256, 320), np.uint8)])
    for order in "<>":
        path = tmp_path / f"{ord(order)}.tif"
        tifffile.imwrite(
            path, clear, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64), byteorder=order, metadata=None
        )
        with open_slide(path) as slide:
            assert (slide.read(slide.whole) == 255).all()


@pytest.mark.parametrize(("depth", "said"), [("uint16", "16-bit greyscale"), ("float32", "32-bit greyscale")])
def test_deep_grey_is_scaled_and_said(tmp_path: Path, tissue: Image.Image, depth: str, said: str) -> None:
    grey = (np.asarray(tissue.convert("L")).astype(depth) / (255 if depth == "float32" else 1)).astype(depth)
    tifffile.imwrite(tmp_path / "deep.tif", grey, tile=(64, 64) if depth == "uint16" else None, metadata=None)
    with open_slide(tmp_path / "deep.tif") as slide:
        assert any(said in condition for condition in slide.conditions)
        assert slide.read(slide.whole).max() > 240


def test_channels_and_focal_planes_are_said(tmp_path: Path, tissue: Image.Image) -> None:
    stack = np.stack([np.asarray(tissue)] * 3)
    size = {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(tmp_path / "z.ome.tif", stack, photometric="rgb", tile=(64, 64), metadata={"axes": "ZYXS", **size})
    with open_slide(tmp_path / "z.ome.tif") as slide:
        assert slide.mpp == pytest.approx(0.5)
        assert any("3 pages of equal size" in condition for condition in slide.conditions)


def test_deep_colour_no_reader_knows_is_refused(tmp_path: Path, tissue: Image.Image) -> None:
    tifffile.imwrite(tmp_path / "f.tif", np.asarray(tissue).astype("float32") / 255, photometric="rgb", metadata=None)
    _refused(tmp_path / "f.tif", SlideRefused, "export it as 8-bit RGB")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_images_cut_short_are_damaged(tmp_path: Path, tissue: Image.Image, ending: str, share: float) -> None:
    path = tmp_path / f"cut.{ending}"
    tissue.save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises((SlideDamaged, NotASlide)):
        open_slide(path)


def test_a_missing_later_directory_is_a_file_cut_short(tmp_path: Path, generated_slide: Path) -> None:
    with tifffile.TiffFile(generated_slide) as tiff:
        second = tiff.pages[1].offset
    (tmp_path / "cut.tif").write_bytes(generated_slide.read_bytes()[: second - 1])
    _refused(tmp_path / "cut.tif", SlideDamaged, "cut short")


def _png(width: int, height: int, data: bytes, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_claimed_sizes_are_checked_before_decoding(tmp_path: Path, tissue: Image.Image) -> None:
    (tmp_path / "bomb.png").write_bytes(_png(30000, 30000, zlib.compress(b"\0" * 1000)))
    _refused(tmp_path / "bomb.png", SlideRefused, "100 Mpx")
    tissue.save(tmp_path / "head.jpg")
    jpeg = (tmp_path / "head.jpg").read_bytes()
    at = jpeg.index(b"\xff\xc0")
    (tmp_path / "head.jpg").write_bytes(jpeg[: at + 5] + struct.pack(">HH", 65000, 65000) + jpeg[at + 9 :])
    _refused(tmp_path / "head.jpg", SlideRefused, "100 Mpx")


def test_no_content_is_mistaken_for_a_slide(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip.svs", "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "pdf.svs").write_bytes(b"%PDF-1.7\n")
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 64)
    (tmp_path / "page.svs").write_text("<html><script>alert(1)</script></html>")
    (tmp_path / "noise.svs").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "zeros.tif").write_bytes(b"\0" * 1000)
    for name, said in {
        "zip.svs": "ZIP archive",
        "pdf.svs": "PDF document",
        "photo.heic": "HEIC",
        "page.svs": "content is text",
        "noise.svs": "neither a slide nor an image",
        "zeros.tif": "neither a slide nor an image",
    }.items():
        _refused(tmp_path / name, NotASlide, said)


def test_nothing_hangs_on_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.svs")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for name in ("pipe.svs", "s"):
            _refused(tmp_path / name, NotASlide, "no ordinary file")
    (tmp_path / "device.svs").symlink_to("/dev/zero")
    _refused(tmp_path / "device.svs", NotASlide, "no ordinary file")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    _refused(tmp_path / "a", SlideNotFound, "link is broken")
    _refused(tmp_path / "nowhere.svs", SlideNotFound, "does not exist")
    _refused(tmp_path / ("n" * 5000), SlideNotFound, "does not exist")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    _refused(tmp_path / "notes", NotASlide, "holds no DICOM files")


def test_a_link_to_a_readable_file_is_that_file(tmp_path: Path, tissue: Image.Image) -> None:
    tissue.save(tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    with open_slide(tmp_path / "link.png") as linked, open_slide(tmp_path / "real.png") as real:
        assert linked.name == "link.png"
        assert linked.fingerprint == real.fingerprint


def test_a_shown_name_is_one_printable_line(tmp_path: Path, tissue: Image.Image) -> None:
    for name in ("new\nline\u202e.png", "n" * 200 + ".png", os.fsdecode(b"lat\xe9in.png")):
        tissue.save(tmp_path / "x.png")
        shutil.move(tmp_path / "x.png", tmp_path / name)
        with open_slide(tmp_path / name) as slide:
            assert slide.name.isprintable()
            assert len(slide.name) <= 120
            slide.name.encode("utf-8")


@pytest.mark.parametrize("text", [
    b"", b"<OME", b'<!DOCTYPE a [<!ENTITY b "c">]><OME><Pixels PhysicalSizeX="&b;"/></OME>',
    b'<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="pixel"/></OME>',
])  # fmt: skip
def test_unusable_ome_xml_states_no_scale(text: bytes) -> None:
    assert ome_scale(text) == (None, None)


def test_lengths_of_ome_xml_are_converted() -> None:
    text = '<OME><Objective NominalMagnification="40"/><Pixels PhysicalSizeX="{}" PhysicalSizeXUnit="{}"/></OME>'
    for value, unit in ((250, "nm"), (0.25, "µm"), (0.00025, "mm"), (2.5e-7, "m")):
        mpp, objective = ome_scale(text.format(value, unit).encode())
        assert mpp == pytest.approx((0.25, 0.25))
        assert objective == 40


def test_xml_with_entities_is_not_parsed() -> None:
    with pytest.raises(UnsafeMarkup):
        elements(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>')


def test_a_user_states_the_scale(tmp_path: Path, tissue: Image.Image) -> None:
    tissue.save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "user")
        assert slide.read(Region(0, 0, 100, 80), mpp=1.0).shape == (40, 50, 3)
    for nonsense in (0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(UsageError, match="between"):
            open_slide(tmp_path / "a.png", mpp=nonsense)
