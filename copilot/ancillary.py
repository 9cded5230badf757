"""Which tests would settle a differential: ordered by expected information per cost, every figure with its source.

Greedy choice by mutual information as in Shin et al., Pathol Int 2012 and ImmunoGenius (2021); the shares are
those of `instruction_data.knowledge`. What a test will show in the case at hand is never said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from instruction_data.knowledge import Entity, Knowledge, Marker, Rate, Rule, stated_results
from instruction_data.knowledge.contrast import comparable
from slides import UsageError

from .information import Panel, Shares, completed, updated
from .sample_size import sample_warnings, says_too_little
from .test_plan import Candidate, Cell, KnownResult, PlannedTest, TestPlan, Verdict

LEAST_GAIN = 0.02
"""Bits below which a test is not worth its section."""
SURE = 0.9
"""Expected certainty at which the first round is complete."""
FIRST_AT_LEAST = 2
"""Tests in the first round, however telling the first one is: one alone may fail."""
SETTLED = 0.95
"""Probability of the leader from which it is asked whether any test could still change it."""
MAY_CHANGE = 0.03
"""Chance of another leader below which a settled differential needs no test."""
FLOOR = 0.01
"""Least prior of a candidate that somebody named."""
UNUSUAL = 0.2
"""A known result that no candidate shows more often than this casts doubt on the whole list."""
OPPOSES = 2.0
"""A marker argues against the leader when its result is this many times as frequent in another candidate."""

Result = Literal["positive", "negative"]


def suggest_tests(
    knowledge: Knowledge,
    candidates: Sequence[tuple[str, float]],
    *,
    context: str | None = None,
    known_results: Mapping[str, Result] | None = None,
    limit: int = 6,
) -> TestPlan:
    """The tests that would best separate the candidates, in order.

    Parameters
    ----------
    candidates : pairs of an entity's id or name and its probability; equal where all are 0
    context : the clinician's words; results stated in them count as known
    known_results : marker id or name → `positive` or `negative` (of a marker that is read for loss,
        `negative` means lost; of one that is read for a pattern, `positive` means seen)
    limit : most tests to name

    Returns a plan for any candidates: where it lacks something, `needs` says what. Raises `UsageError` for a
    known result that is neither positive nor negative.
    """
    named, unknown = _named(knowledge, candidates)
    known, unused = _known(knowledge, context, known_results or {})
    if len(named) < 2:
        return _without_differential(knowledge, named, unknown, known, unused, context, len(candidates))
    chooser = _Chooser(knowledge, [entity for entity, _ in named], np.array([prior for _, prior in named]))
    after = chooser.after(known)
    chosen, panel = chooser.choose(after, known, limit)
    leader = int(after.argmax())
    verdict: Verdict = "order" if chosen else "cannot separate"
    settled = after[leader] >= SETTLED and panel.chance_of_change(leader) < MAY_CHANGE
    if settled or (not chosen and after[leader] >= SURE):
        verdict, chosen = "none needed", []
    elif says_too_little(context):
        verdict = "more tissue"
    tests = _tests(chooser, after, chosen)
    ids = frozenset(entity.id for entity, _ in named)
    planned = frozenset(test.marker.id for test in tests)
    return TestPlan(
        verdict=verdict,
        candidates=tuple(
            Candidate(entity, float(before), float(now)) for (entity, before), now in zip(named, after, strict=True)
        ),
        tests=tests,
        known=tuple(chooser.told(result) for result in known),
        warnings=(*sample_warnings(context), *chooser.unusual(known)),
        rules=_rules(knowledge, ids, planned, context),
        metastases=chooser.beside_metastases(context, [test.marker.id for test in tests]),
        notes=(*unknown, *unused, *_gaps(chooser, knowledge, tests)),
        needs=None,
        sources=knowledge.sources,
        version=knowledge.version,
    )


class _Chooser:
    """The shares of one differential, read like with like, and the greedy choice over them."""

    def __init__(self, knowledge: Knowledge, entities: Sequence[Entity], prior: Shares) -> None:
        self.knowledge, self.entities, self.prior = knowledge, entities, prior
        ids = {marker for entity in entities for marker in knowledge.markers_of(entity.id)}
        names = [entity.id for entity in entities]
        read = {id: comparable(knowledge, names, id) for id in sorted(ids) if knowledge.markers[id].kind != "routine"}
        self.cells = {id: cells for id, cells in read.items() if cells is not None}

    def shares(self, marker: str, belief: Shares, seen_before: int = 0) -> Shares:
        """P(result | candidate), complete."""
        raw = np.array([np.nan if cell is None else cell.mean for cell in self.cells[marker]])
        return completed(raw, belief, seen_before)

    def group(self, marker: str) -> str:
        groups = self.knowledge.markers[marker].groups
        return groups[0] if groups else marker

    def related(self, marker: str, others: Sequence[str]) -> int:
        """How many of the others tell much the same as this marker."""
        groups = set(self.knowledge.markers[marker].groups)
        return sum(bool(groups & set(self.knowledge.markers[other].groups)) for other in others)

    def after(self, known: Sequence[KnownResult]) -> Shares:
        """Probability of each candidate once the known results count."""
        results: list[tuple[Shares, bool, str]] = []
        before: list[str] = []
        for result in known:
            marker = result.marker.id
            if marker in self.cells:
                shares = self.shares(marker, self.prior, self.related(marker, before))
                results.append((shares, _seen(result, self.cells[marker]), self.group(marker)))
                before.append(marker)
        return updated(self.prior, results)

    def choose(self, belief: Shares, known: Sequence[KnownResult], limit: int) -> tuple[list[_Choice], Panel]:
        """Two rounds, each greedy by information per cost, and the panel of both.

        The first goes on until the expected certainty is `SURE`; the second is chosen for those results of
        the first that leave the question open. One test that argues against the leader is in the first.
        """
        done = [result.marker.id for result in known]
        leader = int(belief.argmax())
        first: list[_Choice] = []
        self._extend(first, Panel.empty(belief), belief, done, limit, sure=True)
        if first and not any(self.opposes(choice.marker, leader) for choice in first):
            self._add_opponent(first, belief, done, leader, limit)
        panel = Panel.empty(belief)
        for choice in first:
            panel = panel.add(choice.shares)
        second: list[_Choice] = []
        still_open = panel.undecided(SURE)
        if still_open is not None:
            taken = [*done, *(choice.marker for choice in first)]
            self._extend(second, still_open, belief, taken, limit - len(first), sure=False)
        for choice in second:
            choice.round = 2
            panel = panel.add(choice.shares)
        return [*first, *second], panel

    def _extend(
        self, chosen: list[_Choice], panel: Panel, belief: Shares, done: Sequence[str], room: int, *, sure: bool
    ) -> None:
        while len(chosen) < room:
            if sure and len(chosen) >= FIRST_AT_LEAST and panel.expected_certainty >= SURE:
                break
            best = self._best(panel, belief, [*done, *(choice.marker for choice in chosen)], None)
            if best is None:
                break
            panel = panel.add(best.shares)
            chosen.append(best)

    def _best(self, panel: Panel, belief: Shares, taken: Sequence[str], against: int | None) -> _Choice | None:
        best: _Choice | None = None
        for marker in self.cells:
            if marker in taken or (against is not None and not self.opposes(marker, against)):
                continue
            shares = self.shares(marker, belief, self.related(marker, taken))
            gain = panel.add(shares).information - panel.information
            worth = gain / self.knowledge.markers[marker].weight
            if gain >= LEAST_GAIN and (best is None or worth > best.worth + 1e-12):
                best = _Choice(marker, shares, gain, worth)
        return best

    def _add_opponent(
        self, chosen: list[_Choice], belief: Shares, done: Sequence[str], leader: int, limit: int
    ) -> None:
        taken = [*done, *(choice.marker for choice in chosen)]
        opponent = self._best(Panel.empty(belief), belief, taken, leader)
        if opponent is not None:
            del chosen[limit - 1 :]
            chosen.append(opponent)

    def opposes(self, marker: str, leader: int) -> bool:
        """True when seeing the result speaks against the leader and for another candidate."""
        cells = self.cells[marker]
        own = cells[leader]
        return own is not None and any(
            cell is not None and cell.mean >= OPPOSES * own.mean for i, cell in enumerate(cells) if i != leader
        )

    def cell(self, entity: Entity, rate: Rate | None) -> Cell:
        """The cell with the name of whose figures they are, where not the entity's own."""
        lender = rate.entity if rate is not None and rate.entity != entity.id else None
        return Cell(entity, rate, self.knowledge.entity(lender).name if lender else None)

    def told(self, result: KnownResult) -> KnownResult:
        """The result with whether it counted."""
        return KnownResult(result.marker, result.value, result.origin, result.marker.id in self.cells)

    def unusual(self, known: Sequence[KnownResult]) -> tuple[str, ...]:
        """Known results that are rare in every candidate: the diagnosis may not be on the list."""
        found = []
        for result in known:
            rates = [self.knowledge.rate(entity.id, result.marker.id) for entity in self.entities]
            likely = [rate.mean if _seen(result, rates) else 1.0 - rate.mean for rate in rates if rate is not None]
            if len(likely) == len(self.entities) and max(likely) < UNUSUAL:
                found.append(
                    f"{result.marker.name} {result.value} is unusual for every candidate: "
                    "the diagnosis may not be on this list, or the result needs repeating"
                )
        return tuple(found)

    def beside_metastases(self, context: str | None, markers: Sequence[str]) -> tuple[Cell, ...]:
        """Figures counted in metastases, where the context speaks of one."""
        if "metasta" not in (context or "").lower():
            return ()
        rates = self.knowledge.rates
        return tuple(
            self.cell(entity, rate)
            for marker in markers
            for entity in self.entities
            for group in entity.metastases
            if (rate := rates.get((group, marker, self.knowledge.markers[marker].result))) is not None
        )


