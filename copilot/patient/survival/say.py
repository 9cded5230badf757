"""Words of a curve, generated from it and read back: what is stated must equal what was computed.

A sentence is made of facts (which curve, horizon, percentages, direction, covariate). Any writer may word it anew;
the draft is read by the same reader as the template, and unless both give the same facts, the template speaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .model import Prediction

Writer = Callable[[str], str]
"""Words a sentence anew; a language model, where one is used."""


@dataclass(frozen=True)
class Facts:
    """What a sentence states: of `risk`, `survival` or `median`; percentages and years in order; up, down or none;
    the covariates named."""

    kind: str
    percentages: tuple[str, ...]
    years: tuple[str, ...]
    direction: str
    names: frozenset[str]


@dataclass(frozen=True)
class Said:
    """One sentence, and whether a writer's draft of it was kept."""

    text: str
    written: bool = False


_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|per ?cent\b)")
_YEARS = re.compile(r"(\d+(?:\.\d+)?)[ -]*years?\b")
_MONTHS = re.compile(r"(\d+(?:\.\d+)?)[ -]*(?:months?|weeks?|days?)\b")
_UP = re.compile(r"\b(rais\w+|higher|increas\w+|adds?|more|up|worse\w*)\b")
_DOWN = re.compile(r"\b(lower\w*|reduc\w+|decreas\w+|less|down|falls?|better|drops?)\b")
_FREE = re.compile(r"\b(free of|without|surviv\w+|alive|remain\w*)\b")
_RISK = re.compile(r"\b(risk|die|dies|death|probability of|chance of|likel\w+)\b")
_UNSURE = re.compile(
    r"\b(not|no|never|none|nor|neither|unlikely|cannot|isn't|won't|half|third|quarter|double|twice|all|every|certain\w*|"
    r"one|two|three|four|five|six|seven|eight|nine|ten|hundred|recommend\w*|should|treat\w*|will)\b|n't\b"
)


def template_sentences(prediction: Prediction) -> list[str]:
    """The curve in sentences: each horizon, the median where it is known, and each driver with its direction."""
    told = [
        f"The estimated risk of {prediction.endpoint} within {_year(h.years)} is {_percent(h.risk)} "
        f"(90 % band {_percent(h.low)} to {_percent(h.high)})."
        for h in prediction.horizons
    ]
    if prediction.horizons:
        last = prediction.horizons[-1]
        chance = _percent(1 - last.risk)
        told.append(f"The estimated probability of being {prediction.free_of} at {_year(last.years)} is {chance}.")
    if prediction.median_years is not None:
        told.append(f"The estimated median time is {_year(prediction.median_years)}.")
    for driver in prediction.drivers:
        verb = "raises" if driver.points > 0 else "lowers"
        told.append(
            f"The covariate {driver.name} {verb} the risk within {_year(driver.years)} "
            f"by {_percent(abs(driver.points))} in absolute terms."
        )
    return told


def say(prediction: Prediction, writer: Writer | None = None) -> list[Said]:
    """The sentences of a curve; a writer's draft stands where it states exactly the same, else the template."""
    names = covariate_names(prediction)
    said: list[Said] = []
    for sentence in template_sentences(prediction):
        draft = " ".join(writer(sentence).split()) if writer is not None else ""
        kept = bool(draft) and agrees(draft, sentence, names)
        said.append(Said(draft if kept else sentence, kept))
    return said


def covariate_names(prediction: Prediction) -> tuple[str, ...]:
    """Every covariate that a sentence may name."""
    rows = [row.covariates for row in prediction.similar]
    return tuple(sorted({driver.name for driver in prediction.drivers} | {name for row in rows for name in row}))


def agrees(draft: str, sentence: str, names: Sequence[str]) -> bool:
    """True where the draft states the sentence's facts, all of them, and nothing else that the reader knows."""
    if _UNSURE.search(_without(draft.lower(), sentence.lower())):
        return False
    read = read_facts(draft, names)
    return read is not None and read == read_facts(sentence, names)


def read_facts(text: str, names: Sequence[str]) -> Facts | None:
    """The facts of one sentence; None where it holds a number that is neither a percentage nor years."""
    low = text.lower()
    percentages = tuple(_PERCENT.findall(low))
    years = tuple(_YEARS.findall(low))
    if _MONTHS.search(low):
        return None
    rest = _YEARS.sub(" ", _PERCENT.sub(" ", low))
    named = frozenset(name for name in names if name in low)
    for name in sorted(names, key=len, reverse=True):
        rest = rest.replace(name, " ")
    if re.search(r"\d", rest) or rest.count(".") + rest.count("!") + rest.count("?") > 1:
        return None
    up, down = bool(_UP.search(rest)), bool(_DOWN.search(rest))
    free, risk = bool(_FREE.search(rest)), bool(_RISK.search(rest))
    if (up and down) or (free and up) or (free and down):
        return None
    kind = "median" if "median" in rest else "survival" if free else "risk" if risk else ""
    if not kind or (kind == "median" and percentages):
        return None
    return Facts(kind, percentages, years, "up" if up else "down" if down else "", named)


def _without(draft: str, sentence: str) -> str:
    """The draft without words that the template itself uses."""
    used = set(re.findall(r"[\w']+", sentence))
    return " ".join(word for word in re.findall(r"[\w']+", draft) if word not in used)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _year(years: float) -> str:
    number = f"{years:.1f}".removesuffix(".0") if years != 0.25 else "0.25"
    return f"{number} year" if number == "1" else f"{number} years"
