"""What is known of tumours and tests: entities, markers, staining figures with their sources, rules.

The tables beside this file are made by `python -m instruction_data.build_knowledge recipes/knowledge.toml`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any, Literal

from slides import SetupError

from .names import NameIndex

RuleKind = Literal["first", "after", "care"]
TABLES = ("entities", "markers", "sources", "rates", "lineages", "rules")


@dataclass(frozen=True, slots=True)
class Entity:
    """A tumour, a lesion, an inflammatory or normal state, or a group that a study counted.

    `kin` are entities whose figures may stand in for missing ones, nearest first; `metastases` are
    study groups of its metastases. A group (`is_group`) explains figures and is never a diagnosis.
    """

    id: str
    name: str
    organ: str
    category: str
    kind: str
    keywords: tuple[str, ...]
    lookalikes: tuple[str, ...]
    pitfalls: str
    oncotree: str | None
    synonyms: tuple[str, ...]
    kin: tuple[str, ...]
    metastases: tuple[str, ...]

    @property
    def is_group(self) -> bool:
        """True for a study group or a mere look-alike: never to be ranked as a diagnosis."""
        return self.kind == "group label"


@dataclass(frozen=True, slots=True)
class Marker:
    """An immunostain, special stain, hybridisation or molecular test.

    `result` is what it is read for ("positive", "loss", "aberrant", …); `cost` 1 (cheap) to 4 (dear) and
    `weight` its relative price are assumptions, not prices; `groups` name the markers that tell much the same.
    """

    id: str
    name: str
    kind: str
    shows: str
    compartment: str
    control: str
    pitfalls: str
    prerequisites: str
    cost: int
    weight: float
    result: str
    groups: tuple[str, ...]
    synonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures were seen; author, journal and year are empty where the page seen did not print them."""

    id: str
    author: str
    journal: str
    year: str
    identifier: str
    access: str

    @property
    def citation(self) -> str:
        """One line: author if known, journal, year if known, identifier."""
        author = f"{self.author} et al." if self.author else "author not printed on the page seen"
        return f"{author}, {self.journal} {self.year or '(year not printed)'}; {self.identifier}"


