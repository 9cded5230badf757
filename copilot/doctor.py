"""Every dependency, weights file and permission as PASS, WARN or FAIL, with the command that mends it.

FAIL means that pathcopilot cannot do its work; WARN that a part of it, or its speed, is missing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from slides.errors import PathcopilotError
from slides.files import sha256_of

from .language import convert
from .process import SETTINGS, prepare_process

Status = Literal["PASS", "WARN", "FAIL"]

_MODULES = {
    "langchain-core": "langchain_core",
    "openslide-bin": "openslide_bin",
    "openslide-python": "openslide",
    "pillow": "PIL",
    "scikit-image": "skimage",
}
"""Module of a distribution where its name is another."""

_PYTHON = (3, 11)
_DISK_GB, _MEMORY_GB = 2.0, 3.0
_REINSTALL = "make setup"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `fix` is what mends it, empty where nothing is to be mended."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def check(prepare: bool = False) -> list[Check]:
    """All checks in the order in which a set-up makes them true.

    `prepare` converts the language model first where that is still to be done, telling of it on stderr.
    """
    prepare_process()
    return [
        _python(),
        *_dependencies(),
        _torch_build(),
        _language_weights(),
        _converted_language(prepare),
        _language_engine(prepare),
        *_tuned_language(),
        *_encoder_weights(),
        *_trained_files(),
        _viewer(),
        _cache(),
        _case_store(),
        _analytics(),
        _loopback(),
        _browser(),
        _disk(),
        _memory(),
    ]


def render(checks: Sequence[Check], *, as_json: bool = False) -> str:
    """The checks as text, a line each and one more for its fix, or as one JSON object."""
    counts = {status: sum(item.status == status for item in checks) for status in ("PASS", "WARN", "FAIL")}
    if as_json:
        return json.dumps({"checks": [asdict(item) for item in checks], "counts": counts}, indent=1)
    width = max((len(item.name) for item in checks), default=0)
    lines = []
    for item in checks:
        lines.append(f"{item.status}  {item.name:<{width}}  {item.detail}")
        if item.fix:
            lines.append(f"      {'':<{width}}  fix: {item.fix}")
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return "\n".join([*lines, summary])


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != _PYTHON:
        tested = ".".join(map(str, _PYTHON))
        return Check("python", "WARN", f"{version}, tested with {tested}", f"make setup PYTHON=python{tested}")
    return Check("python", "PASS", version)


def _dependencies() -> Iterator[Check]:
    """Each direct dependency: installed, in its tested range, importable; those of extras only where installed."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("pathcopilot") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("pathcopilot", "FAIL", "not installed as a package", _REINSTALL)
        return
    in_range = 0
    for requirement in map(Requirement, lines):
        optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        fix = f'pip install "{str(requirement).partition(";")[0].strip()}"'
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            if not optional:
                yield Check(requirement.name, "FAIL", "not installed", fix)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield Check(requirement.name, "WARN", f"{version} is outside the tested {requirement.specifier}", fix)
        elif optional:
            in_range += 1
        else:
            yield _imported(requirement.name, version)
    yield Check("optional packages", "PASS", f"{in_range} installed, in their tested ranges")


def _imported(name: str, version: str) -> Check:
    try:
        importlib.import_module(_MODULES.get(name, name))
    except Exception as error:  # whatever a broken package raises is the finding
        return Check(
            name,
            "FAIL",
            f"{version} cannot be imported: {_first_line(error)}",
            f"pip install --force-reinstall {name}=={version}",
        )
    return Check(name, "PASS", version)


def _torch_build() -> Check:
    import torch

    threads = f"{torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        return Check("torch build", "PASS", f"CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}")
    if torch.version.cuda:
        return Check(
            "torch build",
            "WARN",
            f"made for CUDA {torch.version.cuda}, but there is no usable GPU: gigabytes of disk for nothing",
            "pip install --force-reinstall --no-deps --find-links FOLDER_OF_CPU_WHEELS torch==2.13.0+cpu",
        )
    from .language.embedded import native_precision

    return Check("torch build", "PASS", f"CPU, {threads}, language model in {native_precision()}")


