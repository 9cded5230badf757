"""Laws of adapting: what leaks is refused, what is made speaks as the shipped heads do, its figures are honest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from slides import open_slide
from slides.errors import SetupError, UsageError
from vision_encoder import load_encoder
from vision_encoder.adapt import Adapted, Asked, adapt
from vision_encoder.adapt_card import as_json
from vision_encoder.duplicates import near_identical, thumbnail
from vision_encoder.heads import load_heads, load_own_head
from vision_encoder.lab_tiles import Columns, read_lab_tiles
from vision_encoder.look import Eye, load_eye

from ..conftest import paint_tissue
from .fakes import ColourEncoder

pytest.importorskip("sklearn")

TINTS = {"dense": (1.0, 0.9, 1.0), "pale lesion": (0.9, 1.0, 0.8)}
GROUPS, HELD_OUT = 10, 2
Rows = list[dict[str, str]]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of generated tissue told apart by colour: twelve groups of two tiles each, two of them held out."""
    folder = tmp_path_factory.mktemp("lab")
    rows = []
    for number, (label, tint) in enumerate(TINTS.items()):
        (folder / label).mkdir()
        for group in range(GROUPS + HELD_OUT):
            for tile in range(2):
                name = f"{label}/{label[0]}{group:02}_{tile}.png"
                pixels = np.asarray(paint_tissue(256, 256, 100 * number + 2 * group + tile)) * np.array(tint)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
                split = "train" if group < GROUPS else "test"
                rows.append(
                    {"path": name, "label": label, "group": f"{label[0]}{group:02}", "split": split, "mpp": "0.5"}
                )
    write(folder / "labels.csv", rows)
    return folder


