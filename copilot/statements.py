"""A statement: one fact in a few wordings, with what it rests on. The first wording is the plain template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slides import Evidence, Finding
from vision_encoder.observation import Observation


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing to say: equivalent wordings, the evidence (indices) or the sources behind it."""

    wordings: tuple[str, ...]
    evidence: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation whose evidence starts at `offset` in the answer's evidence."""

    observation: Observation
    offset: int
    label: str = ""
    """How the view is called where there are several: `View 1`."""

    def at(self, name: str) -> tuple[int, Evidence] | None:
        """The index and evidence of the finding with that name, or None."""
        return next(self.all(name), None)

    def all(self, prefix: str) -> Iterator[tuple[int, Evidence]]:
        """Every (index, evidence) whose finding is `prefix` or starts with `prefix` and a space."""
        for position, item in enumerate(self.observation.evidence):
            if item.finding.name == prefix or item.finding.name.startswith(prefix + " "):
                yield self.offset + position, item


def figure(probability: float) -> str:
    """A probability as it is printed everywhere: two decimals, never 0.00 or 1.00."""
    return ">0.99" if probability >= 0.995 else "<0.01" if probability < 0.005 else f"{probability:.2f}"


def quantity(value: float, unit: str | None) -> str:
    """A measured value as it is printed everywhere: three significant figures, shares as percent."""
    if unit == "share":
        return f"{100 * value:.0f} %"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    rounded = round(value, -len(str(int(abs(value)))) + 2) if abs(value) >= 1000 else value
    text = f"{rounded:,.{digits}f}"
    return text if unit in (None, "ratio") else f"{text} {unit}"


def listed(words: Sequence[str], last: str = "or") -> str:
    """Words as a list in a sentence: `a, b or c`."""
    if len(words) <= 1:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def runners_up(finding: Finding, count: int = 2, floor: float = 0.05) -> tuple[tuple[str, float], ...]:
    """The next most probable classes after the label, at least `floor`."""
    others = [(label, p) for label, p in finding.distribution if label != finding.label and p >= floor]
    return tuple(others[:count])
