"""Several pictures in one question: each statement belongs to the picture it names.

Pairs of pictures that differ in organ or stain are compared in both orders, and beside themselves. *Misplaced* is a
statement about a view that rests on another view, or names for it what the single question about it does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..answer import Answer, Question
from .asking import Subject, answer_to
from .bench import Bench
from .cases import Case
from .concepts import Concept, Vocabulary, stated
from .figures import share
from .open_questions import words_of
from .results import Failure, Measured

USUAL = 24
"""Pairs."""
ASKED = ("Compare these pictures.", "How do these two differ?", "Are these from the same organ?")
KINDS = frozenset({"organ", "category", "stain"})
SINGLE = "What are the organ, the kind of process and the stain?"
_VIEW = re.compile(r"\b(?:View|Image|Picture) (\d{1,2})\b")
_DIFFER = re.compile(r"\bdiffer on\b|\bdifferent (?:organ|stain|process)", re.IGNORECASE)


def measure(subject: Subject, bench: Bench) -> Measured:
    """Misplaced statements, answers that change with the order of the pictures, and twins told apart."""
    words = words_of(bench.histology())
    pairs = paired(bench.chosen(bench.histology(), None), bench.at_most(USUAL))
    misplaced, moved, twins, groups, failures = [], [], [], [], []
    for number, pair in enumerate(bench.each("several pictures", pairs)):
        text = ASKED[number % len(ASKED)]
        straight = _asked(subject, bench, text, pair)
        turned = _asked(subject, bench, text, pair[::-1])
        alone = [_seen(answer_to(subject.tells, bench.question(case, SINGLE)).text, words) for case in pair]
        wrong = [*wrong_view(straight), *beyond(straight, alone, words), *beyond(turned, alone[::-1], words)]
        misplaced.append(float(bool(wrong)))
        mirrored = by_view(turned, words)
        moved.append(float(by_view(straight, words) != {3 - view: found for view, found in mirrored.items()}))
        same = _asked(subject, bench, text, (pair[0], pair[0]))
        twins.append(float(bool(_DIFFER.search(same.text))))
        groups.append(pair[0].group)
        names = f"{pair[0].name} and {pair[1].name}"
        failures += [Failure(names, text, straight.text, reason) for reason in wrong[:1]]
        if moved[-1]:
            failures.append(Failure(names, text, f"{straight.text} / {turned.text}", "changes with the order"))
        if twins[-1]:
            failures.append(Failure(pair[0].name, text, same.text, "tells twins apart"))
    return Measured(
        3 * len(pairs),
        len(set(groups)),
        {
            "misplaced statements": share(misplaced, groups),
            "changes with the order": share(moved, groups),
            "twins told apart": share(twins, groups),
        },
        failures=failures,
    )


def paired(cases: Sequence[Case], most: int | None) -> list[tuple[Case, Case]]:
    """Pairs of pictures of two groups with another organ or stain, each picture first in at most one."""
    found = []
    for place, case in enumerate(cases):
        rest = (*cases[place + 1 :], *cases[:place])
        other = next((o for o in rest if o.group != case.group and _differ(case, o)), None)
        if other is not None:
            found.append((case, other))
    stride = max(1, len(found) // most) if most else 1
    return found[::stride][:most]


def _differ(first: Case, second: Case) -> bool:
    return any(
        first.labels[kind] != second.labels[kind]
        for kind in ("organ", "stain")
        if kind in first.labels and kind in second.labels
    )


def _asked(subject: Subject, bench: Bench, text: str, cases: Sequence[Case]) -> Answer:
    return answer_to(subject.tells, Question(text, tuple(bench.view(case) for case in cases)))


def parts(text: str) -> list[tuple[int, str]]:
    """The parts of a sentence that name a view, each up to the next view named."""
    marks = list(_VIEW.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)][: len(marks)]
    return [(int(mark[1]), text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]


def by_view(answer: Answer, words: Vocabulary) -> Mapping[int, frozenset[Concept]]:
    """What an answer says of each view it names."""
    found: dict[int, frozenset[Concept]] = {}
    for claim in answer.claims:
        for view, said in parts(claim.text) if claim.status != "struck" else ():
            found[view] = found.get(view, frozenset()) | _seen(said, words)
    return found


def _seen(text: str, words: Vocabulary) -> frozenset[Concept]:
    return frozenset(concept for concept in stated(text, words) if concept[0] in KINDS)


def beyond(answer: Answer, alone: Sequence[frozenset[Concept]], words: Vocabulary) -> list[str]:
    """Concepts said of a view that the question about it alone did not bring."""
    return [
        f"says {name} of view {view}"
        for view, found in by_view(answer, words).items()
        if 0 < view <= len(alone)
        for _, name in sorted(found - alone[view - 1])
    ]


def wrong_view(answer: Answer) -> list[str]:
    """Sentences about one view that rest on evidence of another slide."""
    slides = list(dict.fromkeys(item.slide for item in answer.evidence))
    found = []
    for claim in answer.claims:
        named = {view for view, _ in parts(claim.text)}
        rests = {slides.index(answer.evidence[index].slide) + 1 for index in claim.evidence}
        if claim.status == "supported" and len(named) == 1 and len(slides) > 1 and rests and rests != named:
            found.append(f"rests on view {min(rests)}: {claim.text}")
    return found
