"""What is remembered of a slide, so that each is looked at once: tissue, features and everything found.

Kept by the hash of the slide's content and under the joined hash of all that made it; no name, path or pixel goes in.
An answer from memory is the answer without it: floats are kept exactly.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from slides import Evidence, Finding, Region

from .observation import Look, Observation

FORMAT = 1
"""To be raised with every change of what looking finds: what an older version remembered is then not found."""
MOST_BYTES = 2**26
"""Of memory in this process: about a thousand slides' findings, or two hundred with their features."""


class Memory(Protocol):
    """Bytes by slide, kind and maker; a case store is one."""

    def memory(self, slide: str, kind: str, made_by: str) -> bytes | None:
        """What was remembered, None where nothing was by exactly this maker."""
        ...

    def remember(self, slide: str, kind: str, payload: bytes, made_by: str) -> None:
        """Keeps bytes in place of what was there."""
        ...


class InProcess:
    """Memory that ends with the process; beyond `most` bytes what was used least recently is let go."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()
        self._most, self._held, self._lock = most, 0, Lock()

    def memory(self, slide: str, kind: str, made_by: str) -> bytes | None:
        """As `Memory.memory`."""
        key = (slide, kind, made_by)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def remember(self, slide: str, kind: str, payload: bytes, made_by: str) -> None:
        """As `Memory.remember`."""
        with self._lock:
            self._held += len(payload) - len(self._kept.pop((slide, kind, made_by), b""))
            self._kept[slide, kind, made_by] = payload
            while self._held > self._most and len(self._kept) > 1:
                self._held -= len(self._kept.popitem(last=False)[1])


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """The fields that were read of a slide: n tiles, their darkness and their features (n, d)."""

    tiles: list[Region]
    shades: list[float]
    features: NDArray[np.float32]


def maker(hashes: Mapping[str, str]) -> str:
    """The joined hash of weights, and of this version of looking: 64 hex digits."""
    return hashlib.sha256(json.dumps({**hashes, "format": FORMAT}, sort_keys=True).encode()).hexdigest()


def pack_fields(fields: Fields) -> bytes:
    """Fields as bytes."""
    return _packed(
        tiles=np.array([tile.xywh for tile in fields.tiles], np.int64).reshape(-1, 4),
        shades=np.array(fields.shades, np.float64),
        features=fields.features,
    )


def unpack_fields(payload: bytes | None) -> Fields | None:
    """The fields of bytes; None for none, or for damaged ones."""
    arrays = _unpacked(payload)
    if arrays is None or not {"tiles", "shades", "features"} <= set(arrays):
        return None
    tiles = [Region(*map(int, row)) for row in arrays["tiles"]]
    return Fields(tiles, [float(shade) for shade in arrays["shades"]], arrays["features"])


def pack_observation(seen: Observation) -> bytes:
    """An observation as bytes, without the slide's name."""
    told = {
        "region": seen.region.xywh,
        "mpp": seen.mpp,
        "evidence": [_evidence(item) for item in seen.evidence],
        "fields_seen": seen.fields_seen,
        "fields_available": seen.fields_available,
        "usable": seen.usable,
        "reason": seen.reason,
        "notes": seen.notes,
        "looks": [(look.region.xywh, look.mpp, look.why) for look in seen.looks],
    }
    text = json.dumps(told, ensure_ascii=False, default=lambda value: value.item()).encode()
    gist = {} if seen.gist is None else {"gist": seen.gist}
    return _packed(told=np.frombuffer(text, np.uint8), **gist)


def unpack_observation(payload: bytes | None, slide: str) -> Observation | None:
    """The observation of bytes, of a slide shown under a name; None for none, or for damaged ones."""
    arrays = _unpacked(payload)
    if arrays is None:
        return None
    try:
        told = json.loads(arrays["told"].tobytes())
        return Observation(
            slide,
            Region(*told["region"]),
            told["mpp"],
            tuple(_as_evidence(item, slide) for item in told["evidence"]),
            told["fields_seen"],
            told["fields_available"],
            told["usable"],
            told["reason"],
            tuple(told["notes"]),
            arrays.get("gist"),
            tuple(Look(slide, Region(*xywh), mpp, why) for xywh, mpp, why in told["looks"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _evidence(item: Evidence) -> dict[str, Any]:
    return {
        "region": item.region.xywh,
        "mpp": item.mpp,
        "finding": asdict(item.finding),
        "fields": [field.xywh for field in item.fields],
    }


def _as_evidence(told: Mapping[str, Any], slide: str) -> Evidence:
    finding = Finding(**{name: _tuples(value) for name, value in told["finding"].items()})
    fields = tuple(Region(*xywh) for xywh in told["fields"])
    return Evidence(slide, Region(*told["region"]), told["mpp"], finding, fields)


def _tuples(value: Any) -> Any:
    """JSON knows lists only; findings hold tuples."""
    return (
        tuple(_tuples(part) for part in value) if isinstance(value, Sequence) and not isinstance(value, str) else value
    )


def _packed(**arrays: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **cast(Any, arrays))
    return out.getvalue()


def _unpacked(payload: bytes | None) -> dict[str, NDArray[Any]] | None:
    if payload is None:
        return None
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError):
        return None
