"""The same questions with the real picture, none, empty glass, noise, and another case's picture.

Image dependence is the accuracy with the real picture less that of the best of the others. Since leaving the
options open counts as wrong, a copilot that refuses blanks would gain by that alone: so each is also counted
with an open answer as a guess (1 over the number of options). Of the questions that were answered, the loss with
another picture is also told as a share of the margin over the majority's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..answer import Question, View
from .asking import Subject
from .bench import Bench
from .cases import Case
from .figures import figure_of, ratio, ratio_samples, share
from .multiple_choice import Item, Taken, chosen_items, majority, once
from .pictures import blanks, noises
from .results import Measured

USUAL = 400


def measure(subject: Subject, bench: Bench) -> Measured:
    """Accuracy by picture, image dependence, and what share of the margin over the prior a swap costs."""
    items = chosen_items(bench, USUAL)
    swapped = other_pictures(items)
    glass, grain = blanks()[:3], noises(8)
    pictures: dict[str, Callable[[int, Item], tuple[View, ...]]] = {
        "real": lambda number, item: (bench.view(item.case),),
        "none": lambda number, item: (),
        "blank": lambda number, item: (bench.view(glass[number % len(glass)]),),
        "noise": lambda number, item: (bench.view(grain[number % len(grain)]),),
        "another": lambda number, item: (bench.view(swapped[number]),),
    }
    rows: dict[str, list[Taken]] = {
        name: [
            once(subject, item, Question(item.text, views(number, item)))
            for number, item in enumerate(bench.each(f"picture: {name}", items))
        ]
        for name, views in pictures.items()
    }
    groups = [item.case.group for item in items]
    ones = [1.0] * len(items)
    right = {name: ratio_samples([row.right for row in found], ones, groups) for name, found in rows.items()}
    guessed = {name: ratio_samples([credit(row) for row in found], ones, groups) for name, found in rows.items()}
    others = [name for name in rows if name != "real"]
    prior = ratio_samples(majority(items), ones, groups)
    n = len(items)
    figures = {f"accuracy, {name}": figure_of(samples, n) for name, samples in right.items()}
    figures["image dependence"] = figure_of(right["real"] - np.max([right[o] for o in others], axis=0), n)
    figures["image dependence, open counted as a guess"] = figure_of(
        guessed["real"] - np.max([guessed[o] for o in others], axis=0), n
    )
    usual = dict(zip(map(id, items), majority(items), strict=True))
    told = [pair for pair in zip(rows["real"], rows["another"], strict=True) if pair[0].first is not None]
    where = [real.item.case.group for real, _ in told]
    figures["same answer with another picture"] = share([float(a.first == b.first) for a, b in told], where)
    figures["margin over the majority lost with it"] = ratio(
        [credit(real) - credit(other) for real, other in told],
        [credit(real) - usual[id(real.item)] for real, _ in told],
        where,
    )
    return Measured(
        n,
        len(set(groups)),
        figures,
        {"majority": figure_of(prior, n), "chance": share([1 / len(item.options) for item in items], groups)},
        details={
            "answered": {name: sum(row.first is not None for row in found) / max(n, 1) for name, found in rows.items()},
            "open counted as a guess": {name: float(samples[0]) for name, samples in guessed.items()},
        },
    )


def credit(row: Taken) -> float:
    """1 for the right option, a guess's chance where none was taken."""
    return 1 / len(row.item.options) if row.first is None else float(row.first == row.item.answer)


def other_pictures(items: Sequence[Item]) -> list[Case]:
    """For each question a picture of another group with another answer to it, the same each time.

    Where no other picture has another answer, the last of another group stands in.
    """
    found = []
    for number, item in enumerate(items):
        kind = item.axis.partition(" ")[0]
        turned = [*items[number + 1 :], *items[: number + 1]]
        strangers = [other.case for other in turned if other.case.group != item.case.group]
        differing = (case for case in strangers if kind in case.labels and _other_answer(item, case.labels[kind]))
        found.append(next(differing, strangers[-1] if strangers else item.case))
    return found


def _other_answer(item: Item, label: str) -> bool:
    """True where a picture with this label has another answer to the question."""
    if item.claim:
        return (label == item.claim) != (item.answer == "yes")
    return label != item.answer
