"""Writes conversations: whole as JSON lines, ShareGPT-style for LLaVA-family trainers, and Parquet for `datasets`.

Pictures are named and not copied. The same conversations give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slides.errors import SetupError, UsageError
from slides.files import write_atomically

from .conversation import Conversation, Part
from .prompt import with_findings

WHOLE = "conversations.jsonl"
MANIFEST = "manifest.json"
IMAGE = "<image>"
PARTS: tuple[Part, ...] = ("train", "valid")


def write_all(conversations: Sequence[Conversation], folder: Path, made_with: Mapping[str, Any]) -> dict[str, Any]:
    """Writes every form into the folder and returns the manifest: what each file holds, and its hash.

    conversations.jsonl holds everything, as `read` gives it back; sharegpt/train.jsonl and train.parquet (and the
    same for `valid`) hold one row a conversation with the findings in the human turns.

    Raises
    ------
    SetupError : pyarrow is not installed
    """
    files: dict[str, bytes] = {WHOLE: _lines(one.as_json() for one in conversations)}
    for part in PARTS:
        own = [one for one in conversations if one.part == part]
        files[f"sharegpt/{part}.jsonl"] = _lines(sharegpt(one) for one in own)
        files[f"{part}.parquet"] = _parquet(own)
    manifest = {
        **made_with,
        "conversations": {part: sum(one.part == part for one in conversations) for part in PARTS},
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    (folder / "sharegpt").mkdir(exist_ok=True)
    for name, content in files.items():
        write_atomically(folder / name, content)
    write_atomically(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
    return manifest


def read(folder: Path) -> list[Conversation]:
    """The conversations of a folder as they were written; raises `UsageError` where it holds none."""
    path = folder / WHOLE
    try:
        return [Conversation.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder.name} holds no {WHOLE} of this version: run pathcopilot build-data") from error


def sharegpt(one: Conversation) -> dict[str, Any]:
    """One row as ShareGPT has it: turns of `human` and `gpt`, an image mark for each picture in the first."""
    turns = []
    for number, exchange in enumerate(one.exchanges):
        marks = f"{IMAGE}\n" * len(one.pictures) if number == 0 else ""
        turns.append({"from": "human", "value": marks + with_findings(exchange.facts, exchange.question)})
        turns.append({"from": "gpt", "value": exchange.answer})
    return {
        "id": one.id,
        "image": [picture.id for picture in one.pictures],
        "mpp": [picture.mpp for picture in one.pictures],
        "conversations": turns,
        "builder": one.builder,
        "stage": one.stage,
        "sources": list(one.sources),
        "abstains": [exchange.abstains for exchange in one.exchanges],
        "letter": [exchange.letter for exchange in one.exchanges],
        "verdict": [exchange.verdict for exchange in one.exchanges],
    }


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(conversations: Sequence[Conversation]) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SetupError('writing Parquet needs: pip install -c constraints.txt "pathcopilot[train]"') from error
    text = pa.list_(pa.string())
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("image", text),
            ("mpp", pa.list_(pa.float64())),
            ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
            ("builder", pa.string()),
            ("stage", pa.string()),
            ("sources", text),
            ("abstains", pa.list_(pa.bool_())),
            ("letter", text),
            ("verdict", text),
        ]
    )
    held = io.BytesIO()
    table = pa.Table.from_pylist([sharegpt(one) for one in conversations], schema=schema)
    pq.write_table(table, held, compression="zstd")
    return held.getvalue()
