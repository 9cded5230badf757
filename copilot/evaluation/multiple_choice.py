"""Multiple choice on held-out pictures in cyclic option orders: accuracy, flips, abstention, calibration.

A question offers up to five options, the labels of other pictures among them. It is asked once for each cyclic
shift of its options, every second time with letters in front; a question flips when not all of them are answered
alike. Leaving all options open counts as wrong in the accuracy, and apart in `abstained`.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slides import Finding

from ..answer import Answer, Question
from ..choose import classes_of
from ..meaning import meaning
from .asking import Subject, answer_to
from .bench import Bench
from .cases import AXES, Case, spread_over_groups
from .figures import (
    NOTHING,
    Figure,
    area_under_risk,
    calibration_error,
    coverage_at,
    difference,
    risk_coverage,
    share,
)
from .results import Failure, Measured

MOST_OPTIONS = 5
WORDINGS: Mapping[str, tuple[str, ...]] = {
    "organ": ("Which organ is this tissue from?", "From what site does this specimen come?"),
    "category": ("What kind of process is shown?", "How would you classify the lesion?"),
    "tissue": ("Which tissue is shown?", "What does this field mostly consist of?"),
    "disease": ("What is the most likely diagnosis?", "Which of these fits best?"),
    "stain": ("Which stain is this?", "How was this slide stained?"),
}
LETTERS = "ABCDE"
BLIND = 150
"""Questions that the language model is asked without a picture: each is a prompt of its own to read."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question about a case; `right` is the place of the right option; `claim` is what a yes would say."""

    case: Case
    axis: str
    text: str
    options: tuple[str, ...]
    right: int
    claim: str = ""

    @property
    def answer(self) -> str:
        """The right option."""
        return self.options[self.right]


@dataclass(frozen=True, slots=True)
class Taken:
    """The options taken in each order (None where none was), and the probability said for it in the first order."""

    item: Item
    options: tuple[str | None, ...]
    said: float
    answer: Answer

    @property
    def first(self) -> str | None:
        """The option taken in the order as written."""
        return self.options[0]

    @property
    def right(self) -> float:
        """Share of the orders in which the right option was taken."""
        return sum(option == self.item.answer for option in self.options) / len(self.options)

    @property
    def flips(self) -> bool:
        """True where not every order got the same answer."""
        return len(set(self.options)) > 1


def questions(cases: Sequence[Case], seed: int = 0) -> Iterator[Item]:
    """Each label a case carries as a question, and yes or no about organ and category; the same for a seed.

    Another diagnosis of the same organ and category may be right as well, so it is no wrong option.
    """
    pools = {axis: sorted({c.labels[axis] for c in cases if axis in c.labels}) for axis in AXES}
    kin: dict[str, set[tuple[str | None, str | None]]] = defaultdict(set)
    for case in cases:
        if "disease" in case.labels:
            kin[case.labels["disease"]].add((case.labels.get("organ"), case.labels.get("category")))
    for case in cases:
        rng = random.Random(f"{seed} {case.name}")
        own = (case.labels.get("organ"), case.labels.get("category"))
        for axis, label in case.labels.items():
            others = [o for o in pools[axis] if o != label and not (axis == "disease" and own in kin[o])]
            if not others:
                continue
            options = [label, *rng.sample(others, min(MOST_OPTIONS - 1, len(others)))]
            rng.shuffle(options)
            yield Item(case, axis, rng.choice(WORDINGS[axis]), tuple(options), options.index(label))
            if axis in ("organ", "category"):
                claim = label if rng.random() < 0.5 else rng.choice(others)
                text = f"Is this tissue from the {claim}?" if axis == "organ" else f"Is this {claim}?"
                yield Item(case, f"{axis} yes/no", text, ("yes", "no"), int(claim != label), claim)


def chosen_items(bench: Bench, usual: int | None) -> list[Item]:
    """Questions about the held-out histology, at most as many, taken from the groups in turn, picture by picture."""
    items = list(questions(bench.histology()))
    return spread_over_groups(items, lambda item: item.case.group, bench.at_most(usual))


def orders(options: Sequence[str]) -> list[tuple[tuple[str, ...], int]]:
    """Every cyclic shift of the options, every second one with letters, each with how far it is shifted."""
    turned = []
    for shift in range(len(options)):
        row = (*options[shift:], *options[:shift])
        lettered = tuple(f"{LETTERS[i]}) {option}" for i, option in enumerate(row))
        turned.append((lettered if shift % 2 else row, shift))
    return turned


def taken(subject: Subject, item: Item, question: Question) -> Taken:
    """The options that a subject takes in every cyclic order of a question."""
    found: list[str | None] = []
    first: Answer | None = None
    for options, shift in orders(item.options):
        answer = answer_to(
            subject.chooses, Question(question.text, question.views, question.context, options, question.history)
        )
        place = None if answer.choice is None else (answer.choice + shift) % len(options)
        found.append(None if place is None else item.options[place])
        first = first or answer
    assert first is not None
    return Taken(item, tuple(found), _said(first), first)


def once(subject: Subject, item: Item, question: Question) -> Taken:
    """The option that a subject takes in the order as written."""
    answer = answer_to(
        subject.chooses, Question(question.text, question.views, question.context, item.options, question.history)
    )
    return Taken(item, (None if answer.choice is None else item.options[answer.choice],), _said(answer), answer)


