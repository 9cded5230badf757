"""Which entries of a folder are slides."""

from __future__ import annotations

from pathlib import Path

from slides.folder import is_dicom_folder, slides_in


def test_a_folder_gives_its_slides_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in (
        "b.svs",
        "a.TIFF",
        "notes.txt",
        ".hidden.svs",
        "c.dzi",
        "c_files/0/0_0.jpeg",
        "d.mrxs",
        "d/Slidedat.ini",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("d/Data0.jpg", "scan/one.dcm", "scan/two.dcm", "site/e.ndpi", "site/inner/f.png", "site/inner/g.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    flat = ["a.TIFF", "b.svs", "c.dzi", "d.mrxs", "scan"]
    assert [path.relative_to(tmp_path).as_posix() for path in slides_in(tmp_path)] == flat
    deep = [path.relative_to(tmp_path).as_posix() for path in slides_in(tmp_path, deep=True)]
    assert deep == [*flat, "site/e.ndpi", "site/inner/f.png"]
    assert is_dicom_folder(tmp_path / "scan")
    assert not is_dicom_folder(tmp_path / "site")
