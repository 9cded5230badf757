"""Reading test results that a person has already written: `CK7 positive, TTF-1 neg., loss of MLH1`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .base import Knowledge, Marker
from .names import compact

Value = Literal["positive", "negative"]


@dataclass(frozen=True, slots=True)
class StatedResult:
    """A result as stated; `value` is None where it cannot be used, and `reason` says why.

    `negative` of a marker that is read for loss means lost; `positive` of one that is read for a pattern
    means that the pattern was seen.
    """

    marker: str
    value: Value | None
    reason: str | None = None


_STATUS = (
    ("unused", r"not\s+(?:yet\s+)?(?:done|performed|available|known|contributory)|pending|awaited|requested|ordered|"
               r"outstanding|to\s+follow|suggested"),
    ("unclear", r"focal(?:ly)?(?:\s+positiv\w*)?|patchy(?:\s+positiv\w*)?|equivocal|indeterminate|inconclusive|"
                r"(?:very\s+)?weak(?:ly)?(?:\s+positiv\w*)?|partial(?:ly)?(?:\s+(?:lost|loss|positiv\w*))?"),
    ("lost", r"lost|absence|absent|deficient|deficiency|loss(?!\s+of\s+(?:weight|blood))"),
    ("kept", r"no\s+(?:evidence\s+of\s+)?loss|retained|preserved|intact|proficient|present"),
    ("wild", r"wild[\s-]*type|not\s+(?:mutated|rearranged|amplified|methylated)|un(?:mutated|methylated)|"
             r"non-?amplified"),
    ("pattern", r"aberrant|null|over-?express\w*|mutant|mutated|mutation|rearranged|rearrangement|amplified|"
                r"amplification|methylated|block[\s-]*(?:type|positiv\w*|pattern)"),
    ("negative", r"not\s+(?:positive|expressed|seen|stained|detected)|non-?reactive|negativ\w*|neg\b\.?|no\s+staining|"
                 r"no\s+expression|does\s+not\s+(?:stain|express)|do\s+not\s+(?:stain|express)"),
    ("positive", r"(?:strong(?:ly)?\s+|diffuse(?:ly)?\s+)*(?:positiv\w*|pos\b\.?|reactive|expressed|expression|"
                 r"expresses|express|stains|staining)"),
)  # fmt: skip
_STATUS_PATTERN = re.compile("|".join(f"(?P<{name}>\\b(?:{words}))" for name, words in _STATUS), re.IGNORECASE)
_SIGN_AFTER = re.compile(r"\s?(?:\(\s?(\+{1,3}|[-–−])\s?\)|(\+{1,3}|[-–−](?=\s*(?:[,;/.)]|$|\s[A-Z]))))")
_CLAUSES = re.compile(r"[;\n]|\.(?=\s|$)|\bbut\b|\bwhereas\b|\bwhile\b")
_EARLIER = re.compile(r"\b(?:history|previous(?:ly)?|prior|earlier|past|known)\b", re.IGNORECASE)
_OPEN = re.compile(r"\?|\bif\b|\bwhether\b|\bwould\b|\bexpect", re.IGNORECASE)


def stated_results(knowledge: Knowledge, text: str) -> tuple[StatedResult, ...]:
    """Every marker with a stated result in a text, in order, each marker once (the last statement wins).

    Questions, conditions and results of an earlier tumour are not results of this case.
    """
    found: dict[str, StatedResult] = {}
    text = re.sub(r"\b(neg|pos)\.", r"\1", text)
    for clause in _CLAUSES.split(text):
        for marker, status in _clause(knowledge, clause):
            result = _read(knowledge.markers[marker], status, clause)
            found.pop(marker, None)
            found[marker] = result
    return tuple(found.values())


def _clause(knowledge: Knowledge, clause: str) -> list[tuple[str, str]]:
    """Pairs of marker and status: a status rules the markers before it, or those after `for`, `of`, or itself."""
    pattern, names = _marker_pattern(knowledge)
    items: list[tuple[int, int, str, str]] = []
    taken = [(m.start(), m.end()) for m in pattern.finditer(clause)]
    for match in pattern.finditer(clause):
        items.append((match.start(), match.end(), "marker", names[compact(match.group())]))
        sign = _SIGN_AFTER.match(clause, match.end())
        if sign:
            status = "positive" if "+" in sign.group() else "negative"
            items.append((sign.start(), sign.end(), "sign", status))
    items.extend(
        (match.start(), match.end(), "status", match.lastgroup or "")
        for match in _STATUS_PATTERN.finditer(clause)
        if not any(start < match.end() and match.start() < end for start, end in taken)
    )
    items.sort()
    pairs: list[tuple[str, str]] = []
    waiting: list[str] = []
    forward: str | None = None
    for _, end, kind, value in items:
        if kind == "marker":
            if forward is None:
                waiting.append(value)
            else:
                pairs.append((value, forward))
        elif kind == "sign":
            marker = waiting.pop() if waiting else pairs.pop()[0]
            pairs.append((marker, value))
            forward = None
        elif re.match(r"\s*(?:\w+\s+)?(?:for|of|with|:)\b|\s*:", clause[end:]) or not waiting:
            forward = value
        else:
            pairs.extend((marker, value) for marker in waiting)
            waiting, forward = [], None
    return pairs


def _read(marker: Marker, status: str, clause: str) -> StatedResult:
    if _OPEN.search(clause):
        return StatedResult(marker.id, None, "asked or conditional, not a result")
    if _EARLIER.search(clause):
        return StatedResult(marker.id, None, "stated of an earlier tumour")
    if status == "unused":
        return StatedResult(marker.id, None, "no result yet")
    if status == "unclear":
        return StatedResult(marker.id, None, "focal, weak or unclear: not used as a result")
    if marker.result == "loss":
        words: dict[str, Value] = {
            "lost": "negative",
            "negative": "negative",
            "kept": "positive",
            "positive": "positive",
        }
    elif marker.result == "aberrant":
        words = {"pattern": "positive", "wild": "negative"}
    else:
        words = {"positive": "positive", "kept": "positive", "pattern": "positive", "negative": "negative",
                 "lost": "negative", "wild": "negative"}  # fmt: skip
    value = words.get(status)
    return StatedResult(marker.id, value, None if value else f"say whether {marker.name} is {marker.result} or not")


@lru_cache(maxsize=2)
def _marker_pattern(knowledge: Knowledge) -> tuple[re.Pattern[str], dict[str, str]]:
    names: dict[str, str] = {}
    spellings: set[str] = set()
    for marker in knowledge.markers.values():
        for text in (marker.id.replace("_", " "), *marker.name.split("/"), marker.name, *marker.synonyms):
            text = re.sub(r"\s*\(.*?\)", "", text).strip()
            if len(compact(text)) >= 2 and names.setdefault(compact(text), marker.id) == marker.id:
                spellings.add(text)
    parts = []
    for text in sorted(spellings, key=len, reverse=True):
        body = r"[\s-]?".join(re.escape(piece) for piece in re.split(r"[\s-]+", text))
        # Short words of letters only are markers in capitals alone: ER, PR, KIT, not "er" or "kit".
        exact = text.isalpha() and len(text) <= 4
        parts.append(body if exact else f"(?i:{body})")
    return re.compile(rf"(?<![\w])(?:{'|'.join(parts)})(?![A-Za-z0-9])"), names
