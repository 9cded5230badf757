"""Laws of an index of tiles: it finds its own, the cosine is exact, and it holds no pixels."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slides import Region, open_slide
from slides.errors import SetupError, UsageError
from vision_encoder import load_encoder
from vision_encoder.index import (
    BLOCK,
    TileIndex,
    index_slides,
    index_tiles,
    load_index,
    of_atlas,
    tile_features_of,
    write_index,
)
from vision_encoder.reference_tiles import load_reference_tiles, slide_descriptions
from vision_encoder.retrieval import ReferenceCase, load_atlas

from ..conftest import paint_tissue
from .fakes import ColourEncoder


class ThumbnailEncoder(ColourEncoder):
    """The picture at 8 px in colour less its mean: no two tiles are alike."""

    dimension = 192

    def encode_tiles(self, images: Sequence[Image.Image], mpp: float | None = None) -> np.ndarray:
        small = [np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BOX)) for image in images]
        rows = np.stack(small).reshape(len(images), -1).astype(np.float32)
        return rows - rows.mean(axis=1, keepdims=True)


def test_the_nearest_are_those_of_the_largest_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_encoder.index.BLOCK", 7)
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(30, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cases = (ReferenceCase("a", "", "", "", 0, 11), ReferenceCase("b", "", "", "", 11, 30))
    index = TileIndex(cases, rows.astype(np.float16), np.full((30, 4), -1, dtype=np.int64), None, {})
    asked = rng.normal(size=(4, 6)).astype(np.float32)
    cosine = (asked / np.linalg.norm(asked, axis=1, keepdims=True)) @ rows.astype(np.float16).astype(np.float64).T
    found = index.nearest(asked, k=30)
    expected = np.argsort(-cosine.max(axis=0), kind="stable")
    for item, row in zip(found, expected, strict=True):
        assert item.similarity == pytest.approx(cosine[:, row].max(), abs=1e-5)
        assert item.asked == cosine[:, row].argmax()
        assert item.case.title == ("a" if row < 11 else "b")
        assert item.place is None
    assert [item.similarity for item in index.nearest(asked, k=3)] == [item.similarity for item in found[:3]]
    assert BLOCK > 1000


def test_a_slide_finds_its_own_tiles_in_their_places(generated_slide: Path, tmp_path: Path) -> None:
    paint_tissue(900, 700, 3).save(tmp_path / "other.png")
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    Image.new("RGB", (600, 600), (245, 244, 245)).save(tmp_path / "glass.png")
    encoder = ThumbnailEncoder()
    paths = [generated_slide, *(tmp_path / name for name in ("other.png", "broken.svs", "glass.png"))]
    made, notes = index_slides(encoder, paths)
    assert [note.partition(" ")[0] for note in notes] == ["broken.svs", "glass.png"]
    index = load_index(encoder, write_index(made, tmp_path / "index"))
    assert [case.title for case in index.cases] == [generated_slide.name, "other.png"]
    with open_slide(generated_slide) as slide:
        tiles, features = tile_features_of(encoder, slide)
        for number in (0, len(tiles) // 2):
            first = index.nearest(features[number : number + 1], k=1)[0]
            assert first.case.title == generated_slide.name
            assert first.place == tiles[number]
            assert first.similarity == pytest.approx(1, abs=1e-3)
        with pytest.raises(UsageError, match="no tissue"):
            tile_features_of(encoder, slide, Region(0, 0, 150, 120))
        box, _ = tile_features_of(encoder, slide, Region(600, 500, 700, 600))
        assert all(Region(600, 500, 700, 600).contains(tile) for tile in box)


def test_an_index_holds_features_places_and_words_only(generated_slide: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    encoder = ColourEncoder()
    once = write_index(index_slides(encoder, [generated_slide])[0], tmp_path / "once")
    again = write_index(index_slides(encoder, [generated_slide])[0], tmp_path / "again.json")
    arrays = load_file(once.with_suffix(".safetensors"))
    assert set(arrays) == {"reference", "places"}
    assert arrays["reference"].dtype == np.float16
    assert arrays["reference"].shape == (len(arrays["places"]), encoder.dimension)
    assert str(generated_slide.parent) not in once.read_text(encoding="utf-8")
    for suffix in (".json", ".safetensors"):
        assert once.with_suffix(suffix).read_bytes() == again.with_suffix(suffix).read_bytes()


def test_nothing_to_index_and_indexes_that_do_not_fit_are_refused(generated_slide: Path, tmp_path: Path) -> None:
    encoder = ColourEncoder()
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    with pytest.raises(UsageError, match=r"no slide could be indexed: broken\.svs"):
        index_slides(encoder, [tmp_path / "broken.svs"])
    with pytest.raises(UsageError, match="no index there"):
        load_index(encoder, tmp_path / "nowhere.json")
    path = write_index(index_slides(encoder, [generated_slide])[0], tmp_path / "index")
    other = ColourEncoder()
    other.sha256 = "1" * 64
    with pytest.raises(UsageError, match="was made with encoder 'colour'"):
        load_index(other, path)
    with path.with_suffix(".safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(SetupError, match="differs from its hash"):
        load_index(encoder, path)


def test_tiles_of_a_table_keep_their_words(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = []
    for number, (caption, shade) in enumerate((("adipose tissue", 250), ("muscle", 120), ("muscle", 122))):
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (shade, 90, 140)).save(file, "PNG")
        rows.append({"jpeg": file.getvalue(), "caption": caption, "organ": "colon", "group": f"p{number}"})
        rows[-1]["attribution"] = "made for this test"
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "tiles.parquet")
    encoder = ColourEncoder()
    index, _ = index_tiles(encoder, [tmp_path / "tiles.parquet"])
    assert sorted(case.title for case in index.cases) == ["adipose tissue", "muscle", "muscle"]
    found = index.nearest(encoder.encode_tiles([Image.new("RGB", (50, 50), (121, 90, 140))]), k=3)
    assert [item.case.caption for item in found] == ["muscle", "muscle", "adipose tissue"]
    assert {item.case.attribution for item in found} == {"made for this test"}
    rows[1]["jpeg"] = b"no picture"
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "tiles.parquet")
    with pytest.raises(UsageError, match="tiles row 1 cannot be read"):
        index_tiles(encoder, [tmp_path / "tiles.parquet"])


def test_the_shipped_cases_are_an_index_too() -> None:
    encoder = load_encoder()
    atlas = load_atlas(encoder)
    index = of_atlas(atlas)
    features = np.random.default_rng(0).normal(size=(2, encoder.dimension)).astype(np.float32)
    found = index.nearest(features, k=4)
    assert len(found) == 4
    assert all(item.case.attribution for item in found)
    likeness = [item.similarity for item in found]
    assert likeness == sorted(likeness, reverse=True)


def test_every_slide_of_the_atlas_has_a_line_to_show_with_its_tiles(shared_data: Path) -> None:
    described = slide_descriptions(shared_data)
    tiles = load_reference_tiles(shared_data, {})
    cases = {tile_id.rpartition("/")[0] for tile_id in tiles.id[tiles.kind == "cases"]}
    assert cases <= set(described)
    assert sum(bool(described[case]) for case in cases) > 0.5 * len(cases)


def test_the_verbs_make_and_search_an_index(generated_slide: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from ui.command import main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pathcopilot", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    made = run("index", "--out", str(tmp_path / "mine"), str(generated_slide), "--json")
    assert made[0] == 0
    told = json.loads(made[1])
    assert told["tiles"] > 10
    asked = ["similar", str(generated_slide), "--index", str(tmp_path / "mine.json"), "--region", "600,500,500,500"]
    code, out, _ = run(*asked, "--json", "-n", "2")
    assert code == 0
    found = json.loads(out)["similar"]
    assert [row["title"] for row in found] == [generated_slide.name] * 2
    assert found[0]["similarity"] > 0.9
    assert run(*asked)[1].count("\n") == 5
    for arguments in (["index", "--out", str(tmp_path / "none")], [*asked[:3], str(tmp_path / "no.json")]):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err.count("pathcopilot: ") == 1