@dataclass
class _Choice:
    """A marker picked by the greedy search, with the shares (n,) it was judged by."""

    marker: str
    shares: Shares
    gain: float
    worth: float
    round: int = 1


def _tests(chooser: _Chooser, belief: Shares, chosen: Sequence[_Choice]) -> tuple[PlannedTest, ...]:
    leader = int(belief.argmax())
    out = []
    for choice in chosen:
        cells = chooser.cells[choice.marker]
        means = [np.nan if cell is None else cell.mean for cell in cells]
        out.append(
            PlannedTest(
                marker=chooser.knowledge.markers[choice.marker],
                round=choice.round,
                gain_bits=choice.gain,
                against=chooser.entities[leader] if chooser.opposes(choice.marker, leader) else None,
                cells=tuple(chooser.cell(e, c) for e, c in zip(chooser.entities, cells, strict=True)),
                most=chooser.entities[int(np.nanargmax(means))],
                least=chooser.entities[int(np.nanargmin(means))],
            )
        )
    return tuple(out)


def _seen(result: KnownResult, rates: Sequence[Rate | None]) -> bool:
    """Whether what the rates count was seen; staining lost is what `loss` counts."""
    counted = next(rate.result for rate in rates if rate is not None)
    if counted in ("loss", "loss alone", "reduced", "all three negative"):
        return result.value == "negative"
    return result.value == "positive"


