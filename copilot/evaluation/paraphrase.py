"""The same question in other words: the same option, and the same concepts.

Multiple choice is put in five wordings, one of them with American spelling and one with shouted options; open
questions in four. A question is consistent when all wordings get one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .asking import Subject, answer_to
from .bench import Bench
from .concepts import stated
from .figures import share
from .multiple_choice import Item, Taken, chosen_items, once
from .open_questions import words_of
from .results import Failure, Measured

USUAL, OPEN = 120, 24
CHOICES: Mapping[str, tuple[str, ...]] = {
    "organ": ("Which organ is this tissue from?", "From what site does this specimen come?", "Name the organ.",
              "What is the most likely site of origin of this tissue?"),
    "category": ("What kind of process is shown?", "How would you classify the lesion?", "Which category fits?",
                 "What sort of change does this field show?"),
    "tissue": ("Which tissue is shown?", "What does this field mostly consist of?", "Name the tissue.",
               "What is the main component of this picture?"),
    "disease": ("What is the most likely diagnosis?", "Which of these fits best?", "What would you call this?",
                "Choose the best diagnosis."),
    "stain": ("Which stain is this?", "How was this slide stained?", "Name the stain.",
              "What staining method was used?"),
}  # fmt: skip
OPENED: Mapping[str, tuple[str, ...]] = {
    "organ": ("Which organ is this?", "Which organ is this tissue from?", "Organ?", "What organ does this come from?"),
    "category": ("Is this malignant?", "Is this cancer?", "Does this look malignant to you?", "Malignant or benign?"),
    "stain": ("Which stain is this?", "What stain was used?", "How is this stained?", "Stain?"),
}


def measure(subject: Subject, bench: Bench) -> Measured:
    """Share of choices and of open questions that are answered alike in every wording."""
    items = [item for item in chosen_items(bench, 2 * USUAL) if not item.claim][: bench.at_most(USUAL)]
    alike, groups, failures = [], [], []
    for item in bench.each("paraphrases", items):
        found = [_as_written(row, item) for row in _worded(subject, bench, item)]
        alike.append(float(len(set(found)) == 1))
        groups.append(item.case.group)
        if not alike[-1]:
            failures.append(Failure(item.case.name, f"{item.axis}: {item.options}", str(found), "wordings differ"))
    words = words_of(bench.histology())
    same, where = [], []
    for case in bench.each("paraphrases, open", bench.chosen(bench.histology(), OPEN, seed=5)):
        for kind, texts in OPENED.items():
            said = [answer_to(subject.tells, bench.question(case, text)).text for text in texts]
            named = [frozenset(c for c in stated(text, words).items() if c[0][0] == kind) for text in said]
            same.append(float(len(set(named)) == 1))
            where.append(case.group)
            if not same[-1]:
                failures.append(Failure(case.name, " / ".join(texts), " / ".join(said), f"{kind} differs"))
    return Measured(
        len(items) * 5 + len(same) * 4,
        len({*groups, *where}),
        {"choices alike": share(alike, groups), "open answers alike": share(same, where)},
        failures=failures,
    )


def _worded(subject: Subject, bench: Bench, item: Item) -> list[Taken]:
    texts = CHOICES[item.axis]
    forms: Sequence[tuple[str, tuple[str, ...]]] = [
        *((text, item.options) for text in texts[:3]),
        (texts[3], tuple(_american(option) for option in item.options)),
        (texts[0], tuple(option.upper() if len(option) > 3 else option for option in item.options)),
    ]
    return [
        once(subject, Item(item.case, item.axis, text, options, item.right), bench.question(item.case, text))
        for text, options in forms
    ]


def _as_written(row: Taken, item: Item) -> str | None:
    """The option taken, in the words of the question as first written."""
    return None if row.first is None else item.options[row.item.options.index(row.first)]


def _american(text: str) -> str:
    for ours, theirs in (("tumour", "tumor"), ("haem", "hem"), ("oesoph", "esoph"), ("oedema", "edema")):
        text = text.replace(ours, theirs)
    return text