def _language_weights() -> Check:
    try:
        source = convert.find_gguf()
    except PathcopilotError as error:
        return Check("language weights", "FAIL", _first_line(error), convert.FIX)
    if sha256_of(source) != convert.GGUF_SHA256:
        detail = f"{source.name} differs from its SHA-256"
        return Check("language weights", "FAIL", detail, f"{convert.FIX} --force-reinstall")
    return Check("language weights", "PASS", f"{source.name}, SHA-256 {convert.GGUF_SHA256[:12]}…")


def _converted_language(prepare: bool) -> Check:
    from .language.embedded import native_precision

    precision = native_precision()
    name, fix = "language model", "pathcopilot doctor --prepare"
    try:
        if prepare:
            _remove_damaged(precision)
            convert.convert(precision, progress=_tell)
        if not convert.is_converted(precision):
            return Check(name, "WARN", "not converted yet: the first question will take longer", fix)
        convert.verify(precision)
    except PathcopilotError as error:
        return Check(name, "FAIL", _first_line(error), fix)
    return Check(name, "PASS", f"converted to {precision}, hash right")


def _language_engine(prepare: bool) -> Check:
    """What multiplies the language model's weights, and whether its graph is written."""
    from .language import convert_graph, embedded
    from .language.adapter import shipped_adapter

    name = "language engine"
    if embedded.fastest_engine() == "torch":
        detail = "torch: with ONNX Runtime the language model writes more than twice as fast"
        return Check(name, "WARN", detail, 'pip install -c constraints.txt "pathcopilot[fast]"')
    fix = "pathcopilot doctor --prepare"
    try:
        adapter = shipped_adapter()
        if prepare:
            if convert_graph.is_converted(adapter) and not convert_graph.is_sound(adapter):
                convert_graph.remove(adapter)
            convert_graph.convert_graph(adapter, progress=_tell)
        if not convert_graph.is_converted(adapter):
            return Check(name, "WARN", "graph not written yet: the first question will take longer", fix)
        if not convert_graph.is_sound(adapter):
            return Check(name, "FAIL", "its graph is damaged", fix)
    except PathcopilotError as error:
        return Check(name, "FAIL", _first_line(error), fix)
    return Check(name, "PASS", "ONNX Runtime, weights of 4 bits as published, hashes right")


def _tuned_language() -> list[Check]:
    """The adapter that ships for the language model; nothing where none does."""
    from .language.adapter import shipped_adapter

    try:
        adapter = shipped_adapter()
    except PathcopilotError as error:
        return [Check("tuned language model", "FAIL", _first_line(error), "pip install --force-reinstall pathcopilot")]
    return [Check("tuned language model", "PASS", f"{adapter.name}, hash right")] if adapter else []


def _remove_damaged(precision: convert.Precision) -> None:
    if convert.is_converted(precision):
        try:
            convert.verify(precision)
        except PathcopilotError:
            convert.remove(precision)


def _encoder_weights() -> Iterator[Check]:
    """The encoder that answers, and the baseline that only evaluation needs, where that is another."""
    from vision_encoder.catalog import shipped_rows, verified_weights

    try:
        rows = {row.sha256: row for row in reversed(shipped_rows())}
    except PathcopilotError as error:
        yield Check("encoder weights", "FAIL", _first_line(error), "pip install --force-reinstall pathcopilot")
        return
    for row in rows.values():
        default = row.name == "embedded"
        name = "encoder weights" if default else f"{row.name} weights"
        try:
            yield Check(name, "PASS", f"{verified_weights(row).name}, SHA-256 {row.sha256[:12]}…")
        except PathcopilotError as error:
            yield Check(name, "FAIL" if default else "WARN", _first_line(error), row.fix)


