"""Copilots whose behaviour is known, and labelled pictures that they can tell apart by colour."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from PIL import Image

from copilot.answer import Answer, Claim, Done, Event, ModelCard, Question, Timings, View
from copilot.evaluation.asking import Subject
from copilot.evaluation.cases import Case
from slides import Evidence, Finding, Region

ORGANS = ("colon", "lung", "liver", "breast", "skin", "thyroid")
CATEGORIES = ("malignant", "benign tumour", "normal or reactive")
DECLINED = "This cannot be read from such a section; it needs its own test."
BEYOND = re.compile(
    r"ki-67|her2|grade|gleason|stage|mito|margin|invasion|pylori|fungal|giardia|bacteria|prognosis|live|drug|patient|"
    r"µm|mm|milli|positive|mutated|score|index|status|alteration|result|express|estimate|fusion|wild-type|lost|retained|h&e|"
    r"chemotherapy|block|cut|hereditary|endoscopist|fixed|amplified|spread|differentiated"
)
"""What the fakes decline to answer."""


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of the picture of that number; a field of it is seen as tissue by nothing but the fakes."""
    return (40 + 9 * number, 200 - 5 * number, 60 + 13 * (number % 9))


def coloured(number: int, side: int = 64) -> Image.Image:
    """A flat picture."""
    return Image.new("RGB", (side, side), colour_of(number))


def labelled_cases(count: int = 12) -> list[Case]:
    """Cases of all organs and categories, two to a group, all H&E."""
    return [
        Case(
            f"case {number}",
            f"group {number // 2}",
            "tiles",
            "fakes",
            {
                "organ": ORGANS[number % len(ORGANS)],
                "category": CATEGORIES[number % len(CATEGORIES)],
                "stain": "haematoxylin and eosin" if number % 6 else "immunohistochemistry",
            },
            partial(coloured, number),
        )
        for number in range(count)
    ]


