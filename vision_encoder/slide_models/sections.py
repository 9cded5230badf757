"""Finished parts of a long measurement, kept on disk: a killed run does none of them twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from slides.files import write_atomically

T = TypeVar("T")


@dataclass(frozen=True)
class Sections:
    """A folder of JSON files, one a section; without a folder everything is made anew."""

    folder: Path | None

    def once(self, name: str, make: Callable[[], T]) -> T:
        """The section of this name, made only where it does not lie there; `T` is plain JSON types."""
        path = None if self.folder is None else self.folder / f"{name}.json"
        if path is not None and path.is_file():
            kept: T = json.loads(path.read_text(encoding="utf-8"))
            return kept
        made = make()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(made))
        return made
