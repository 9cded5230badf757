"""Units checked: what is known of a quantity, and a value in the one unit it is kept in.

A quantity that the table (`quantities.toml`) does not know keeps the unit it came with; a number without a unit
where one is needed stays without, and whoever needs it refuses. Nothing is guessed from the size of a number.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from slides.errors import UsageError

_TABLE = Path(__file__).with_name("quantities.toml")


@dataclass(frozen=True)
class Quantity:
    """A quantity in one `unit`, of values from `low` to `high`; `factors` lead from other units to that one."""

    name: str
    unit: str
    low: float
    high: float
    factors: dict[str, float]
    fahrenheit: tuple[str, ...]

    def kept(self, value: float, unit: str) -> float:
        """The value in `self.unit`.

        Raises `UsageError` for a unit that is not one of this quantity's, and for a value that cannot be.
        """
        key = _plain(unit)
        if key in self.fahrenheit:
            kept = (value - 32) / 1.8
        elif key in self.factors:
            kept = value * self.factors[key]
        else:
            known = ", ".join([*self.factors, *self.fahrenheit])
            raise UsageError(f"{self.name} is not measured in {unit[:20]!r}: give it in one of {known}")
        if not math.isfinite(kept) or not self.low <= kept <= self.high:
            raise UsageError(
                f"{self.name} of {value:g} {unit[:20]} cannot be (it lies between {self.low:g} and {self.high:g} "
                f"{self.unit}): correct the value or its unit"
            )
        return kept


def quantity(name: str) -> Quantity | None:
    """The quantity of a name, synonym, LOINC code or OMOP concept number; None where the table has none."""
    return _known().get(_plain(name))


def canonical(name: str) -> str:
    """The name a covariate or event is kept under: the table's own, else the given one in small letters."""
    found = quantity(name)
    return found.name if found else " ".join(name.replace("_", " ").lower().split())


def kept(name: str, value: float, unit: str | None) -> tuple[float, str | None]:
    """Value and unit as they are kept; a number without unit stays without.

    Raises `UsageError` for another quantity's unit, and for what cannot be, unit or not: NaN, a negative age.
    """
    if not math.isfinite(value):
        raise UsageError(f"{name[:40]} is not a number: leave out what is unknown")
    known = quantity(name)
    if known is None:
        return value, unit
    if unit is None:
        if value < 0 and not known.fahrenheit:
            raise UsageError(f"{known.name} of {value:g} cannot be: correct the value")
        # A count is its own unit; of all else the unit must be stated.
        return (known.kept(value, known.unit), known.unit) if known.unit == "count" else (value, None)
    return known.kept(value, unit), known.unit


def _plain(word: str) -> str:
    return " ".join(word.replace("_", " ").replace("µ", "u").replace("μ", "u").lower().split())


@cache
def _known() -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    for name, row in tomllib.loads(_TABLE.read_text(encoding="utf-8")).items():
        factors = {_plain(unit): float(factor) for unit, factor in row["units"].items()}
        made = Quantity(name, row["unit"], row["low"], row["high"], factors, tuple(row.get("fahrenheit", ())))
        made.factors.setdefault(_plain(made.unit), 1.0)
        for word in (name, *row.get("also", ()), *row["codes"]):
            found[_plain(word)] = made
    return found
