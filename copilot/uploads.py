"""Pictures that come inside a request, put where a reader can open them and gone with the request."""

from __future__ import annotations

import base64
import binascii
import tempfile
from contextlib import ExitStack
from pathlib import Path

from slides import UsageError

LARGEST_PICTURE = 64 << 20
"""Bytes."""


def data_uri(address: str, stack: ExitStack) -> Path:
    """The file of a `data:` URI; raises `UsageError` when it is not base64, else as `unpacked`."""
    head, _, data = address.partition(",")
    if not head.endswith(";base64"):
        raise UsageError("a data: URI of a picture must be base64")
    return unpacked(data, stack)


def unpacked(data: str, stack: ExitStack) -> Path:
    """The file of base64 text, in a folder of its own that goes when the stack is left.

    Raises `UsageError` when it is not base64, or larger than `LARGEST_PICTURE`.
    """
    if len(data) > LARGEST_PICTURE * 4 // 3:
        raise UsageError(f"a picture inside a message may hold {LARGEST_PICTURE >> 20} MB: give its path instead")
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the picture in the message is not base64") from None
    path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pathcopilot-"))) / "picture"
    path.write_bytes(content)
    return path
