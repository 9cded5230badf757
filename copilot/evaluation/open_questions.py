"""Open questions scored by concepts: F1 of those named, those named wrongly, and what says nothing.

A question about one label expects that concept; a description expects every label the picture carries. An answer
is counted in two ways: with likenesses ("looks most like colon"), and only with what it states outright. A
contradiction is a concept stated outright that the labels exclude.

What a language model leaves out of a free answer is said by the templates, so F1 of whole answers hardly depends on
the model. Its own part is therefore counted too: all that it wrote, and what of that stands after the check.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..answer import Answer, Question
from ..sentences import split_sentences
from .asking import Subject, answer_to
from .bench import Bench
from .cases import AXES, Case
from .concepts import Concept, Mood, Vocabulary, contradictions, stated, truth_of, vocabulary
from .figures import Figure, ratio, share
from .results import Failure, Measured

USUAL, FREE = 80, 40
"""Pictures, each asked twice; those of them that the language model writes about in its own words."""
ASKED: dict[str, tuple[str, ...]] = {
    "organ": ("Which organ is this tissue from?",),
    "category": ("What kind of process is this?", "Is this malignant?"),
    "tissue": ("What tissue is shown here?",),
    "disease": ("What is the diagnosis?",),
    "stain": ("Which stain was used?",),
}
DESCRIBE = ("What is this?", "Describe this picture.", "What do you see here?")


@dataclass(frozen=True, slots=True)
class Open:
    """An open question about a case and the kinds of concepts it expects."""

    case: Case
    text: str
    kinds: tuple[str, ...]

    @property
    def truth(self) -> frozenset[Concept]:
        """The concepts a full answer names."""
        return truth_of(self.case.labels, self.kinds)


@dataclass(frozen=True, slots=True)
class Heard:
    """An open question, the concepts read from its answer, and the answer (None for a baseline without one)."""

    asked: Open
    said: Mapping[Concept, Mood]
    answer: Answer | None = None

    def counts(self, *, outright: bool) -> tuple[float, float]:
        """Twice the hits, and hits, misses and wrong ones together: their ratio is F1."""
        named = {c for c, mood in self.said.items() if c[0] in self.asked.kinds and not (outright and mood != "stated")}
        hits = len(named & self.asked.truth)
        return 2.0 * hits, float(len(named) + len(self.asked.truth))


def questions(cases: Sequence[Case], seed: int = 0) -> list[Open]:
    """A description and one label of each case."""
    asked = []
    for case in cases:
        kinds = tuple(axis for axis in AXES if axis in case.labels)
        if not kinds:
            continue
        rng = random.Random(f"open {seed} {case.name}")
        one = rng.choice(kinds)
        asked += [Open(case, rng.choice(DESCRIBE), kinds), Open(case, rng.choice(ASKED[one]), (one,))]
    return asked


def words_of(cases: Sequence[Case]) -> Vocabulary:
    """The vocabulary with every diagnosis of the cases."""
    return vocabulary(case.labels["disease"] for case in cases if "disease" in case.labels)


def measure(subject: Subject, bench: Bench) -> Measured:
    """Concept F1, contradictions and empty answers, beside the most frequent concepts and the language model alone."""
    words = words_of(bench.histology())
    asked = questions(bench.chosen(bench.histology(), USUAL, seed=1))
    rows = []
    for one in bench.each("open questions", asked):
        answer = answer_to(subject.asks, bench.question(one.case, one.text))
        rows.append(Heard(one, stated(answer.text, words), answer))
    groups = [one.case.group for one in asked]
    own, samples = own_words(subject, bench, asked, words)
    against = [contradictions(row.said, row.asked.case.labels) for row in rows]
    figures = {
        "concept F1": f1(rows, groups, outright=False),
        "concept F1, outright": f1(rows, groups, outright=True),
        "answers that contradict": share([float(bool(wrong)) for wrong in against], groups),
        "answers that name nothing": share([float(not row.said) for row in rows], groups),
        **own,
    }
    return Measured(
        len(rows),
        len(set(groups)),
        figures,
        _baselines(subject, asked, words, groups),
        [
            Failure(row.asked.case.name, row.asked.text, row.answer.text, f"contradicts: {wrong}")
            for row, wrong in zip(rows, against, strict=True)
            if wrong and row.answer
        ],
        {"samples": [_sample(row.asked, row.answer) for row in sampled(rows) if row.answer], "own": samples},
    )


def own_words(
    subject: Subject, bench: Bench, asked: Sequence[Open], words: Vocabulary
) -> tuple[dict[str, Figure], list[dict[str, str]]]:
    """Concept F1 of what the language model wrote itself, before the check and after it, without any template.

    Also the first of these texts as they were written. Nothing where the subject does not write.
    """
    if subject.writes is None:
        return {}, []
    most = bench.at_most(2 * FREE) or 2 * FREE
    before, after, samples = list[Heard](), list[Heard](), list[dict[str, str]]()
    for one in bench.each("open questions, own words", asked[:most]):
        first = len(subject.heard)
        answer = answer_to(subject.writes, bench.question(one.case, one.text))
        texts = subject.heard[first:] or [""]
        written = {sentence for text in texts for sentence in split_sentences([text])}
        stands = [claim.text for claim in answer.claims if claim.status != "struck" and claim.text in written]
        before.append(Heard(one, stated(texts[0], words)))
        after.append(Heard(one, stated(" ".join(stands), words)))
        samples.append({"question": one.text, "picture": one.case.name, "written": texts[0]})
    groups = [one.case.group for one in asked[:most]]
    figures = {
        "own words, before the check: concept F1": f1(before, groups, outright=False),
        "own words that stand: concept F1": f1(after, groups, outright=False),
        "own words that stand: name nothing": share([float(not row.said) for row in after], groups),
    }
    return figures, samples[:SAMPLES]


def f1(rows: Sequence[Heard], groups: Sequence[str], *, outright: bool) -> Figure:
    """F1 over all concepts of all answers together."""
    above, below = zip(*(row.counts(outright=outright) for row in rows), strict=True) if rows else ((), ())
    return ratio(above, below, groups)


def _baselines(subject: Subject, asked: Sequence[Open], words: Vocabulary, groups: Sequence[str]) -> dict[str, Figure]:
    counts: dict[str, Counter[Concept]] = defaultdict(Counter)
    for one in asked:
        for concept in one.truth:
            counts[concept[0]][concept] += 1
    usual = {kind: max(found, key=lambda c: (found[c], c)) for kind, found in counts.items()}
    rows = [Heard(one, {usual[kind]: "stated" for kind in one.kinds if kind in usual}) for one in asked]
    found = {"most frequent concepts": f1(rows, groups, outright=True)}
    if subject.blind is not None:
        told = {text: answer_to(subject.blind, Question(text)).text for text in {one.text: None for one in asked}}
        rows = [Heard(one, stated(told[one.text], words)) for one in asked]
        found["text only"] = f1(rows, groups, outright=False)
    return found


SAMPLES = 20


def sampled(rows: Sequence[Heard]) -> list[Heard]:
    """Twenty answers, drawn by a fixed seed from as many pictures as there are."""
    first = {row.asked.case.name: row for row in random.Random(7).sample(list(rows), len(rows))}
    return sorted(list(first.values())[:SAMPLES], key=lambda row: row.asked.case.name)


def _sample(asked: Open, answer: Answer) -> dict[str, object]:
    return {
        "picture": asked.case.name,
        "question": asked.text,
        "labels": dict(asked.case.labels),
        "answer": answer.text,
        "struck": [claim.text for claim in answer.claims if claim.status == "struck"],
    }
