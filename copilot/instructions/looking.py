"""Looks at the pictures of instruction data once and keeps what was found as JSON lines."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from instruction_data.record import Record
from slides import open_slide
from slides.files import write_atomically
from vision_encoder.look import Eye
from vision_encoder.observation import Observation

from .pictures import Chosen, Library

RECORDS = "seen/records.jsonl"


def records_of(
    library: Library, chosen: Sequence[Chosen], eye: Eye, folder: Path, progress: Callable[[str, int, int], None]
) -> list[Record]:
    """The records of the pictures, in their order.

    They are written to seen/records.jsonl in `folder`, and read from there when the same weights looked at the same
    pictures before. Figures are kept at four decimals, so that what is read is what was made.
    """
    path = folder / RECORDS
    digest = _digest(library, chosen, eye)
    if (kept := _kept(path, digest)) is not None:
        return kept
    lines = []
    with tempfile.TemporaryDirectory() as place:
        for number, entry in enumerate(chosen, 1):
            seen = _look(eye, library.content(entry.picture.id), entry.picture.mpp, Path(place))
            lines.append(json.dumps(_record(entry, seen).as_json(), ensure_ascii=False))
            progress("looking at pictures", number, len(chosen))
    path.parent.mkdir(exist_ok=True)
    head = json.dumps({"digest": digest, "weights_sha256": eye.weights_sha256}, ensure_ascii=False)
    write_atomically(path, "\n".join([head, *lines]) + "\n")
    return [Record.from_json(json.loads(line)) for line in lines]


def _kept(path: Path, digest: str) -> list[Record] | None:
    if not path.is_file():
        return None
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    try:
        if json.loads(head).get("digest") != digest:
            return None
        return [Record.from_json(json.loads(line)) for line in lines]
    except (ValueError, KeyError, AttributeError):  # cut short or written by another version: look again
        return None


def _digest(library: Library, chosen: Sequence[Chosen], eye: Eye) -> str:
    said: list[Mapping[str, Any]] = [{"weights": eye.weights_sha256}]
    for entry in chosen:
        content = hashlib.sha256(library.content(entry.picture.id)).hexdigest()
        said.append({"content": content, "labels": dict(entry.labels), "text": entry.text, **entry.picture.as_json()})
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _look(eye: Eye, content: bytes, mpp: float | None, place: Path) -> Observation:
    path = place / ("view.png" if content.startswith(b"\x89PNG") else "view.jpg")
    path.write_bytes(content)
    with open_slide(path, mpp=mpp, probe=False) as slide:
        looking = eye.look(slide)
        while True:
            try:
                next(looking)
            except StopIteration as end:
                observation: Observation = end.value
                return observation


def _record(entry: Chosen, seen: Observation) -> Record:
    return Record(
        entry.picture,
        entry.labels,
        entry.case,
        entry.downsample,
        entry.altered,
        entry.text,
        seen.evidence,
        seen.fields_seen,
        seen.fields_available,
        seen.usable,
        seen.reason,
        seen.notes,
    )