@dataclass(frozen=True, slots=True)
class Study:
    """One printed figure: `percent` of `total` cases, counts only where they were printed or follow from it."""

    source: str
    percent: float | None
    limits: tuple[float, float]
    positive: int | None
    total: int | None
    specimen: str
    reading: str


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a test shows `result` in an entity, pooled over studies as a Beta(alpha, beta).

    The Beta is the predictive one: its spread holds the disagreement between studies as well as their size.
    `positive` of `total` add up the printed counts (0 of 0 where none were printed); `low` and `high` are the
    extremes of the studies in percent. A `belief` has no source; with `lineage` it is one that is held of all
    diagnoses of that lineage. `stands_for` names the entity that asked when
    the figures are those of a relative.
    """

    entity: str
    marker: str
    result: str
    alpha: float
    beta: float
    positive: int = 0
    total: int = 0
    low: float | None = None
    high: float | None = None
    studies: tuple[Study, ...] = ()
    belief: str | None = None
    lineage: str | None = None
    stands_for: str | None = None

    @property
    def mean(self) -> float:
        """Expected share in (0, 1)."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def sourced(self) -> bool:
        """True when a study was seen."""
        return bool(self.studies)

    @property
    def sources(self) -> tuple[str, ...]:
        """Ids of the studies' sources, in order."""
        return tuple(dict.fromkeys(study.source for study in self.studies))

    def words(self) -> str:
        """The figure as a reader may see it: `loss in 15 % (27/180)`, or that it has no source."""
        if self.belief is not None:
            said = self.belief if self.result == "positive" else f"{self.result}: {self.belief}"
            return f"{said}{' as its lineage' if self.lineage else ''}, no source"
        low, high = self.low or 0.0, self.high or 0.0
        counts = f" ({self.positive}/{self.total})" if self.total else " (group size not printed)"
        percents = [study.percent for study in self.studies if study.percent is not None]
        if len(self.studies) > 1:
            share = f"{round(low)}–{round(high)} % in {len(self.studies)} studies"
        elif percents:
            share = f"{round(percents[0])} %"
        else:
            share, counts = f"{round(low)}–{round(high)} %", " (only a range was printed)"
        if self.total and any(study.total is None for study in self.studies):
            counts = f" ({self.positive}/{self.total} where counted)"
        return f"{self.result} in {share}{counts}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A prerequisite or reflex rule and when it speaks.

    It speaks when one of `entities` is a candidate, one of `markers` is in the plan, or one of `words` is in
    the context; with `together` every list that is not empty must match; with `all_entities` all entities must.
    """

    id: str
    kind: RuleKind
    when: str
    tests: tuple[str, ...]
    then: str
    source: str
    checked: str
    entities: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    together: bool = False
    all_entities: bool = False

    def speaks(self, entities: frozenset[str], markers: frozenset[str], context: str) -> bool:
        """True when the rule applies to these candidates, planned tests and context (lower case)."""
        wanted = frozenset(self.entities)
        hits = []
        if wanted:
            hits.append(wanted <= entities if self.all_entities else bool(wanted & entities))
        if self.markers:
            hits.append(bool(frozenset(self.markers) & markers))
        if self.words:
            hits.append(any(word in context for word in self.words))
        return bool(hits) and (all(hits) if self.together else any(hits))


@dataclass(frozen=True, eq=False)
class Knowledge:
    """All tables, by id. `version` hashes their content."""

    entities: Mapping[str, Entity]
    markers: Mapping[str, Marker]
    sources: Mapping[str, Source]
    rates: Mapping[tuple[str, str, str], Rate]
    lineages: Mapping[tuple[str, str], Rate] = field(repr=False)
    """Beliefs held of whole lineages, by (entity, marker): used where nothing better is known."""
    rules: tuple[Rule, ...]
    version: str
    _results: Mapping[tuple[str, str], tuple[str, ...]] = field(repr=False)

    def entity(self, id: str) -> Entity:
        """The entity of that id; raises `KeyError`."""
        return self.entities[id]

    def find_entity(self, text: str) -> Entity | None:
        """The one diagnosis that a text names, or None when none, or more than one, is near enough."""
        found = self._entity_names.find(text)
        return self.entities[found] if found else None

    def match_entities(self, text: str, k: int = 5) -> list[tuple[Entity, float]]:
        """Up to k diagnoses whose names are like the text, best first, with a score in (0, 1]."""
        return [(self.entities[id], score) for id, score in self._entity_names.match(text, k)]

    def find_marker(self, text: str) -> Marker | None:
        """The marker of that id or name, written as people write it (`TTF-1`, `ttf1`, `CD117`), or None."""
        found = self._marker_names.exact(text)
        return self.markers[found] if found else None

    def results(self, entity: str, marker: str) -> tuple[str, ...]:
        """Which results of a marker have figures or beliefs in an entity itself."""
        return self._results.get((entity, marker), ())

    def rate(self, entity: str, marker: str, result: str | None = None, *, kin: bool = True) -> Rate | None:
        """The figure for a test in an entity; what is counted defaults to what the marker is read for.

        Order: its own studies, a relative's studies, its own belief, a relative's belief, what is held of its
        lineage. A relative's figure carries `stands_for`. None when nothing is known. Results are never mixed.
        """
        wanted = result or self.markers[marker].result
        own = self.rates.get((entity, marker, wanted))
        if own is not None and own.sourced:
            return own
        lenders = self.entities[entity].kin if kin else ()
        lent = [rate for id in lenders if (rate := self.rates.get((id, marker, wanted))) is not None]
        chosen = next((rate for rate in lent if rate.sourced), own or next(iter(lent), None))
        if chosen is None:
            held = self.lineages.get((entity, marker))
            return held if held is not None and held.result == wanted else None
        if chosen is own:
            return own
        return Rate(**{**{name: getattr(chosen, name) for name in Rate.__slots__}, "stands_for": entity})

    def lookalikes(self, entity: str) -> tuple[Entity, ...]:
        """The diagnoses an entity is confused with, in either direction; groups are left out."""
        own = self.entities[entity].lookalikes
        back = [other.id for other in self.entities.values() if entity in other.lookalikes]
        found = (self.entities[id] for id in dict.fromkeys([*own, *back]) if id != entity)
        return tuple(other for other in found if not other.is_group)

    def markers_of(self, entity: str) -> Iterator[str]:
        """Ids of the markers with a figure or a belief in an entity or its kin."""
        ids = {entity, *self.entities[entity].kin}
        own = {marker for (owner, marker, _) in self.rates if owner in ids}
        yield from sorted(own | {marker for (owner, marker) in self.lineages if owner == entity})

    @cached_property
    def diagnoses(self) -> tuple[Entity, ...]:
        """Every entity that may be ranked."""
        return tuple(entity for entity in self.entities.values() if not entity.is_group)

    @cached_property
    def _entity_names(self) -> NameIndex:
        return NameIndex({e.id: (e.name, *e.synonyms) for e in self.diagnoses})

    @cached_property
    def _marker_names(self) -> NameIndex:
        return NameIndex({m.id: (m.name, *m.synonyms) for m in self.markers.values()})


def read_table(name: str) -> tuple[str, list[dict[str, Any]]]:
    """The text and the rows of one shipped table; raises `SetupError` when it is missing or broken."""
    try:
        text = resources.files(__package__).joinpath(f"{name}.jsonl").read_text(encoding="utf-8")
        return text, [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise SetupError(f"the knowledge table {name} is missing or broken: install pathcopilot again") from error


@lru_cache(maxsize=1)
def load_knowledge() -> Knowledge:
    """The shipped tables, read once."""
    import hashlib

    tables = {name: read_table(name) for name in TABLES}
    digest = hashlib.sha256("".join(text for text, _ in tables.values()).encode()).hexdigest()
    rows = {name: found for name, (_, found) in tables.items()}
    rates = [_rate(row) for row in rows["rates"]]
    results: dict[tuple[str, str], tuple[str, ...]] = {}
    for rate in rates:
        key = (rate.entity, rate.marker)
        results[key] = (*results.get(key, ()), rate.result)
    markers = {row["id"]: Marker(**_tuples(row)) for row in rows["markers"]}
    return Knowledge(
        entities={row["id"]: Entity(**_tuples(row)) for row in rows["entities"]},
        markers=markers,
        sources={row["id"]: Source(**row) for row in rows["sources"]},
        rates={(rate.entity, rate.marker, rate.result): rate for rate in rates},
        lineages=_lineages(rows["lineages"], markers),
        rules=tuple(Rule(**_tuples(row)) for row in rows["rules"]),
        version=digest[:12],
        _results=results,
    )


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _rate(row: dict[str, Any]) -> Rate:
    studies = tuple(Study(**_tuples(study)) for study in row.pop("studies", ()))
    return Rate(**row, studies=studies)


def _lineages(rows: list[dict[str, Any]], markers: Mapping[str, Marker]) -> dict[tuple[str, str], Rate]:
    out: dict[tuple[str, str], Rate] = {}
    for row in rows:
        for held in row["beliefs"]:
            for marker in held["markers"]:
                result = markers[marker].result
                said = held["says"]
                if result != "positive":
                    said = said.replace("positive", "yes").replace("negative", "no")
                for entity in row["entities"]:
                    rate = Rate(entity, marker, result, held["alpha"], held["beta"], belief=said, lineage=row["name"])
                    out.setdefault((entity, marker), rate)
    return out
