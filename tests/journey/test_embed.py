"""`pathcopilot embed` as a person runs it: a folder in, a file a slide out, what failed in a table and exit 1."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from tests.vision_encoder.made_slides import write_slide

from .test_command_line import run
from .test_no_network import guarded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slides of tissue, one of glass, one that is cut short, one that does not state its scale."""
    place = tmp_path / "slides"
    place.mkdir()
    write_slide(place / "one.tif", 3000, tissue=0.8)
    write_slide(place / "two.tif", 3000, tissue=0.6, seed=4)
    write_slide(place / "glass.tif", 3000, tissue=0.0)
    write_slide(place / "unscaled.tif", 3000, mpp=None, tissue=0.8)
    whole = write_slide(place / "cut.tif", 3000, tissue=0.8)
    whole.write_bytes(whole.read_bytes()[:200_000])
    return place


def test_a_folder_with_failures_ends_with_what_failed_and_why(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "made" / "features"
    code, said, progress = run(["embed", str(folder), "--out", str(out)], capsys, monkeypatch)
    assert code == 1
    assert sorted(path.name for path in out.iterdir()) == ["one.h5", "two.h5"]
    table = said.partition("3 of 5 slides failed:\n")[2].splitlines()
    assert [line.split()[0] for line in table] == ["cut.tif", "glass.tif", "unscaled.tif"]
    assert all(word in line for word, line in zip(("cut short", "tissue", "--downsample"), table, strict=True))
    assert "two.tif" in progress
    again, said, _ = run(["embed", str(folder), "--out", str(out), "--json"], capsys, monkeypatch)
    told = json.loads(said)
    assert again == 1
    assert [item["kept"] == item["tiles"] > 0 for item in told["slides"]] == [True, True]
    assert len(told["failed"]) == 3
    with h5py.File(out / "one.h5") as file:
        assert file["features"].shape == (told["slides"][0]["tiles"], told["encoder"]["dimension"])
        assert file.attrs["encoder_sha256"] == told["encoder"]["sha256"]


def test_all_well_is_exit_0_and_nothing_calls_out(folder: Path, tmp_path: Path) -> None:
    done = guarded("embed", str(folder / "one.tif"), "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failed"] == []


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["embed", "--out", "OUT"], "name slides"),
        (["embed", "SLIDE", "--out", "OUT", "--encoder", "no-such"], "no encoder"),
        (["embed", "SLIDE", "--out", "OUT", "--mpp", "-1"], "µm/px"),
        (["embed", "SLIDE", "--out", "SLIDE"], "another --out"),
        (["embed", "SLIDE", "SLIDE", "--out", "OUT"], "different folders"),
        (["embed", "SLIDE"], "--out"),
    ],
)
def test_what_cannot_be_begun_is_one_line_and_exit_2(
    arguments: list[str],
    hint: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = {"SLIDE": str(folder / "one.tif"), "OUT": str(tmp_path / "out")}
    code, _, said = run([places.get(word, word) for word in arguments], capsys, monkeypatch)
    assert code == 2
    assert hint in said
    assert len(said.strip().splitlines()) == 1
