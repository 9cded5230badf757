"""Features of a slide as they come, in a file that survives being killed: a header line, then one record a block.

A record is its block's number, rows and checksum, then the rows. Records are only appended; what a kill cut short
fails its checksum and is cut off by the next run.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from slides import UsageError

from ..encoder import Features

_RECORD = struct.Struct("<4sIII")
"""Mark, block, rows, CRC-32 of block, rows and content."""
_MARK = b"blok"


class Journal:
    """The finished blocks of one slide under one key; blocks written under another key are thrown away.

    Raises
    ------
    UsageError : another process is writing this journal, or the folder cannot be written
    """

    def __init__(self, path: Path, key: Mapping[str, Any], dimension: int) -> None:
        self.path, self.dimension = path, dimension
        self._places: dict[int, tuple[int, int]] = {}
        header = json.dumps(key, sort_keys=True).encode() + b"\n"
        try:
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - held open until close()
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UsageError(
                f"{path.name} is being written by another run: wait for it, or name another --out"
            ) from None
        except OSError as error:
            raise UsageError(f"{path.parent.name} cannot be written: {error.strerror}") from error
        self._file.seek(0)
        if self._file.read(len(header)) == header:
            self._file.truncate(self._whole_records(len(header)))
        else:
            self._file.truncate(0)
            self._file.write(header)

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks that are kept."""
        return frozenset(self._places)

    @property
    def rows(self) -> int:
        """Rows kept."""
        return sum(rows for _, rows in self._places.values())

    def append(self, block: int, features: Features) -> None:
        """Keeps the features float32 (n, d) of a block; they outlive the process from here on.

        Raises
        ------
        UsageError : the disk is full
        """
        content = np.ascontiguousarray(features, dtype="<f4").tobytes()
        check = zlib.crc32(content, zlib.crc32(struct.pack("<II", block, len(features))))
        self._file.seek(0, os.SEEK_END)
        at = self._file.tell()
        record = _RECORD.pack(_MARK, block, len(features), check) + content
        try:
            written = self._file.write(record)
            if written < len(record):  # what is left says why
                self._file.write(record[written:])
        except OSError as error:
            self._file.truncate(at)
            raise UsageError(f"{self.path.name} cannot be written: {error.strerror}: what is done is kept") from error
        self._places[block] = (at + _RECORD.size, len(features))

    def features(self, block: int) -> Features:
        """The features of a kept block."""
        at, rows = self._places[block]
        content = os.pread(self._file.fileno(), rows * self.dimension * 4, at)
        return np.frombuffer(content, "<f4").reshape(rows, self.dimension)

    def remove(self) -> None:
        """Deletes the file, once all that it holds lies elsewhere."""
        self.path.unlink(missing_ok=True)

    def _whole_records(self, start: int) -> int:
        """Notes the records that are whole; returns where the last of them ends."""
        end = self._file.seek(0, os.SEEK_END)
        at = start
        while at + _RECORD.size <= end:
            mark, block, rows, check = _RECORD.unpack(os.pread(self._file.fileno(), _RECORD.size, at))
            length = rows * self.dimension * 4
            if mark != _MARK or at + _RECORD.size + length > end:
                break
            content = os.pread(self._file.fileno(), length, at + _RECORD.size)
            if zlib.crc32(content, zlib.crc32(struct.pack("<II", block, rows))) != check:
                break
            self._places[block] = (at + _RECORD.size, rows)
            at += _RECORD.size + length
        return at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
