"""Files that are written whole or not at all, and told apart by their hash."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes a file (text as UTF-8) in one step: whoever reads it sees the old content or all of the new.

    The content goes into a temporary file of the same folder, onto the disk, and then to its name. The file
    gets the permissions that the umask gives.

    Raises
    ------
    OSError : the folder is missing or cannot be written, or the disk is full; the old content stays
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o666)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; raises `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