def write(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def table(folder: Path, change: Callable[[Rows], Rows | None] = lambda rows: rows) -> Path:
    """The table of the folder, changed, beside the original so that its paths hold."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return write(folder / "changed.csv", change(rows) or rows)


def refused(folder: Path, change: Callable[[Rows], Rows | None], **columns: str) -> str:
    with pytest.raises(UsageError) as error:
        adapt(table(folder, change), folder / "refused" / "head", columns=Columns(**columns))
    assert not (folder / "refused").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def adapted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    out = tmp_path_factory.mktemp("heads") / "lesion"
    return adapt(folder, out, asked=Asked(organ="stomach"))


def test_the_head_knows_held_out_groups_and_stands_in_the_layout_of_the_shipped_ones(folder, adapted) -> None:
    encoder = load_encoder()
    heads = load_own_head(encoder, adapted.path.with_suffix(".json"))
    assert heads.names == ("disease stomach",)
    assert heads["disease stomach"].classes == ("dense", "pale lesion")
    for label in TINTS:
        tiles = [Image.open(path) for path in sorted((folder / label).glob("*.png"))[-4:]]
        finding = heads.read(encoder.encode_tiles(tiles), organ="stomach")[0].finding
        assert (finding.label, finding.abstained) == (label, False)
        assert finding.source.startswith("head disease stomach@")
    shipped = load_heads(encoder)
    assert set(heads.card["heads"][0]) == set(shipped.card["heads"][0])


def test_the_report_states_the_figures_of_the_run_and_what_it_is_not_for(adapted) -> None:
    report = adapted.path.with_suffix(".md").read_text(encoding="utf-8")
    readings = [result.reading for result in adapted.results]
    assert readings == ["folds, by group", "folds, by tile", "held out, by group", "held out, by tile"]
    for result in adapted.results:
        low, high = result.balanced_accuracy[1:]
        assert f"{result.reading} | {result.tiles} | {result.groups} | " in report
        assert f"({low:.2f}–{high:.2f})" in report
    assert "## Not for" in report
    figures = json.loads(json.dumps(as_json(adapted)))
    assert [row["reading"] for row in figures["figures"]] == readings
    assert figures["groups"] == 2 * GROUPS
    assert adapted.results[2].groups == 2 * HELD_OUT
    assert adapted.flagged["generated pictures and photographs"] > 0.5


def test_adapting_again_makes_the_same_files_and_never_learns_from_what_is_held_out(folder, adapted, tmp_path) -> None:
    def relabelled(rows: Rows) -> None:
        for row in rows:
            if row["split"] == "test":
                row["label"] = "dense"

    again = adapt(table(folder, relabelled), tmp_path / "again.json", asked=Asked(organ="stomach"))
    for suffix in (".safetensors", ".json"):
        assert again.path.with_suffix(suffix).read_bytes() == adapted.path.with_suffix(suffix).read_bytes()
    assert again.results[:2] == list(adapted.results[:2])
    assert again.results[2].balanced_accuracy[0] < adapted.results[2].balanced_accuracy[0]


def test_labels_dealt_at_random_are_reported_as_not_better_than_one_word(folder, tmp_path) -> None:
    def shuffled(rows: Rows) -> Rows:
        rows = [row for row in rows if row["split"] == "train"]
        groups = sorted({row["group"] for row in rows})
        dealt = dict(zip(np.random.default_rng(4).permutation(groups), groups, strict=True))
        for row in rows:
            row["label"] = "dense" if dealt[row["group"]] < "p" else "pale lesion"
        return rows

    made = adapt(table(folder, shuffled), tmp_path / "noise")
    assert made.results[0].balanced_accuracy[1] <= 0.5
    assert "not surely better than always naming one class" in made.path.with_suffix(".md").read_text(encoding="utf-8")
    assert made.results[0].right_when_speaking[1] <= 2


def test_it_speaks_on_a_slide_in_its_scope_and_falls_silent_outside(folder, adapted) -> None:
    # 256 px at 0.5 µm/px: read from a slide pixel by pixel as it was learned from
    picture, path = folder / "pale lesion" / "p00_0.png", adapted.path.with_suffix(".json")
    alone = Eye(load_encoder(), load_own_head(load_encoder(), path), None)

    def said(mpp: float, organ: str | None):
        found = seen(alone, picture, mpp, organ).find("disease stomach")
        return None if found is None else found.finding

    assert (said(0.5, "stomach").label, said(0.5, "stomach").reason) == ("pale lesion", None)
    assert said(0.5, "stomach").scope == "HE stain, stomach, 0.381–0.857 µm/px"
    assert said(0.5, "liver") is None
    assert said(0.5, None) is None
    assert "validated from 0.381 to 0.857" in said(0.2, "stomach").reason

    together = load_eye("embedded", [path])
    assert together.weights_sha256["head disease stomach"] == adapted.heads.card["sha256"]
    observation = seen(together, picture, 0.5, "stomach")
    stain, own = observation.find("stain").finding, observation.find("disease stomach")
    assert (own is None or own.finding.abstained) == (stain.prediction_set != ("HE",))


def seen(eye: Eye, path: Path, mpp: float, organ: str | None):
    with open_slide(path, mpp=mpp) as slide:
        looking = eye.look(slide, organ=organ)
        while True:
            try:
                next(looking)
            except StopIteration as end:
                return end.value


def test_an_own_head_takes_the_place_of_the_shipped_one_of_its_name(adapted) -> None:
    shipped = load_heads(load_encoder())
    own = load_own_head(load_encoder(), adapted.path.with_suffix(".json"))
    both = shipped.with_added(own)
    assert both.names == (*shipped.names, "disease stomach")
    renamed = shipped.with_added(shipped)
    assert renamed.names == shipped.names
    features = np.random.default_rng(0).normal(size=(4, load_encoder().dimension)).astype(np.float32)
    assert [r.finding for r in renamed.read(features)] == [r.finding for r in shipped.read(features)]
    assert [r.finding for r in both.read(features)][:-1] == [r.finding for r in shipped.read(features)]


def test_a_head_of_another_encoder_or_an_altered_one_is_refused(adapted, tmp_path) -> None:
    with pytest.raises(UsageError, match="was made with encoder 'embedded'"):
        load_own_head(ColourEncoder(), adapted.path.with_suffix(".json"))
    with pytest.raises(UsageError, match="no head there"):
        load_own_head(load_encoder(), tmp_path / "nowhere.json")
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"head{suffix}").write_bytes(adapted.path.with_suffix(suffix).read_bytes())
    with (tmp_path / "head.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(SetupError, match="differs from its hash"):
        load_own_head(load_encoder(), tmp_path / "head.json")
    with pytest.raises(UsageError, match="two heads are called 'disease stomach'"):
        load_eye("embedded", [adapted.path.with_suffix(".json")] * 2)


def test_without_groups_one_line_says_why_and_how(folder, tmp_path) -> None:
    def drop(rows: Rows) -> Rows:
        return [{key: value for key, value in row.items() if key != "group"} for row in rows]

    said = refused(folder, drop)
    assert "--group-column" in said
    assert "both sides of a split" in said
    bare = tmp_path / "bare"
    bare.mkdir()
    for label in TINTS:
        (bare / label).symlink_to(folder / label)
    with pytest.raises(UsageError, match="--group-pattern"):
        adapt(bare, tmp_path / "head")


def test_class_folders_give_the_same_tiles_as_the_table(folder, tmp_path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for label in TINTS:
        (bare / label).symlink_to(folder / label)
    by_name = read_lab_tiles(bare, Columns(group_pattern="^([^_]+)_"), "HE").tiles
    by_table = read_lab_tiles(folder, Columns(), "HE").tiles
    for column in ("id", "group", "tissue"):
        assert list(getattr(by_name, column)) == list(getattr(by_table, column))


def test_parquet_gives_the_same_tiles_as_the_table(folder, tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    tiles = read_lab_tiles(folder, Columns(), "HE").tiles
    rows = [
        {"id": tiles.id[i], "disease": tiles.tissue[i], "patient": tiles.group[i], "jpeg": tiles.content(i)}
        for i in range(len(tiles))
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "tiles.parquet")
    read = read_lab_tiles(tmp_path, Columns("disease", "patient"), "HE").tiles
    assert list(read.group) == list(tiles.group)
    assert [read.content(i) for i in range(len(read))] == [tiles.content(i) for i in range(len(tiles))]


def test_a_group_in_two_splits_is_refused(folder) -> None:
    def leak(rows: Rows) -> None:
        rows[0]["split"] = "test"

    assert refused(folder, leak).startswith("the split leaks: d00 in more than one split")


@pytest.mark.parametrize("change", ["same", "turned", "mirrored", "half", "jpeg"])
def test_the_same_picture_in_two_groups_is_refused(folder, change: str) -> None:
    picture = Image.open(folder / "dense" / "d00_0.png")
    altered(picture, change).save(folder / "dense" / "copy.png")

    def copied(rows: Rows) -> Rows:
        return [*rows, {**rows[0], "path": "dense/copy.png", "group": "d11", "split": "test"}]

    said = refused(folder, copied)
    (folder / "dense" / "copy.png").unlink()
    assert "the same picture lies in two splits: dense/d00_0.png (d00) and dense/copy.png (d11)" in said


def altered(picture: Image.Image, change: str) -> Image.Image:
    if change == "turned":
        return picture.transpose(Image.Transpose.ROTATE_90)
    if change == "mirrored":
        return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if change == "half":
        return picture.resize((picture.width // 2, picture.height // 2))
    if change == "jpeg":
        file = io.BytesIO()
        ImageEnhance.Brightness(picture).enhance(1.05).save(file, "JPEG", quality=40)
        return Image.open(file)
    return picture


def test_other_tissue_and_even_fields_are_not_taken_for_copies() -> None:
    pictures = [paint_tissue(128, 128, seed).crop((32, 32, 96, 96)) for seed in range(40)]
    pictures += [Image.new("RGB", (64, 64), (240 - shade, 238, 240)) for shade in range(20)]
    groups = np.array([str(number) for number in range(60)], dtype=object)
    assert list(near_identical(np.stack([thumbnail(picture) for picture in pictures]), groups)) == []


def test_shared_tiles_of_different_groups_are_not_taken_for_copies(shared_data: Path) -> None:
    pytest.importorskip("pyarrow")
    for name in ("oscc_rahman", "hpylori_ihc", "breakhis"):
        tiles = read_lab_tiles(shared_data / "tiles" / f"{name}.parquet", Columns(), "HE").tiles
        assert len(set(tiles.group)) > 20


def test_too_few_groups_are_counted(folder) -> None:
    def few(rows: Rows) -> Rows:
        return [row for row in rows if row["label"] == "dense" or row["group"] in ("p00", "p01", "p02")]

    assert "'pale lesion' has 3, 2 more needed" in refused(folder, few)

    def ten(rows: Rows) -> Rows:
        return [row for row in rows if row["group"][1:] < "05"]

    assert "10, 10 more needed" in refused(folder, ten)


def test_pictures_that_cannot_be_read_are_named(folder) -> None:
    content = (folder / "dense" / "d01_0.png").read_bytes()
    (folder / "dense" / "short.png").write_bytes(content[: len(content) // 2])
    (folder / "dense" / "text.png").write_text("no picture")

    def broken(rows: Rows) -> Rows:
        added = [{**rows[0], "path": f"dense/{name}.png"} for name in ("short", "text", "gone")]
        return [*rows, *added]

    said = refused(folder, broken)
    assert said.startswith("3 tiles cannot be read")
    assert all(f"dense/{name}.png" in said for name in ("short", "text", "gone"))


def test_numbers_are_no_labels(folder) -> None:
    def numbered(rows: Rows) -> None:
        for row in rows:
            row["label"] = str(int(row["label"] == "dense"))

    assert "is no word" in refused(folder, numbered)


def test_tiles_narrower_than_what_slides_are_looked_at_with_are_told(folder) -> None:
    from vision_encoder.adapt import _head_row, _mpp_range, _notes

    lab = read_lab_tiles(folder, Columns(), "HE")
    everything = np.arange(len(lab.tiles))
    encoder = load_encoder()
    for mpp, told in ((0.5, False), (0.25, True)):
        asked = Asked(mpp=mpp)
        head = _head_row(asked, _mpp_range(lab, everything, asked, encoder))
        notes = _notes(lab, 0, lab.tiles, head, encoder)
        assert any("on slides it will abstain" in note for note in notes) == told
