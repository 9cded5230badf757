"""An answer with one thing wrong: a number, an organ, a process, a negation, a marker, or a result that nothing shows.

What is put in stands nowhere in the prompt, so that nothing supports it: the pair of answers is right and wrong
by construction, and no one has to judge it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from instruction_data.knowledge import load_knowledge

from ..terms import ORGANS, term_pattern
from ..wording import SPOKEN

Alteration = Callable[[str, str, random.Random], str | None]
"""(answer, everything said before it, draw) to the altered answer, None where there is nothing of the kind to alter."""

TRIES = 20
_NUMBER = re.compile(r"(?<![\w./,-])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w/-]|[.,]\d)(?! ?% (?:set|interval))")
_NAMED = re.compile(r"\b(?:View|Picture|Option) $")
_PROCESSES = tuple(SPOKEN[name] for name in ("malignant", "benign tumour", "inflammatory/infectious", "normal"))
_NEGATED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\b(is|are|was|were|has|have|does|do|can|could) not\b", r"\1"),
        (r"\bcannot\b", "can"),
        (r"\bNo (?=[a-z])", "A "),
        (r"\b(is|are) (?=consistent with|suggestive of|right|seen|needed)", r"\1 not "),
        (r"\bfavours\b", "does not favour"),
        (r"\bThe views agree\b", "The views differ"),
    )
)
_RESULTS = (
    "{marker} is positive.",
    "{marker} is negative.",
    "The cells express {marker}.",
    "{marker} is strongly expressed here.",
    "This is {marker} positive.",
    "There is no expression of {marker}.",
)


def number(answer: str, before: str, draw: random.Random) -> str | None:
    """Another figure of the same form, at least a tenth away."""
    found = [match for match in _NUMBER.finditer(answer) if not _NAMED.search(answer[: match.start()])]
    if not found:
        return None
    match = draw.choice(found)
    known = set(_NUMBER.findall(f"{before} {answer}"))
    for _ in range(TRIES):
        other = _another(match[0], draw, share=answer[match.end() :].lstrip().startswith("%"))
        if other not in known:
            return answer[: match.start()] + other + answer[match.end() :]
    return None


def organ(answer: str, before: str, draw: random.Random) -> str | None:
    """Another organ."""
    return _swapped(answer, before, draw, tuple(ORGANS))


def process(answer: str, before: str, draw: random.Random) -> str | None:
    """Another kind of process."""
    return _swapped(answer, before, draw, _PROCESSES)


def marker(answer: str, before: str, draw: random.Random) -> str | None:
    """Another marker."""
    return _swapped(answer, before, draw, markers())


def negation(answer: str, before: str, draw: random.Random) -> str | None:
    """The opposite, by one word more or less."""
    found = [(match, put) for pattern, put in _NEGATED for match in pattern.finditer(answer)]
    if not found:
        return None
    match, put = draw.choice(found)
    return answer[: match.start()] + match.expand(put) + answer[match.end() :]


def result(answer: str, before: str, draw: random.Random) -> str | None:
    """A result of immunohistochemistry that nothing in a picture shows, said behind the answer or in its place."""
    said = draw.choice(_RESULTS).format(marker=draw.choice(markers()))
    if said in before or said in answer:
        return None
    return said if draw.random() < 0.3 else f"{answer} {said}"


ALTERATIONS: dict[str, Alteration] = {
    "number": number,
    "organ": organ,
    "process": process,
    "marker": marker,
    "negation": negation,
    "result": result,
}


@lru_cache(maxsize=1)
def markers() -> tuple[str, ...]:
    """Names of the markers of the tables, as a bench calls them."""
    known = load_knowledge().markers.values()
    return tuple(sorted({one.name for one in known if one.kind == "IHC"}))


def _swapped(answer: str, before: str, draw: random.Random, names: Sequence[str]) -> str | None:
    """The answer with every mention of one of the names exchanged for one that stands neither there nor before."""
    said = f"{before}\n{answer}"
    # the longest first: 'bone marrow' is no mention of 'bone'
    mentioned = re.findall(_any(names), answer, re.IGNORECASE)
    there = {name for name in names if re.search(_one(name), said, re.IGNORECASE)}
    others = [name for name in names if name not in there]
    if not mentioned or not others:
        return None
    found, other = draw.choice(mentioned), draw.choice(others)

    def put(match: re.Match[str]) -> str:
        return other.capitalize() if match[0][0].isupper() and other.islower() else other

    return re.sub(_one(found), put, answer)


def _any(names: Sequence[str]) -> str:
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"


def _one(name: str) -> str:
    return rf"(?<!\w){term_pattern(name)}(?!\w)"


def _another(figure: str, draw: random.Random, *, share: bool) -> str:
    """A figure with as many decimals; a probability stays one, a percentage stays below a hundred."""
    decimals = len(figure.partition(".")[2])
    value = float(figure.replace(",", ""))
    if figure.startswith("0.") or value == 0:
        while True:
            other = draw.uniform(0.03, 0.98)
            if abs(other - value) >= 0.1:
                return f"{other:.{max(decimals, 1)}f}"
    factor = draw.choice((draw.uniform(0.4, 0.85), draw.uniform(1.2, 2.2)))
    other = value * factor
    if share:
        other = min(other, 99.0)
    other = other if abs(other - value) >= max(1.0, value / 10) or decimals else value + draw.choice((1, 2, 3))
    return f"{other:,.{decimals}f}" if "," in figure else f"{other:.{decimals}f}"
