"""The hash of what words a report: a signed version names it beside the weights."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from instruction_data.prompt import SYSTEM

_WORDING = ("words.py", "draft.py", "../certainty.py", "../report_fields.py", "../test_plan.py", "../differential.py")


@lru_cache(maxsize=1)
def templates_sha256() -> str:
    """SHA-256 over the system prompt and the modules whose sentences a report is made of."""
    digest = sha256(SYSTEM.encode())
    for name in _WORDING:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()
