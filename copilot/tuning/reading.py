"""Reads what is learned from: a folder that `pathcopilot build-data` wrote, or any ShareGPT-style file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instruction_data.conversation import Conversation, Exchange, Part, Picture, Stage
from instruction_data.export import IMAGE, WHOLE
from slides.errors import UsageError

HUMAN, MACHINE = ("human", "user"), ("gpt", "assistant")
VALID_SHARE = 10
"""Of a file that names no parts, one conversation in so many is kept to look at."""


def read_conversations(data: Path) -> tuple[list[Conversation], str]:
    """All conversations of a folder or of one file of JSON lines, in order, and the hash of its bytes.

    Raises
    ------
    UsageError : no such file, or a line that is no conversation
    """
    path = data / WHOLE if data.is_dir() else data
    try:
        content = path.read_bytes()
        lines = content.decode().splitlines()
    except OSError as error:
        raise UsageError(f"no conversations at {data.name or data}: give the folder that build-data wrote") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is no text in UTF-8: build the data again") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
                found.append(from_sharegpt(row) if "conversations" in row else Conversation.from_json(row))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UsageError(
                    f"line {number} of {path.name} is no conversation: mend it, or build the data again"
                ) from error
    if not found:
        raise UsageError(f"{path.name} holds no conversations: build the data again")
    return found, hashlib.sha256(content).hexdigest()


def from_sharegpt(row: Mapping[str, Any]) -> Conversation:
    """The conversation of a row with turns of `human` and `gpt`; raises `ValueError` where they do not alternate.

    Findings stay a part of the questions. Where the row names no part, its id decides.
    """
    turns = [(turn["from"], turn["value"].replace(IMAGE, "").strip()) for turn in row["conversations"]]
    turns = turns[1:] if turns and turns[0][0] == "system" else turns
    asked, said = turns[::2], turns[1::2]
    if not said or len(asked) != len(said) or any(who not in HUMAN for who, _ in asked):
        raise ValueError("turns do not alternate")
    if any(who not in MACHINE for who, _ in said):
        raise ValueError("turns do not alternate")
    abstains = row.get("abstains") or [False] * len(said)
    exchanges = tuple(
        Exchange(question, answer, abstains=bool(unsure))
        for (_, question), (_, answer), unsure in zip(asked, said, abstains, strict=True)
    )
    shown = row.get("image") or []
    shown = [shown] if isinstance(shown, str) else shown
    scales = row.get("mpp") or [None] * len(shown)
    pictures = tuple(Picture(str(name), "given", str(name), mpp) for name, mpp in zip(shown, scales, strict=True))
    sources = tuple(map(str, row.get("sources") or ()))
    stage: Stage = "align" if row.get("stage") == "align" else "tune"
    one = Conversation(str(row.get("builder", "given")), exchanges, pictures, sources, stage)
    part: Part = "valid" if int(one.id, 16) % VALID_SHARE == 0 else "train"
    return one.within(row["part"] if row.get("part") in ("train", "valid") else part)
