"""What must hold of the knowledge tables, and the data card that counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .base import Knowledge
from .contrast import separating

DISAGREE = 30.0
"""Percentage points between two studies from which a cell is listed as disagreeing."""


def problems(knowledge: Knowledge) -> list[str]:
    """One sentence for each broken rule; an empty list when all hold."""
    return [*_orphans(knowledge), *_figures(knowledge), *_groups(knowledge), *_rules(knowledge)]


def _orphans(knowledge: Knowledge) -> Iterator[str]:
    ids = set(knowledge.entities)
    for entity in knowledge.entities.values():
        for name in ("lookalikes", "kin", "metastases"):
            for other in set(getattr(entity, name)) - ids:
                yield f"{entity.id}: {name} names {other}, which is no entity"
    for owner, marker, _ in knowledge.rates:
        if owner not in ids or marker not in knowledge.markers:
            yield f"a figure stands under {owner} and {marker}, and one of them is not in the tables"
    for owner, marker in knowledge.lineages:
        if owner not in ids or marker not in knowledge.markers:
            yield f"a lineage speaks of {owner} and {marker}, and one of them is not in the tables"


def _figures(knowledge: Knowledge) -> Iterator[str]:
    for key, rate in knowledge.rates.items():
        where = " ".join(key)
        if rate.sourced == (rate.belief is not None):
            yield f"{where}: a figure needs a source, or has to say that it has none, not both"
        if not (rate.alpha > 0 and rate.beta > 0 and 0 <= rate.positive <= rate.total):
            yield f"{where}: counts or Beta make no sense"
        for study in rate.studies:
            source = knowledge.sources.get(study.source)
            if source is None or not source.identifier:
                yield f"{where}: source {study.source} has no identifier"
            if study.percent is None and not study.limits:
                yield f"{where}: a study without a figure"
        if rate.sourced and not (rate.low is not None and rate.high is not None and rate.low <= rate.high):
            yield f"{where}: no range over the studies"
        if rate.sourced and "no source" in rate.words():
            yield f"{where}: a sourced figure says that it has no source"
        if rate.belief is not None and "no source" not in rate.words():
            yield f"{where}: a belief does not say that it has no source"


def _groups(knowledge: Knowledge) -> Iterator[str]:
    for entity in knowledge.entities.values():
        if entity.is_group and any(found.id == entity.id for found, _ in knowledge.match_entities(entity.name, 20)):
            yield f"{entity.id} is a study group and is found as a diagnosis"
    for owner, _ in knowledge.lineages:
        if knowledge.entities[owner].is_group:
            yield f"{owner} is a study group and stands in a lineage"


def _rules(knowledge: Knowledge) -> Iterator[str]:
    for rule in knowledge.rules:
        for marker in {*rule.tests, *rule.markers} - set(knowledge.markers):
            yield f"rule {rule.id} names {marker}, which is no marker"
        for entity in set(rule.entities) - set(knowledge.entities):
            yield f"rule {rule.id} names {entity}, which is no entity"


def card(knowledge: Knowledge) -> str:
    """The data card in Markdown; every number is counted from the tables."""
    rates = knowledge.rates.values()
    sourced = [rate for rate in rates if rate.sourced]
    studies = [study for rate in sourced for study in rate.studies]
    pairs = {
        tuple(sorted((entity.id, other.id)))
        for entity in knowledge.diagnoses
        for other in knowledge.lookalikes(entity.id)
    }
    apart = sum(bool(separating(knowledge, *pair)) for pair in sorted(pairs))
    results = Counter(rate.result for rate in sourced if rate.result != "positive")
    wide = sorted(
        (rate for rate in sourced if (rate.high or 0) - (rate.low or 0) >= DISAGREE),
        key=lambda rate: -((rate.high or 0) - (rate.low or 0)),
    )
    kinds = Counter(marker.kind for marker in knowledge.markers.values())
    lines = [
        "# Knowledge tables",
        "Made by `python -m instruction_data.build_knowledge recipes/knowledge.toml --data DIR --card FILE`; "
        f"version `{knowledge.version}`. For research and teaching; not a medical device.",
        "## What is in them",
        _table(
            ("what", "count"),
            [
                ("diagnoses that may be ranked", len(knowledge.diagnoses)),
                ("study groups and look-alikes, never ranked", len(knowledge.entities) - len(knowledge.diagnoses)),
                ("tests", len(knowledge.markers)),
                *((f"… of kind {kind}", count) for kind, count in kinds.most_common()),
                ("sourced cells (entity, test, result)", len(sourced)),
                ("… with more than one study", sum(len(rate.studies) > 1 for rate in sourced)),
                ("printed figures behind them", len(studies)),
                ("… with counts", sum(study.total is not None for study in studies)),
                ("… as a percentage without group size, or a range", sum(study.total is None for study in studies)),
                ("sources", len(knowledge.sources)),
                (
                    "… whose first author the page seen did not print",
                    sum(not s.author for s in knowledge.sources.values()),
                ),
                ("beliefs without a source", sum(rate.belief is not None for rate in rates)),
                ("beliefs held of a whole lineage, without a source", len(knowledge.lineages)),
                ("rules", len(knowledge.rules)),
                ("… whose source was seen", sum(rule.checked == "source seen" for rule in knowledge.rules)),
                ("pairs of look-alikes", len(pairs)),
                ("… with at least one test whose figures or beliefs differ", apart),
                ("broken rules (see instruction_data/knowledge/checks.py)", len(problems(knowledge))),
            ],
        ),
        "## How they are made",
        "Studies of one cell are pooled into the predictive Beta of what one more laboratory would count: each study "
        "weighs n / (1 + (n − 1) ρ), where ρ is the intra-study correlation (moment estimate, drawn towards that of "
        "all cells), and the spread between studies stays in the Beta. A percentage without its group size counts "
        "as 10 cases, a range as 2, a belief as 2 pseudo-cases. Results other than positive (loss, aberrant, nuclear "
        "…) are cells of their own, are never pooled with positives and carry their word wherever they are shown. "
        "Where an entity has no figure, that of a relative may stand in and is named.",
        "Results other than positive: " + ", ".join(f"{name} {count}" for name, count in results.most_common()) + ".",
        "## Where studies disagree",
        f"{len(wide)} cells differ by {DISAGREE:.0f} points or more between studies; the widest:",
        _table(
            ("entity", "test", "range of studies, %"),
            [
                (
                    knowledge.entities[rate.entity].name,
                    knowledge.markers[rate.marker].name,
                    f"{rate.low:.0f}–{rate.high:.0f}",
                )
                for rate in wide[:20]
            ],
        ),
        "## Limits",
        "- Each figure was typed once, mostly from an abstract; nobody has proof-read it. Open the source before use.\n"
        "- Entity and test texts, beliefs, groups, synonyms and the scope of rules are textbook knowledge in our own "
        "words, unchecked; beliefs are shown as having no source.\n"
        "- Figures of primary tumours are not those of metastases or small biopsies.\n"
        "- Cost classes are an assumption.",
        "## Licence",
        "Facts and our own words, under the project's licence. Names and codes of tumours: OncoTree, cBioPortal / "
        "Memorial Sloan Kettering Cancer Center, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), release "
        "2025-10-03, flattened and joined to our entities.",
    ]
    return "\n\n".join(lines) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
