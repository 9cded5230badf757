"""An ordered list of tests with the expected pattern per diagnosis, and how a pathologist reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from instruction_data.knowledge import Entity, Marker, Rate, Rule, Source

from .quoting import quoted

Verdict = Literal["order", "none needed", "cannot separate", "more tissue", "needs differential"]
"""`more tissue`: the sample is said not to hold enough for any test; the tests stand for what is taken next."""
NOT_A_PREDICTION = (
    "Figures are counts from the literature, not a forecast for this case: its result is read on the stained section."
)


_IF = {
    "positive": "If positive",
    "loss": "If lost",
    "aberrant": "If aberrant",
    "nuclear positive": "If nuclear",
    "diffuse positive": "If diffusely positive",
    "mutated": "If mutated",
    "rearranged": "If rearranged",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A diagnosis of the differential with its probability before and after the known results."""

    entity: Entity
    prior: float
    posterior: float


@dataclass(frozen=True, slots=True)
class Cell:
    """What is known of one test in one diagnosis; `rate` None when nothing is, `lender` whose figures stand in."""

    entity: Entity
    rate: Rate | None
    lender: str | None = None


@dataclass(frozen=True, slots=True)
class KnownResult:
    """A result that is already there; `counted` is False when the tables hold no figure to weigh it by."""

    marker: Marker
    value: Literal["positive", "negative"]
    origin: Literal["context", "entered"]
    counted: bool

    @property
    def words(self) -> str:
        """The result as one says it of this marker."""
        said = {
            "loss": {"positive": "retained", "negative": "lost"},
            "aberrant": {"positive": "aberrant", "negative": "wild-type pattern"},
        }.get(self.marker.result, {"positive": "positive", "negative": "negative"})
        return f"{self.marker.name} {said[self.value]}"


@dataclass(frozen=True, slots=True)
class PlannedTest:
    """One test to order: `most` shows its result most often, `least` least; `against` is the leader it may refute."""

    marker: Marker
    round: int
    gain_bits: float
    against: Entity | None
    cells: tuple[Cell, ...]
    most: Entity
    least: Entity

    def cell(self, entity: Entity) -> Cell:
        """The cell of one diagnosis."""
        return next(cell for cell in self.cells if cell.entity.id == entity.id)


