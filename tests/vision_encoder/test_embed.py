"""Embedding: what is asked for is what lies in the file, in the layout that others read, and nothing of the patient."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from slides import Region, ScaleUnknown, SlideRefused, UsageError, open_slide
from slides.tissue import tissue_mask
from vision_encoder import load_encoder
from vision_encoder.embed.decode import TileReader
from vision_encoder.embed.encode import Engine, TorchEngine, tile_engine
from vision_encoder.embed.plan import BLOCK, LEAST_TISSUE, plan_embedding
from vision_encoder.embed.run import Embedded, Failed, Settings, embed_slides, targets
from vision_encoder.encoder import Encoder
from vision_encoder.shipped import write_trained

from ..conftest import paint_tissue
from .fakes import ColourEncoder
from .made_slides import write_slide
from .test_vit import SIZES, tiny

USUAL = Settings()


def _embedded(slide: Path, out: Path, settings: Settings = USUAL) -> Embedded:
    encoder = ColourEncoder()
    (result,) = embed_slides(encoder, [slide], out, settings, engine=TorchEngine(encoder))
    assert isinstance(result, Embedded), result
    return result


def _failure(slide: Path, out: Path, settings: Settings = USUAL) -> str:
    (result,) = embed_slides(ColourEncoder(), [slide], out, settings, engine=TorchEngine(ColourEncoder()))
    assert isinstance(result, Failed), result
    return result.why


@pytest.fixture
def slides_folder(shared_data: Path) -> Path:
    return shared_data / "slides"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tissue of 150 tiles and more: several blocks."""
    return write_slide(tmp_path_factory.mktemp("made") / "made.tif", 6000, tissue=0.8)


def test_a_file_holds_the_features_of_the_tiles_at_its_coords(made: Path, tmp_path: Path) -> None:
    result = _embedded(made, tmp_path)
    assert result.decoding == "jpeg"
    assert result.tiles > 2 * BLOCK
    with h5py.File(tmp_path / result.file) as file, open_slide(made) as slide:
        features, coords = file["features"][:], file["coords"][:]
        assert features.dtype == np.float32
        assert np.issubdtype(coords.dtype, np.integer)
        assert features.shape == (result.tiles, 6)
        assert coords.shape == (result.tiles, 2)
        assert dict(file["coords"].attrs) == {
            "patch_size": 256,
            "patch_size_level0": 256,
            "overlap": 0,
            "level0_width": 6000,
            "level0_height": 6000,
            "level0_magnification": 20,
            "target_magnification": 20.0,
        }
        assert file.attrs["mpp"] == 0.5
        assert (file.attrs["encoder"], file.attrs["encoder_sha256"]) == ("colour", "0" * 64)
        for row in range(0, result.tiles, 37):
            x, y = map(int, coords[row])
            tile = Image.fromarray(slide.read(Region(x, y, 256, 256)))
            np.testing.assert_array_equal(features[row], ColourEncoder().encode_tiles([tile])[0])


def test_the_tiles_are_all_of_the_lattice_that_hold_tissue(made: Path) -> None:
    with open_slide(made) as slide:
        coords, mask = plan_embedding(slide, 0.5).coords, tissue_mask(slide)
    assert not (coords % 256).any()
    taken = {(int(x), int(y)) for x, y in coords}
    assert len(taken) == len(coords)
    every = {(x, y) for x in range(0, 6000 - 255, 256) for y in range(0, 6000 - 255, 256)}
    assert taken == {place for place in every if mask.share(Region(*place, 256, 256)) >= LEAST_TISSUE[0]}


