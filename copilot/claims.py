"""Reads a sentence: its clauses, the class words in it and how they are said, its figures, and the words left over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Role = Literal[
    "plain", "consistent with", "favours", "suggestive of", "most like", "likely", "next", "set", "possible", "agree",
    "differ",
]  # fmt: skip

PRIVATE = 0xE000
"""First private-use character: no text may bring one of its own."""
MARK = 0xE100
"""Mark of the first class word found; the n-th has `MARK + n`."""

ALLOWED = re.compile("[ -~µμ²³×–—−‘’“”…·≥≤±°\u00a0\u2009\u202fÀ-ÖØ-öø-ÿ]*")
"""Plain text of the field. Other scripts, full-width digits and invisible signs are refused as a whole."""

NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[<>≥≤]\s?|-)?(?P<figure>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?![\w]|[.,]\d)"
    r"(?:\s?(?P<unit>%|per ?cent\b|(?:nuclei )?(?:per|/) ?mm²|µm²|mm²|µm/px|µm per pixel|µm|mm|cm|×))?"
)

_CUES: tuple[tuple[Role, str], ...] = (
    ("consistent with", r"(?:(?:is|are|looks?) )?(?:rather )?(?:consistent|in keeping) with"),
    ("favours", r"(?:rather )?(?:favou?r(?:s|ed)?|supports?)\b"),
    ("suggestive of", r"(?:(?:is|are) )?(?:rather )?suggestive of|(?:rather )?suggests?\b"),
    ("most like", r"(?:looks?|appears?|seems?) (?:most )?(?:like|similar to)|(?:it )?most resembles|"
                  r"resembles(?: most)?|(?:the )?(?:nearest|likeliest|most probable) (?:class|label) (?:is|would be)"),
    ("set", r"(?:the |its )?90 % (?:prediction |conformal )?set (?:also )?(?:holds?|has|is)|"
            r"(?:the |its )?90 % (?:prediction |conformal )?set ?:"),
    ("next", r"\bthen|next comes?|followed by"),
    ("agree", r"views agree on the \w+ ?:"),
    ("differ", r"views differ on the \w+ ?:"),
    ("possible", r"(?:may|might|could) (?:also )?be|\bpossibl[ey]"),
    ("likely", r"\b(?:likely|probably)"),
)  # fmt: skip
CUE = re.compile("|".join(f"(?P<c{i}>{pattern})" for i, (_, pattern) in enumerate(_CUES)))
AFTER = re.compile(
    r"(?:(?:is|are) )?not (?:excluded|ruled out)|cannot be (?:excluded|ruled out)|(?:(?:is|are) )?(?:also )?possible\b|"
    r"remains? possible|cannot be told (?:apart|from each other)"
)
"""Cues that stand behind the classes they speak of and leave them open."""
UNCLASSIFIED = re.compile(
    r"(?:(?:is|are|was) )?not classified|cannot be (?:told|classified)(?! apart| from each other)(?: here)?"
)
MORE_THAN = re.compile(r"(?:(?:is|are) )?(?:more|rather) (?:probable|likely) than|(?:is|are) ahead of")
BREAK = re.compile(r"\s*(?:;|(?<=[^\d\s])\.\s|—|, but\b|\bbut\b|\bwhile\b|\bwhereas\b|\balthough\b|\bhowever\b)\s*")
ASKED = re.compile(
    r"^(?:as |in |so )?(?:the )?(?:(?:request|question|(?:stated |given |clinical )?context|"
    r"clinical (?:data|information))"
    r" (?:says|states|names|mentions|gives|asks(?: about| for| whether)?|is|was|speaks of)|"
    r"you (?:ask|asked|say|said|state|stated|write|wrote|mention|mentioned)(?: about| for| whether| that)?)\b:?"
)
VIEW = re.compile(r"\b(?:view|image|picture) (\d{1,2})\b")
COVERAGE = re.compile(r"\b([\d,]+) of (?:the )?([\d,]+) (?:tissue )?(?:fields?|tiles?)\b")
ONE_FIELD = re.compile(r"\b(?:one|a single|1) (?:tissue )?(?:field|tile)\b")
HOUSE_FIGURES = re.compile(
    r"(?:the |its )?90 % (?:(?:prediction|conformal) )?set\b|(?:the |its )?95 % (?:confidence )?interval\b"
)
HOUSE_WORDS = re.compile(
    r"\b(?:was|is|were) (?:right about the kind of process|of the right (?:category|organ|kind))\b|"
    r"clear space \(lumina, fat or glass\)|lumina, fat or other clear space"
)
"""Fixed phrases of the house whose words alone would claim something."""


class Struck(Exception):
    """Raised while a sentence is judged; its text is the reason, in plain words."""


@dataclass(slots=True)
class Mention:
    """A class word at `position`: the (evidence index, class) pairs it may mean; class None is a head's own organ."""

    text: str
    position: int
    readings: tuple[tuple[int, str | None], ...]
    role: Role = "plain"
    view: int | None = None
    held: tuple[tuple[int, str], ...] = ()
    """The readings that the findings bear out in this role; filled by the check."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as printed: its value, its digits behind the point, a sign in front, a unit behind."""

    text: str
    position: int
    end: int
    value: float
    decimals: int
    sign: str
    unit: str

    @property
    def printed(self) -> str:
        """The figure with its sign and unit, for reasons."""
        return f"{self.sign}{self.text}{' ' if self.unit else ''}{self.unit}"

    def says(self, value: float, *, least: int = 0) -> bool:
        """True when `value` prints as this number: at its decimals, and never fewer than `least` of them."""
        if self.sign in (">", "≥"):
            return self.value < value <= self.value + 10.0**-self.decimals + 1e-9
        if self.sign in ("<", "≤"):
            return self.value - 10.0**-self.decimals - 1e-9 <= value < self.value
        if self.sign == "-" or self.decimals < least:
            return False
        step = 10.0**-self.decimals
        whole = self.text.replace(",", "")
        if not self.decimals and len(whole) > 3:  # 3,400 is printed to the hundred, but two figures always count
            step = 10.0 ** min(len(whole) - len(whole.rstrip("0")), len(whole) - 2)
        return abs(self.value - value) <= 0.5 * step * (1 + 1e-9) + 1e-12