def _named(
    knowledge: Knowledge, candidates: Sequence[tuple[str, float]]
) -> tuple[list[tuple[Entity, float]], tuple[str, ...]]:
    """Entities with normalised priors (names that mean the same entity add up), and what was not understood."""
    found: dict[str, float] = {}
    notes = []
    for text, probability in candidates:
        entity = knowledge.find_entity(text)
        if entity is None:
            near = [other.name for other, score in knowledge.match_entities(text, 3) if score >= 0.5]
            hint = f"; nearest: {', '.join(near)}" if near else ""
            notes.append(f"“{text}” names no entity of the tables and was left out{hint}")
        else:
            found[entity.id] = found.get(entity.id, 0.0) + max(probability, 0.0)
    total = sum(found.values())
    shares = {id: p / total if total > 0 else 1.0 / len(found) for id, p in found.items()}
    floored = {id: max(p, FLOOR) for id, p in shares.items()}
    whole = sum(floored.values())
    named = [(knowledge.entity(id), p / whole) for id, p in floored.items()]
    return sorted(named, key=lambda pair: -pair[1]), tuple(notes)


def _known(
    knowledge: Knowledge, context: str | None, given: Mapping[str, Result]
) -> tuple[list[KnownResult], tuple[str, ...]]:
    found: dict[str, KnownResult] = {}
    notes = []
    for stated in stated_results(knowledge, context or ""):
        marker = knowledge.markers[stated.marker]
        if stated.value is None:
            notes.append(f"{marker.name} in the context was not used: {stated.reason}")
        else:
            found[marker.id] = KnownResult(marker, stated.value, "context", False)
    for name, value in given.items():
        if value not in ("positive", "negative"):
            raise UsageError(
                f"a known result is positive or negative (of a stain read for loss: negative = lost), not {value}"
            )
        named = knowledge.find_marker(name)
        if named is None:
            notes.append(f"“{name}” names no marker of the tables: its result was not used")
        else:
            found[named.id] = KnownResult(named, value, "entered", False)
    return list(found.values()), tuple(notes)


