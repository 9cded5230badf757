"""Which labelled groups an encoder may learn the names of, and which stay unnamed so that heads can be calibrated.

An encoder that was told a tile's class makes that tile easy: probabilities calibrated on it would be too sure.
One group in three is therefore never named to the encoder; it sees those tiles without their labels.
"""

from __future__ import annotations

import hashlib


def is_unnamed(group: str) -> bool:
    """True for the third of groups whose labels no encoder of ours learns; the same on every machine."""
    return hashlib.sha256(f"unnamed/{group}".encode()).digest()[0] % 3 == 0
