"""`Patient`: what is known of one patient, without who it is.

A record holds covariates with units, report text, and optionally expression, a slide's embedding and events in
days from the first. It has no place for a name, a number, a date or an address: what would identify a person is
left out where a file is read (`privacy.py`), and said to be left out in `notes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slides.errors import UsageError

from .quantities import canonical, kept


@dataclass(frozen=True)
class Value:
    """One known thing: a number with its unit (None = the file states none), or a word."""

    value: float | str
    unit: str | None = None

    @property
    def told(self) -> str:
        """As a person reads it: '23 mm', 'post'."""
        number = f"{self.value:.6g}" if isinstance(self.value, float) else str(self.value)
        return number if self.unit in (None, "count") else f"{number} {self.unit}"


@dataclass(frozen=True)
class Event:
    """Something that happened `day` days after the record's first date, with a value where one was measured."""

    day: float
    name: str
    value: Value | None = None


@dataclass(frozen=True)
class Patient:
    """One patient. What is not in a field is unknown, and stays so.

    `expression` maps gene or probe to its measured level; `slide` is a slide's embedding with `slide_encoder` the
    encoder that made it; `notes` are the conditions met while reading (left out, doubled, without unit).
    """

    covariates: Mapping[str, Value] = field(default_factory=dict)
    text: str = ""
    expression: Mapping[str, float] | None = None
    slide: tuple[float, ...] | None = None
    slide_encoder: str | None = None
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()

    def number(self, name: str) -> float | None:
        """A covariate as a number in the unit the table of quantities keeps it in; None where it is unknown.

        Raises `UsageError` where the record holds a word, or a number without the unit that it needs.
        """
        held = self.covariates.get(canonical(name))
        if held is None:
            return None
        if isinstance(held.value, str):
            raise UsageError(f"{name} is {held.value[:30]!r} in this record: give a number")
        from .quantities import quantity

        known = quantity(name)
        if known is not None and held.unit is None:
            raise UsageError(f"{name} has no unit in this record: state it, in {' or '.join(known.factors)}")
        return held.value

    def word(self, name: str) -> str | None:
        """A covariate as a word in small letters; None where it is unknown."""
        held = self.covariates.get(canonical(name))
        return None if held is None else str(held.told).lower()

    def with_covariate(self, name: str, value: Value) -> Patient:
        """The same patient with one covariate set."""
        return replace(self, covariates={**self.covariates, canonical(name): value})


def make_patient(
    covariates: Mapping[str, tuple[Any, str | None]],
    *,
    text: str = "",
    expression: Mapping[str, float] | None = None,
    slide: Iterable[float] | None = None,
    slide_encoder: str | None = None,
    events: Iterable[Event] = (),
    notes: Iterable[str] = (),
) -> Patient:
    """A patient from raw pairs of value and unit: names and units brought to the table's, doubled events once.

    Raises `UsageError` for a value that cannot be, another quantity's unit, or one covariate given twice differently.
    """
    told = list(notes)
    held: dict[str, Value] = {}
    for name, (raw, unit) in covariates.items():
        if (value := make_value(name, raw, unit)) is None:
            continue
        key = canonical(name)
        if key in held and held[key] != value:
            raise UsageError(f"{key} is given twice with different values: keep one")
        held[key] = value
        if isinstance(value.value, float) and _needs_unit(key) and value.unit is None:
            told.append(f"{key} has no unit")
    ordered = sorted(events, key=lambda event: (event.day, event.name, event.value.told if event.value else ""))
    single = tuple(dict.fromkeys(ordered))
    if len(single) < len(ordered):
        told.append(f"{len(ordered) - len(single)} doubled events kept once")
    embedding = None if slide is None else tuple(float(number) for number in slide)
    levels = None if expression is None else {gene: float(level) for gene, level in expression.items()}
    return Patient(held, text, levels, embedding, slide_encoder, single, tuple(dict.fromkeys(told)))


def make_value(name: str, raw: Any, unit: str | None = None) -> Value | None:
    """A value with its unit as it is kept; None for what is empty or said to be unknown.

    A number in words ('23', '23 mm') is a number. Raises `UsageError` for what cannot be.
    """
    if isinstance(raw, bool):
        return Value("yes" if raw else "no")
    if isinstance(raw, str):
        text = " ".join(raw.split())
        if text.lower() in _UNKNOWN:
            return None
        head, _, tail = text.partition(" ")
        number = _as_number(head)
        if number is None or (tail and not _needs_unit(canonical(name))):
            if _needs_unit(canonical(name)):
                raise UsageError(f"{name[:40]} is {text[:30]!r}: give a number and its unit")
            return Value(text[:200])
        raw, unit = number, unit or tail or None
    if raw is None:
        return None
    if not isinstance(raw, int | float):
        raise UsageError(f"{name[:40]} is neither a number nor a word: give one value")
    value, known_unit = kept(name, float(raw), unit)
    return Value(value, known_unit)


_UNKNOWN = {"", "na", "n/a", "nan", "none", "null", "unknown", "not known", "missing", "?", "-"}


def _needs_unit(name: str) -> bool:
    from .quantities import quantity

    known = quantity(name)
    return known is not None and known.unit != "count"


def _as_number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