def _rules(
    knowledge: Knowledge, entities: frozenset[str], markers: frozenset[str], context: str | None
) -> tuple[tuple[Rule, tuple[Marker, ...]], ...]:
    wide = entities | {id for entity in entities for id in knowledge.entity(entity).kin}
    words = (context or "").lower()
    return tuple(
        (rule, tuple(knowledge.markers[id] for id in rule.tests))
        for rule in knowledge.rules
        if rule.speaks(wide, markers, words)
    )


def _gaps(chooser: _Chooser, knowledge: Knowledge, tests: Sequence[PlannedTest]) -> tuple[str, ...]:
    """What the tables lack for this differential."""
    notes = []
    if len(chooser.entities) > 2:
        for test in tests:
            missing = [cell.entity.name for cell in test.cells if cell.rate is None]
            if missing:
                notes.append(f"{test.marker.name}: no figure for {', '.join(missing)}")
    unsourced = [t.marker.name for t in tests if any(c.rate is not None and not c.rate.sourced for c in t.cells)]
    if unsourced:
        notes.append(f"part of the figures has no source: {', '.join(unsourced)}")
    return tuple(notes)


def _without_differential(
    knowledge: Knowledge,
    named: list[tuple[Entity, float]],
    unknown: tuple[str, ...],
    known: list[KnownResult],
    unused: tuple[str, ...],
    context: str | None,
    names: int,
) -> TestPlan:
    needs = 'name at least two diagnoses to be separated, for instance --differential "A|B"'
    if names > 1 and not unknown and named:
        needs = f"the names stand for one entry of the tables, {named[0][0].name}, which no test splits; else {needs}"
    if named:
        alike = [entity.name for entity in knowledge.lookalikes(named[0][0].id)][:4]
        if alike:
            needs += f"; {named[0][0].name} is most often to be told from {', '.join(alike)}"
    return TestPlan(
        verdict="needs differential",
        candidates=tuple(Candidate(entity, prior, prior) for entity, prior in named),
        tests=(),
        known=tuple(known),
        warnings=sample_warnings(context),
        rules=_rules(knowledge, frozenset(entity.id for entity, _ in named), frozenset(), context),
        metastases=(),
        notes=(*unknown, *unused),
        needs=needs,
        sources=knowledge.sources,
        version=knowledge.version,
    )