def _trained_files() -> Iterator[Check]:
    """The heads, the atlas and whatever else was trained and ships in the package."""
    from vision_encoder.shipped import WEIGHTS, read_trained

    names = sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))
    for name in names:
        try:
            read_trained(WEIGHTS, name)
            yield Check(f"trained {name}", "PASS", "hash right")
        except PathcopilotError as error:
            yield Check(f"trained {name}", "FAIL", _first_line(error), "pip install --force-reinstall pathcopilot")
    if not names:
        yield Check("trained files", "FAIL", "none in the package", "pip install --force-reinstall pathcopilot")


def _viewer() -> Check:
    """The desk's viewer; that floor is above this one, so it is asked by name and not imported."""
    fix = "python -m ui.openseadragon"
    try:
        viewer = importlib.import_module("ui.openseadragon")
        wrong = viewer.wrong_files()
    except ImportError:
        return Check("viewer", "FAIL", "the desk is not installed", _REINSTALL)
    if wrong:
        return Check("viewer", "FAIL", f"OpenSeadragon lacks or has other {', '.join(wrong)}", fix)
    return Check("viewer", "PASS", f"OpenSeadragon {viewer.VERSION}, hashes right")


def _cache() -> Check:
    folder = convert.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        fix = "name a folder you may write to in PATHCOPILOT_CACHE"
        return Check("cache folder", "FAIL", f"{folder} cannot be written: {error.strerror}", fix)
    return Check("cache folder", "PASS", str(folder))


def _case_store() -> Check:
    """The user's store, which is not made by looking; its audit log is read from end to end."""
    from .store import open_store
    from .store.place import store_url

    name, url = "case store", store_url()
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not file.exists():
        return Check(name, "PASS", f"none yet: made when the desk or a certificate needs it, as {file.name}")
    try:
        with open_store() as store:
            broken, entries, cases = store.first_broken_entry(), len(store.audit_log()), len(store.worklist())
    except PathcopilotError as error:
        return Check(name, "FAIL", _first_line(error), "name another with PATHCOPILOT_STORE")
    if broken is not None:
        return Check(name, "FAIL", f"its audit log was altered at entry {broken}", "bring it back from a backup")
    return Check(name, "PASS", f"{cases} cases, {entries} entries in the audit log, each follows from the one before")


def _analytics() -> Check:
    """Packages that call home when they are imported, and settings that a process of ours leaves in force."""
    if importlib.util.find_spec("openvino_telemetry"):
        detail = "openvino-telemetry reports to its makers when openvino is imported"
        return Check("analytics", "WARN", detail, "pip uninstall openvino-telemetry")
    if importlib.util.find_spec("kernels"):
        detail = "the package kernels makes transformers and bitsandbytes ask a hub for compiled code"
        return Check("analytics", "WARN", detail, "pip uninstall kernels")
    loud = [name for name, value in SETTINGS.items() if os.environ.get(name) != value]
    if loud:
        return Check("analytics", "FAIL", f"still on: {', '.join(loud)}", f"unset {' '.join(loud)}")
    return Check("analytics", "PASS", "off in every process of pathcopilot")


def _loopback() -> Check:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        detail = f"127.0.0.1 cannot be bound: {error.strerror}"
        return Check("loopback", "FAIL", detail, "allow this user to listen on 127.0.0.1")
    return Check("loopback", "PASS", "127.0.0.1 can be bound")


def _browser() -> Check:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return Check("browser test", "PASS", path)
    return Check("browser test", "WARN", "no Chromium: the test of the desk is skipped", "apt-get install chromium")


def _disk() -> Check:
    folder: Path = convert.cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    return _room("disk", free, _DISK_GB, "free", "free some space there or move PATHCOPILOT_CACHE")


def _memory() -> Check:
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        available = int(fields["MemAvailable"].split()[0]) * 1024 / 1e9
    except (OSError, KeyError, ValueError):
        return Check("memory", "PASS", "not measured on this system")
    return _room("memory", available, _MEMORY_GB, "available", "close other programs")


def _room(name: str, amount: float, least: float, word: str, fix: str) -> Check:
    detail = f"{amount:.1f} GB {word}"
    if amount < least:
        return Check(name, "WARN", f"{detail}, {least:.0f} GB are needed", fix)
    return Check(name, "PASS", detail)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
