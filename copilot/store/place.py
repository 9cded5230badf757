"""Where the store lies, and the secret by which it names cases."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from slides import SetupError

VARIABLE = "PATHCOPILOT_STORE"
"""Environment variable with the store's place: a SQLAlchemy URL or a file."""

KEY_BYTES = 32


def data_folder() -> Path:
    """The user's data folder of the platform, for instance `~/.local/share/pathcopilot`."""
    from platformdirs import user_data_path

    return user_data_path("pathcopilot", appauthor=False)


def store_url(place: str | Path | None = None) -> str:
    """The SQLAlchemy URL of a place: a URL, a file, or None for `PATHCOPILOT_STORE`, else `store.sqlite3` there."""
    named = str(place or os.environ.get(VARIABLE) or data_folder() / "store.sqlite3")
    return named if "://" in named else f"sqlite:///{Path(named).expanduser().absolute()}"


def load_key(path: Path) -> bytes:
    """The secret of 32 bytes in a file that only its owner may read, made when it is not there.

    Two processes that make it at once end with the same one. Raises `SetupError` when it cannot be made or read,
    or has another length.
    """
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise SetupError(
            f"the case store's key {path.name} cannot be used: {error.strerror}: check its folder"
        ) from None
    if len(key) != KEY_BYTES:
        raise SetupError(f"the case store's key {path.name} is damaged: bring it back from a backup")
    return key


def pseudonym(key: bytes, patient: str) -> str:
    """The case's name in the store: `case-` and 16 hex digits that nobody without the key can lead back.

    HMAC-SHA-256 of the patient's identifier, which itself is never written anywhere.
    """
    return f"case-{hmac.new(key, patient.strip().encode(), hashlib.sha256).hexdigest()[:16]}"


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its key counts
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