def _said(answer: Answer) -> float:
    """The probability of the option taken; 0 where none was, or where none was said."""
    if answer.choice is None or not answer.option_probabilities:
        return 0.0
    return answer.option_probabilities[answer.choice]


def measure(subject: Subject, bench: Bench) -> Measured:
    """Accuracy, flips, abstention and calibration, beside the majority, the heads and the language model alone."""
    items = chosen_items(bench, None)
    rows = [taken(subject, item, bench.question(item.case, item.text)) for item in bench.each("multiple choice", items)]
    groups = [row.item.case.group for row in rows]
    told = [row for row in rows if row.first is not None]
    correct = [row.first == row.item.answer for row in told]
    curve = risk_coverage([row.said for row in told], correct)
    reach = len(told) / max(len(rows), 1)
    figures = {
        "accuracy": share([row.right for row in rows], groups),
        "accuracy of answered": share([float(c) for c in correct], [row.item.case.group for row in told]),
        "abstained": share([float(row.first is None) for row in rows], groups),
        "flips over orders": share([float(row.flips) for row in rows], groups),
        "calibration error": calibration_error([row.said for row in told], correct, [r.item.case.group for r in told]),
    }
    return Measured(
        len(rows),
        len(set(groups)),
        figures,
        baselines(subject, rows),
        [Failure(row.item.case.name, _asked(row.item), str(row.options), "flips") for row in rows if row.flips],
        {
            "by axis": by_axis(rows),
            "risk and coverage": {
                "area under risk": area_under_risk(curve),
                "coverage at 5 % wrong": coverage_at(curve, 0.05) * reach,
                "coverage at 10 % wrong": coverage_at(curve, 0.10) * reach,
                "coverage at 20 % wrong": coverage_at(curve, 0.20) * reach,
            },
            "letters taken": dict(Counter(LETTERS[row.item.options.index(row.first)] for row in told if row.first)),
        },
    )


def _asked(item: Item) -> str:
    return f"{item.text} {' | '.join(item.options)}"


def baselines(subject: Subject, rows: Sequence[Taken]) -> dict[str, Figure]:
    """The best constant answer, chance, the heads by themselves, and the language model without a picture."""
    groups = [row.item.case.group for row in rows]
    heads = [heads_take(row.answer, row.item) for row in rows]
    forced = [float(best == row.item.answer) for (best, _), row in zip(heads, rows, strict=True)]
    own = [float(stands and best == row.item.answer) for (best, stands), row in zip(heads, rows, strict=True)]
    found = {
        "majority": share(majority([row.item for row in rows]), groups),
        "chance": share([1 / len(row.item.options) for row in rows], groups),
        "heads, abstaining as they do": share(own, groups),
        "heads, made to answer": share(forced, groups),
        "copilot less abstaining heads": difference([row.right for row in rows], own, groups) if rows else NOTHING,
    }
    if subject.blind is not None:
        few = spread_over_groups([row.item for row in rows], lambda item: item.case.group, BLIND)
        blind = [answer_to(subject.blind, Question(item.text, options=item.options)) for item in few]
        hits = [float(answer.choice == item.right) for answer, item in zip(blind, few, strict=True)]
        found["text only"] = share(hits, [item.case.group for item in few])
    return found


def majority(items: Sequence[Item]) -> list[float]:
    """1 where always naming the option that is right most often on this axis would be right, else 0."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        counts[item.axis][item.answer] += 1
    return [float(max(item.options, key=lambda o: (counts[item.axis][o], o)) == item.answer) for item in items]


def heads_take(answer: Answer, item: Item) -> tuple[str | None, bool]:
    """The option that the heads alone find most probable, and whether the head that says so stands (no abstention).

    None where no head speaks of the axis, or where it tells none of the options apart.
    """
    kind = item.axis.partition(" ")[0]
    findings = [f for f in answer.findings if f.name.partition(" ")[0] == kind and f.distribution]
    for finding in sorted(findings, key=lambda f: f.abstained):
        if item.claim:
            p = _chance(finding, item.claim, kind)
            return ("yes" if p >= 0.5 else "no"), not finding.abstained
        chances = [_chance(finding, option, kind) for option in item.options]
        if max(chances) > min(chances):
            return item.options[chances.index(max(chances))], not finding.abstained
    return None, False


def _chance(finding: Finding, option: str, kind: str) -> float:
    """The probability of the classes that an option names."""
    spread = dict(finding.distribution)
    return sum(spread[label] for label, weight in classes_of(meaning(option), kind, tuple(spread)).items() if weight)


def by_axis(rows: Sequence[Taken]) -> dict[str, Any]:
    """Accuracy, share right of those answered, abstention and the majority, by axis and kind of picture."""
    found: dict[str, Any] = {}
    for key in sorted({(row.item.axis, row.item.case.kind) for row in rows}):
        part = [row for row in rows if (row.item.axis, row.item.case.kind) == key]
        told = [row for row in part if row.first is not None]
        found[f"{key[0]}, {key[1]}"] = {
            "questions": len(part),
            "accuracy": sum(row.right for row in part) / len(part),
            "of answered": sum(row.first == row.item.answer for row in told) / len(told) if told else None,
            "abstained": 1 - len(told) / len(part),
            "majority": sum(majority([row.item for row in part])) / len(part),
        }
    return found