@dataclass(slots=True)
class Clause:
    """A part of a sentence that says one thing; `text` has a mark in place of each mention, `said` has none."""

    text: str
    said: str = ""
    mentions: list[Mention] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    left: str = ""
    """What is neither a mention, a cue, a figure nor a counted field: the words that must be harmless."""
    unclassified: bool = False
    comparison: int | None = None
    """Position of `more probable than`, where it stands."""


def plain(text: str) -> str:
    """One form of the signs that have several: spaces, µ, dashes, quotes, `90%`."""
    for old, new in (("μ", "µ"), ("’", "'"), ("‘", "'"), ("“", '"'), ("”", '"'), ("−", "-"), ("um²", "µm²")):
        text = text.replace(old, new)
    text = re.sub(r"(?<=\d)%", " %", text)
    return " ".join(text.split())


def clauses(text: str, mentions: Sequence[Mention]) -> Iterator[Clause]:
    """The clauses of a marked, lower-case text; a view named at the head holds until another is named."""
    view: int | None = None
    for piece in BREAK.split(text):
        if not piece.strip():
            continue
        clause = Clause(piece.strip())
        view = _read(clause, mentions, view)
        yield clause


def _read(clause: Clause, mentions: Sequence[Mention], view: int | None) -> int | None:
    text = clause.text
    clause.said = "".join(mentions[ord(s) - MARK].text.lower() if ord(s) >= MARK else s for s in text)
    views = [(match.start(), int(match[1])) for match in VIEW.finditer(text)]
    for position, sign in enumerate(text):
        if ord(sign) >= MARK:
            mention = mentions[ord(sign) - MARK]
            mention.position = position
            mention.view = next((number for start, number in reversed(views) if start < position), view)
            clause.mentions.append(mention)
    _roles(clause)
    left = text
    if match := MORE_THAN.search(text):
        clause.comparison = match.start()
        left = _without(left, MORE_THAN)
    clause.unclassified = bool(UNCLASSIFIED.search(left))
    for pattern in (AFTER, UNCLASSIFIED, CUE, VIEW, COVERAGE, ONE_FIELD, HOUSE_FIGURES, HOUSE_WORDS):
        left = _without(left, pattern)
    clause.figures = [_figure(match) for match in NUMBER.finditer(left)]
    clause.left = _without(left, NUMBER)
    return views[-1][1] if views else view


def _without(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda match: " " * len(match[0]), text)


def _roles(clause: Clause) -> None:
    cues = [(match.start(), match.end(), _CUES[_which(match)][0]) for match in CUE.finditer(clause.text)]
    after = [(match.start(), match.end()) for match in AFTER.finditer(clause.text)]
    cues = [cue for cue in cues if not any(start <= cue[0] < end for start, end in after)]
    first_after_cue = set()
    for _, end, role in cues:
        behind = [m for m in clause.mentions if m.position >= end]
        for mention in behind:
            mention.role = role
        if behind and role not in ("next", "set"):
            first_after_cue.add(behind[0].position)
    floor = 0
    for start, end in after:
        for mention in clause.mentions:
            if floor <= mention.position < start and mention.position not in first_after_cue:
                mention.role = "possible"
        floor = end


def _which(match: re.Match[str]) -> int:
    return next(i for i in range(len(_CUES)) if match[f"c{i}"] is not None)


def _figure(match: re.Match[str]) -> Figure:
    digits = match["figure"]
    unit = (match["unit"] or "").replace("percent", "%").replace("per cent", "%").replace("nuclei ", "")
    return Figure(
        digits,
        match.start(),
        match.end(),
        float(digits.replace(",", "")),
        len(digits.partition(".")[2]),
        (match["sign"] or "").strip(),
        {"/mm²": "per mm²", "/ mm²": "per mm²", "µm per pixel": "µm/px"}.get(unit, unit),
    )