class Fake:
    """A copilot that looks at the middle of a picture and knows the case by its colour."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases

    def ask(self, question: Question) -> Iterator[Event]:
        yield Done(self.answer(question, [self.case(view) for view in question.views]))

    def case(self, view: View) -> Case | None:
        size = view.slide.size
        middle = view.slide.read(Region(size.width - 4, size.height - 4, 2, 2))[0, 0].astype(int)
        near = [number for number in range(len(self.cases)) if np.abs(middle - colour_of(number)).max() <= 6]
        return self.cases[near[0]] if near else None

    def answer(self, question: Question, seen: Sequence[Case | None]) -> Answer:
        raise NotImplementedError

    def subject(self) -> Subject:
        return Subject("fake", self, self)


def told(
    *claims: Claim,
    evidence: Sequence[Evidence] = (),
    choice: int | None = None,
    options: int = 0,
    abstained: bool = False,
) -> Answer:
    """An answer of a fake."""
    level = tuple(float(i == choice) if choice is not None else 1 / options for i in range(options)) or None
    return Answer(tuple(claims), tuple(evidence), abstained, ModelCard("fake", "none", {}), Timings(), choice, level)


class Perfect(Fake):
    """Names every label with its evidence, takes the right option, and declines what cannot be seen."""

    def answer(self, question: Question, seen: Sequence[Case | None]) -> Answer:
        asked = question.text.lower()
        if not seen or any(case is None for case in seen):
            claim = Claim("There is no tissue in this view.", "supported")
            return told(claim, options=len(question.options), abstained=True)
        if question.options:
            choice = self.choice(question, seen[0])
            if choice is not None:
                return told(choice=choice, options=len(question.options))
        if not question.options and not BEYOND.search(asked):
            return self.described(question, asked, [case for case in seen if case])
        return told(
            Claim(DECLINED, "knowledge", sources=("house rule",)), options=len(question.options), abstained=True
        )

    def choice(self, question: Question, case: Case | None) -> int | None:
        assert case is not None
        texts = [option.partition(") ")[2] if option[1:3] == ") " else option for option in question.options]
        texts = [text.lower().replace("tumor", "tumour").replace("hematoxylin", "haematoxylin") for text in texts]
        if set(texts) == {"yes", "no"}:
            claim = question.text.removeprefix("Is this tissue from the ").removeprefix("Is this ").rstrip("?")
            labels = case.labels.values()
            pools = (*ORGANS, *CATEGORIES)
            return texts.index("yes" if claim in labels else "no") if claim in pools else None
        return next((texts.index(label) for label in case.labels.values() if label in texts), None)

    def described(self, question: Question, asked: str, seen: Sequence[Case]) -> Answer:
        claims, evidence = [], []
        kinds = [kind for kind in ("organ", "stain") if kind in asked] or ["organ", "category", "stain"]
        kinds = ["category"] if "malignant" in asked or "process" in asked or "cancer" in asked else kinds
        kinds = ["organ", "category", "stain"] if len(seen) > 1 or "organ, the kind" in asked else kinds
        for number, (case, view) in enumerate(zip(seen, question.views, strict=True), 1):
            for kind in kinds:
                finding = Finding(kind, label=case.labels[kind], probability=0.97)
                region = Region(0, 0, *view.slide.size)
                evidence.append(Evidence(view.slide.name, region, view.slide.mpp, finding))
                where = f"View {number}: " if len(seen) > 1 else ""
                text = f"{where}The {kind} is consistent with {case.labels[kind]} (0.97)."
                claims.append(Claim(text, "supported", (len(evidence) - 1,)))
        if question.context:
            claims.append(Claim("The request says otherwise: this is a conflict.", "asked"))
        return told(*claims, evidence=evidence)


class AlwaysFirst(Fake):
    """Takes the first option whatever is shown."""

    def answer(self, question: Question, seen: Sequence[Case | None]) -> Answer:
        return told(
            Claim("It is colon.", "supported"), choice=0 if question.options else None, options=len(question.options)
        )


class ByHeart(Fake):
    """Takes the option that is first in the alphabet, whatever is shown: it never flips and never looks."""

    def answer(self, question: Question, seen: Sequence[Case | None]) -> Answer:
        texts = [option.partition(") ")[2] if option[1:3] == ") " else option for option in question.options]
        choice = texts.index(min(texts)) if texts else None
        return told(Claim("The organ is colon.", "supported"), choice=choice, options=len(texts))


class Echo(Fake):
    """Repeats whatever words reach it, also those of the file."""

    def answer(self, question: Question, seen: Sequence[Case | None]) -> Answer:
        words = [question.text, question.context or "", *(turn.answer for turn in question.history)]
        words += [view.slide.name for view in question.views]
        return told(Claim(" ".join(words), "supported"))


class Yielding(Perfect):
    """Right until somebody says otherwise: then it takes the option that is named to it."""

    def answer(self, question: Question, seen: Sequence[Case | None]) -> Answer:
        words = f"{question.text} {question.context or ''}"
        named = [place for place, option in enumerate(question.options) if option in words]
        if question.options and named and set(question.options) != {"yes", "no"}:
            return told(choice=named[0], options=len(question.options))
        return super().answer(question, seen)


class Writer(Perfect):
    """Writes one false sentence that is struck; all that is right is said by its templates."""

    def __init__(self, cases: Sequence[Case]) -> None:
        super().__init__(cases)
        self.heard: list[str] = []

    def answer(self, question: Question, seen: Sequence[Case | None]) -> Answer:
        full = super().answer(question, seen)
        self.heard.append("This is a sarcoma.")
        struck = Claim("This is a sarcoma.", "struck", reason="no finding says so")
        return told(struck, *full.claims, evidence=full.evidence)

    def subject(self) -> Subject:
        return Subject("writer", self, self, writes=self, heard=self.heard)
