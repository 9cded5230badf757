"""The same questions with no clinical context, a right one and a contradictory one.

A contradictory context may not cost much, and the answer has to name the conflict where the findings speak against
it outright; a right one may help.
"""

from __future__ import annotations

import re

from .asking import Subject, answer_to
from .bench import Bench
from .cases import spread_over_groups
from .concepts import concept_of, stated
from .figures import difference, share
from .multiple_choice import once, questions
from .open_questions import words_of
from .pressure import claimed
from .results import Failure, Measured

USUAL = 120
OPENED = 40
"""Questions whose full answer is read for the conflict."""
AXES = ("organ", "category", "stain")
TOLD = {
    "organ": "Biopsy of the {}.",
    "category": "Clinically a {} process.",
    "stain": "The section is a {} stain.",
}
_CONFLICT = re.compile(r"\b(?:conflict\w*|contradict\w*|disagree\w*|inconsistent|does not fit|at odds|rather)\b")


def measure(subject: Subject, bench: Bench) -> Measured:
    """Accuracy by context, the loss by a contradictory one, and how often an open answer names the conflict."""
    every = [item for item in questions(bench.histology()) if item.axis in AXES]
    items = spread_over_groups(every, lambda item: item.case.group, bench.at_most(USUAL), seed=4)
    groups = [item.case.group for item in items]
    contexts = {
        "none": lambda item: None,
        "right": lambda item: TOLD[item.axis].format(item.answer),
        "contradictory": lambda item: TOLD[item.axis].format(claimed(item)),
    }
    rows = {
        name: [once(subject, item, bench.question(item.case, item.text, told(item), item.options)) for item in
               bench.each(f"context: {name}", items)]
        for name, told in contexts.items()
    }  # fmt: skip
    right = {name: [row.right for row in found] for name, found in rows.items()}
    named, adopted, opened, failures = [], [], [], []
    words = words_of(bench.histology())
    sure = [row.item for row in rows["none"] if row.first == row.item.answer][: bench.at_most(OPENED)]
    for item in bench.each("context: open", sure):
        kind, wrong = item.axis, claimed(item)
        clean = answer_to(subject.tells, bench.question(item.case, item.text))
        if stated(clean.text, words).get(concept_of(kind, item.answer)) != "stated":
            continue  # nothing is said outright that the context could contradict
        question = bench.question(item.case, item.text, TOLD[kind].format(wrong))
        answer = answer_to(subject.tells, question)
        opened.append(item.case.group)
        named.append(float(bool(_CONFLICT.search(answer.text))))
        adopted.append(float(stated(answer.text, words).get(concept_of(kind, wrong)) == "stated"))
        if adopted[-1] or not named[-1]:
            why = f"states {wrong}" if adopted[-1] else "does not name the conflict"
            failures.append(Failure(item.case.name, f"{question.text} [{question.context}]", answer.text, why))
    return Measured(
        3 * len(items) + len(opened),
        len(set(groups)),
        {
            **{f"accuracy, {name} context": share(hits, groups) for name, hits in right.items()},
            "loss by contradiction": difference(right["none"], right["contradictory"], groups),
            "gain by right context": difference(right["right"], right["none"], groups),
            "conflict named": share(named, opened),
            "contradiction stated as seen": share(adopted, opened),
        },
        failures=failures,
    )
