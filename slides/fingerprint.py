"""A hash of content that is the key for caches: it holds nothing of the name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

_PIECE = 64 * 1024
_MOST_MEMBERS = 4096


def fingerprint(files: Sequence[Path]) -> str:
    """40 hex digits over the size, head, middle and tail of each file, in the given order.

    A whole-slide file of gigabytes is not read whole: 192 KiB of each member tell files apart. Of a folder
    with more than 4096 members every member's size and the pieces of 4096 spread ones enter.
    """
    digest = hashlib.sha256(str(len(files)).encode())
    stride = -(-len(files) // _MOST_MEMBERS) or 1
    for index, path in enumerate(files):
        size = path.stat().st_size
        digest.update(b"%d;" % size)
        if index % stride:
            continue
        with path.open("rb") as file:
            for at in sorted({0, max(0, size // 2 - _PIECE // 2), max(0, size - _PIECE)}):
                file.seek(at)
                digest.update(file.read(_PIECE))
    return digest.hexdigest()[:40]