@pytest.mark.parametrize(
    ("stated", "asked", "side", "read_at", "decoding"),
    [
        (0.5, 0.5, 256, 0.5, "jpeg"),
        (0.2525, 0.5, 512, 0.505, "jpeg shrunk by 2"),
        (0.25, 1.0, 1024, 1.0, "jpeg"),
        (0.25, 2.0, 2048, 2.0, "jpeg shrunk by 2"),
        (0.23, 0.5, 557, 0.5004, "resampled"),
        (0.49, 0.5, 256, 0.49, "jpeg"),
    ],
)
def test_scales_near_a_whole_shrink_are_read_without_resampling(
    tmp_path: Path, stated: float, asked: float, side: int, read_at: float, decoding: str
) -> None:
    path = write_slide(tmp_path / "slide.tif", 8192, mpp=stated, tissue=0.7, levels=(1, 4))
    with open_slide(path) as slide:
        plan = plan_embedding(slide, asked)
        reader, again = TileReader(path, slide, plan), TileReader(path, slide, plan, direct=False)
        assert (plan.side, reader.decoding, again.decoding) == (side, decoding, "resampled")
        assert plan.mpp == pytest.approx(read_at, rel=1e-3)
        some = plan.coords[:: max(1, len(plan.coords) // 5)]
        for ours, theirs in zip(reader.read(some), again.read(some), strict=True):
            assert ours is not None
            assert theirs is not None
            assert ours.shape == (256, 256, 3)
            difference = np.abs(ours.astype(int) - theirs).mean()
            assert difference == 0 if "shrunk" not in decoding else difference < 6
        reader.close()


def test_a_slide_without_a_scale_is_refused_in_one_line_or_read_by_its_own_pixels(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "slide.tif", 3000, mpp=None, tissue=0.8)
    with open_slide(path) as slide, pytest.raises(ScaleUnknown, match="--downsample"):
        plan_embedding(slide, 0.5)
    result = _embedded(path, tmp_path, Settings(downsample=2.0))
    assert (result.mpp, result.patch_size_level0) == (None, 512)
    with h5py.File(tmp_path / result.file) as file:
        assert "mpp" not in file.attrs
        assert "target_magnification" not in file["coords"].attrs


def test_a_slide_coarser_than_asked_is_refused(tmp_path: Path) -> None:
    with open_slide(write_slide(tmp_path / "slide.tif", 3000, mpp=2.0)) as slide:
        with pytest.raises(SlideRefused, match="--mpp 2"):
            plan_embedding(slide, 0.5)
        with pytest.raises(UsageError, match="--downsample"):
            plan_embedding(slide, 0.5, downsample=0.5)


def test_nothing_that_names_the_patient_enters_the_file(slides_folder: Path, tmp_path: Path) -> None:
    path = slides_folder / "giardia-aperio-layout-fake-label.svs"
    content = (tmp_path / _embedded(path, tmp_path).file).read_bytes()
    for word in ("TESTPATIENT", "MRN", "FAKE", "B99-00001", "giardia", "Aperio", str(tmp_path), str(path.parent)):
        assert word.encode() not in content


@pytest.mark.parametrize(
    "name", ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.j2k.svs", "OS-1-he-crop.ome.tif", "dicom-giardia"]
)
def test_real_slides_of_several_formats_are_embedded(slides_folder: Path, tmp_path: Path, name: str) -> None:
    unscaled = name.startswith("TCGA")
    result = _embedded(slides_folder / name, tmp_path, Settings(downsample=1.0 if unscaled else None))
    assert result.tiles > 0
    assert result.unreadable == 0
    assert (result.decoding == "jpeg") == name.endswith("Region.svs")


ENGINES = [("openvino", "openvino"), ("onnx", "onnxruntime")]


def _agree(engine: Engine, package: str, encoder: Encoder, tiles: list[np.ndarray]) -> None:
    for needed in ("onnx", package):
        pytest.importorskip(needed, reason=f"{needed} is not installed: pip install --no-deps {needed}")
    torch = tile_engine(encoder, 2, "torch").encode(tiles, 0.5)
    other = tile_engine(encoder, 2, engine)
    assert other.name == engine
    np.testing.assert_allclose(other.encode(tiles, 0.5), torch, atol=1e-4 * float(np.abs(torch).max()))


@pytest.mark.parametrize(("engine", "package"), ENGINES)
def test_engines_agree_on_what_ships(engine: Engine, package: str, shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        coords = plan_embedding(slide, 0.5).coords[:21]
        tiles = [slide.read(Region(int(x), int(y), 256, 256)) for x, y in coords]
    _agree(engine, package, load_encoder(), tiles)


@pytest.mark.parametrize(("engine", "package"), ENGINES)
def test_engines_agree_on_a_vision_transformer(engine: Engine, package: str, tmp_path: Path) -> None:
    arrays = {name: value.numpy() for name, value in tiny().state_dict().items()}
    card = {"network": "vit", "settings": SIZES, "dimension": 48, "tile_px": 64, "mpp": None}
    write_trained(tmp_path / "mine", "encoder", arrays, card | {"mean": [0.5] * 3, "deviation": [0.25] * 3})
    tiles = [np.asarray(paint_tissue(80, 80, seed)) for seed in range(5)]
    _agree(engine, package, load_encoder(str(tmp_path / "mine")), tiles)


def test_the_fastest_engine_is_taken_and_other_encoders_run_as_they_are() -> None:
    assert tile_engine(ColourEncoder(), 2).name == "torch"
    found = [name for name, package in ENGINES if all(importlib.util.find_spec(p) for p in ("onnx", package))]
    assert tile_engine(load_encoder(), 1).name == [*found, "torch"][0]


def test_a_tile_that_cannot_be_decoded_is_left_out_and_counted(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "slide.tif", 3000, tissue=0.8)
    with open_slide(path) as slide:
        plan = plan_embedding(slide, 0.5)
    whole = _embedded(path, _folder(tmp_path, "whole"))
    lost = tuple(int(value) for value in plan.coords[5])
    _spoil(path, lost)
    result = _embedded(path, tmp_path)
    assert (result.tiles, result.unreadable) == (whole.tiles - 1, 1)
    with h5py.File(tmp_path / result.file) as file:
        assert lost not in {tuple(map(int, place)) for place in file["coords"]}
        assert np.isfinite(file["features"][:]).all()
        assert file.attrs["tiles_unreadable"] == 1


def _spoil(path: Path, corner: tuple[int, int]) -> None:
    """Points the tile at a corner to bytes that are no JPEG."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        number = corner[1] // 256 * -(-page.imagewidth // 256) + corner[0] // 256
        offsets = page.tags["TileOffsets"].valueoffset
    with path.open("r+b") as file:
        at = file.seek(0, 2)
        file.write(b"\xff\xd8" + bytes(20_000))
        file.seek(offsets + 8 * number)
        file.write(at.to_bytes(8, "little"))


def test_a_slide_that_fails_does_not_stop_the_others(made: Path, tmp_path: Path) -> None:
    glass = write_slide(tmp_path / "glass.tif", 3000, tissue=0.0)
    slides = [tmp_path / "nowhere.svs", glass, made]
    results = list(embed_slides(ColourEncoder(), slides, tmp_path, engine=TorchEngine(ColourEncoder())))
    assert [type(result) for result in results] == [Failed, Failed, Embedded]
    assert "does not exist" in results[0].why
    assert "tissue" in results[1].why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["glass.tif", "made.h5"]


def test_what_is_done_is_left_and_what_is_another_is_never_overwritten(made: Path, tmp_path: Path) -> None:
    first = _embedded(made, tmp_path)
    before = (tmp_path / first.file).read_bytes()
    again = _embedded(made, tmp_path)
    assert (again.kept, again.tiles) == (first.tiles, first.tiles)
    assert "other settings" in _failure(made, tmp_path, Settings(mpp=1.0))
    other = write_slide(tmp_path / "made.tif", 3000, tissue=0.8)
    assert "another slide" in _failure(other, tmp_path)
    assert (tmp_path / first.file).read_bytes() == before
    (tmp_path / first.file).write_text("no HDF5")
    assert "no file of embed" in _failure(made, tmp_path)


def test_slides_of_one_name_get_files_of_their_own(tmp_path: Path) -> None:
    for name in ("a.svs", "a.tif", "b.svs"):
        (tmp_path / name).touch()
    files = targets([tmp_path / name for name in ("a.svs", "a.tif", "b.svs")], tmp_path)
    assert [file.name for file in files] == ["a.svs.h5", "a.tif.h5", "b.h5"]
    with pytest.raises(UsageError, match="different folders"):
        targets([tmp_path / "b.svs", tmp_path / "b.svs"], tmp_path)


def _folder(place: Path, name: str) -> Path:
    (place / name).mkdir()
    return place / name
