"""The same case at several magnifications: the answers agree, or are left open.

Slides of held-out cases are asked at downsample 1, 2, 4 and 16 of their source, with the same options. Two
magnifications that give different options *disagree*; one that is left open does not.
"""

from __future__ import annotations

from collections import defaultdict

from .asking import Subject
from .bench import Bench
from .cases import Case
from .figures import share
from .multiple_choice import Item, Taken, once, questions
from .results import Failure, Measured

AXES = ("organ", "category", "stain")


def measure(subject: Subject, bench: Bench) -> Measured:
    """Accuracy and open answers by downsample, and cases of which two magnifications disagree."""
    series: dict[str, list[Case]] = defaultdict(list)
    for case in bench.cases:
        if case.kind == "cases":
            series[case.name.partition("@")[0]].append(case)
    several = [sorted(found, key=lambda c: c.downsample) for found in series.values() if len(found) > 1]
    finest = [found[0] for found in several]
    kept = {case.name for case in bench.chosen(finest, len(finest))}
    items = [item for item in questions(finest) if item.axis in AXES and item.case.name in kept]
    rows: dict[int, list[Taken]] = defaultdict(list)
    disagree, groups, failures = [], [], []
    for item in bench.each("magnifications", items):
        answers = {case.downsample: _asked(subject, bench, item, case) for case in series[item.case.name]}
        for downsample, row in answers.items():
            rows[downsample].append(row)
        options = {row.first for row in answers.values() if row.first is not None}
        disagree.append(float(len(options) > 1))
        groups.append(item.case.group)
        if len(options) > 1:
            told = ", ".join(f"{d}: {row.first}" for d, row in answers.items())
            failures.append(Failure(item.case.name, item.text, told, "magnifications disagree"))
    figures = {"magnifications disagree": share(disagree, groups)}
    for downsample, found in sorted(rows.items()):
        where = [row.item.case.group for row in found]
        figures[f"accuracy, 1/{downsample}"] = share([row.right for row in found], where)
        figures[f"left open, 1/{downsample}"] = share([float(row.first is None) for row in found], where)
    return Measured(sum(map(len, rows.values())), len(set(groups)), figures, failures=failures)


def _asked(subject: Subject, bench: Bench, item: Item, case: Case) -> Taken:
    return once(subject, item, bench.question(case, item.text, options=item.options))