@dataclass(frozen=True, slots=True)
class TestPlan:
    """What to order, why, and what is known of it. It holds no result that nobody has read."""

    __test__ = False  # pytest takes classes named Test… for tests

    verdict: Verdict
    candidates: tuple[Candidate, ...]
    tests: tuple[PlannedTest, ...]
    known: tuple[KnownResult, ...]
    warnings: tuple[str, ...]
    rules: tuple[tuple[Rule, tuple[Marker, ...]], ...]
    metastases: tuple[Cell, ...]
    notes: tuple[str, ...]
    needs: str | None
    sources: Mapping[str, Source]
    version: str

    @property
    def cited(self) -> tuple[Source, ...]:
        """Every source of a figure shown, numbered in this order."""
        rates = [cell.rate for test in self.tests for cell in test.cells if cell.rate is not None]
        rates += [cell.rate for cell in self.metastases if cell.rate is not None]
        return tuple(self.sources[id] for id in dict.fromkeys(id for rate in rates for id in rate.sources))

    @property
    def tissue_is_short(self) -> bool:
        """True when a warning speaks of too little tissue."""
        return any("more tissue" in warning for warning in self.warnings)

    @property
    def headline(self) -> str:
        """The plan in one sentence."""
        first = ", ".join(test.marker.name for test in self.tests if test.round == 1)
        if self.verdict == "order":
            tissue = "; more tissue may be needed before any stain decides" if self.tissue_is_short else ""
            return f"Order first: {first}{tissue}."
        if self.verdict == "more tissue":
            then = f"; on that, order first: {first}" if first else ""
            return f"More tissue is needed: the sample is said to hold too little for any test{then}."
        if self.verdict == "none needed":
            leader = max(self.candidates, key=lambda candidate: candidate.posterior)
            return (
                f"None needed: {leader.entity.name} stands at {leader.posterior:.2f} among the candidates, "
                "and no test in the tables is likely to change that."
            )
        if self.verdict == "cannot separate":
            return (
                "Nothing to order: no test in the tables separates these candidates: morphology, clinical and "
                "radiological correlation, or more tissue must decide."
            )
        return f"No order can be made yet: {self.needs}."

    def as_json(self) -> dict[str, Any]:
        """Plain types only; `sources` of a cell are indices into `sources`, counted from 1."""
        number = self._numbers()
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "candidates": [
                {
                    "id": c.entity.id,
                    "name": c.entity.name,
                    "prior": round(c.prior, 4),
                    "posterior": round(c.posterior, 4),
                }
                for c in self.candidates
            ],
            "known_results": [
                {"marker": k.marker.id, "result": k.words, "origin": k.origin, "counted": k.counted} for k in self.known
            ],
            "tests": [
                {
                    "marker": t.marker.id,
                    "name": t.marker.name,
                    "kind": t.marker.kind,
                    "round": t.round,
                    "expected_information_bits": round(t.gain_bits, 3),
                    "why": self._why(t, number, marks=False),
                    "argues_against": t.against.id if t.against else None,
                    "pattern": [_cell_json(cell, number) for cell in t.cells],
                    "prerequisites": t.marker.prerequisites,
                    "control": t.marker.control,
                    "pitfalls": t.marker.pitfalls,
                }
                for t in self.tests
            ],
            "in_metastases": [{**_cell_json(c, number), "marker": c.rate.marker} for c in self.metastases if c.rate],
            "rules": [
                {
                    "id": rule.id,
                    "kind": rule.kind,
                    "when": rule.when,
                    "tests": [marker.id for marker in tests],
                    "then": rule.then,
                    "source": rule.source,
                    "checked": rule.checked,
                }
                for rule, tests in self.rules
            ],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "needs": self.needs,
            "sources": [source.citation for source in self.cited],
            "knowledge": self.version,
        }

    def markdown(self) -> str:
        """The plan as a pathologist reads it: order, table, rules, what is missing, sources."""
        number = self._numbers()
        parts = ["## Ancillary tests", self.headline]
        if self.candidates:
            parts.append(self._differential())
        parts.extend(f"**Mind:** {line}." for line in self.warnings)
        if self.tests:
            parts.extend(self._order(number))
            parts.append(NOT_A_PREDICTION)
            parts.append(self._table(number))
        if self.metastases:
            lines = [f"- {self._metastasis(cell, number)}" for cell in self.metastases]
            parts.append("Counted in metastases:\n" + "\n".join(lines))
        parts.extend(self._rule_parts())
        if self.notes:
            parts.append("**Missing or not used**\n" + "\n".join(f"- {quoted(note)}" for note in self.notes))
        if self.cited:
            listed = (f"{number[s.id]}. {_plain(s.citation)}" for s in self.cited)
            parts.append("**Sources**\n" + "\n".join(listed))
        return "\n\n".join(parts) + "\n"

    def _numbers(self) -> dict[str, int]:
        return {source.id: place for place, source in enumerate(self.cited, 1)}

    def _differential(self) -> str:
        moved = any(known.counted for known in self.known)
        shown = (
            f"{c.entity.name} {c.prior:.2f}" + (f" → {c.posterior:.2f}" if moved else "")
            for c in sorted(self.candidates, key=lambda c: -c.posterior)
        )
        lines = [f"Differential, taken as complete: {'; '.join(shown)}."]
        if self.known:
            said = (k.words + ("" if k.counted else " (no figure to weigh it by)") for k in self.known)
            lines.append(f"Results already known: {', '.join(said)}.")
        return " ".join(lines)

    def _order(self, number: Mapping[str, int]) -> Iterable[str]:
        titles = {1: "**First round**", 2: "**Second round, only if the first leaves it open**"}
        for round_ in (1, 2):
            lines = [
                f"{place}. **{test.marker.name}** — {self._why(test, number, marks=True)}"
                for place, test in enumerate(self.tests, 1)
                if test.round == round_
            ]
            if lines:
                yield titles[round_] + "\n" + "\n".join(lines)

    def _why(self, test: PlannedTest, number: Mapping[str, int], *, marks: bool) -> str:
        high, low = (_figure(test.cell(e), number, marks) for e in (test.most, test.least))
        text = f"separates {test.most.name} ({high}) from {test.least.name} ({low})."
        if test.against is not None:
            result = test.cell(test.most).rate
            said = _IF.get(result.result if result else "", "If this result is seen")
            text += f" {said}, it argues against {test.against.name}."
        return text

    def _table(self, number: Mapping[str, int]) -> str:
        names = [candidate.entity for candidate in self.candidates]
        head = ["Test", *(entity.name for entity in names), "Control", "Mind"]
        rows = (
            [
                test.marker.name,
                *(_figure(test.cell(entity), number, True) for entity in names),
                test.marker.control,
                test.marker.pitfalls,
            ]
            for test in self.tests
        )
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _metastasis(self, cell: Cell, number: Mapping[str, int]) -> str:
        assert cell.rate is not None
        marker = next(test.marker for test in self.tests if test.marker.id == cell.rate.marker)
        return f"{marker.name}, {cell.entity.name}: {_figure(cell, number, True)}"

    def _rule_parts(self) -> Iterable[str]:
        titles = {
            "first": "**What applies here**",
            "after": "**Once the diagnosis stands (keep tissue for it)**",
            "care": "**Handling**",
        }
        for kind, title in titles.items():
            lines = []
            for rule, tests in self.rules:
                if rule.kind == kind:
                    named = f" [{', '.join(marker.name for marker in tests)}]" if tests else ""
                    lines.append(f"- {rule.when}: {rule.then}{named} ({_ground(rule)})")
            if lines:
                yield title + "\n" + "\n".join(lines)


def _figure(cell: Cell, number: Mapping[str, int], marks: bool) -> str:
    if cell.rate is None:
        return "no figure"
    cited = "".join(f"[{place}]" for place in sorted(number[id] for id in cell.rate.sources)) if marks else ""
    lent = f", counted in: {cell.lender}" if cell.lender else ""
    return f"{cell.rate.words()}{lent}{' ' + cited if cited else ''}"


def _cell_json(cell: Cell, number: Mapping[str, int]) -> dict[str, Any]:
    rate = cell.rate
    if rate is None:
        return {"entity": cell.entity.id, "words": "no figure", "sources": []}
    return {
        "entity": cell.entity.id,
        "words": rate.words(),
        "result": rate.result,
        "positive": rate.positive if rate.total else None,
        "total": rate.total or None,
        "low_percent": rate.low,
        "high_percent": rate.high,
        "studies": len(rate.studies),
        "figures_of": cell.lender or cell.entity.name,
        "has_source": rate.sourced,
        "sources": [number[id] for id in rate.sources],
    }


def _ground(rule: Rule) -> str:
    return rule.source if "unchecked" in rule.source else f"{rule.source}; {rule.checked}"


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("*", "")
