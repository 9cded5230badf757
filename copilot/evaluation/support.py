"""Supported statements: what is shown is read again by a second auditor, and what is written freely is counted.

*Shown* is the share of shown sentences that a reader who does not know the checker finds borne out: each figure
prints a number of the evidence the sentence cites, each concept is a class of that evidence, a sentence of knowledge
names its source, and nothing unlawful stands in it. *Written freely* is the share of sentences that pass the
copilot's checker of those that its language model wrote in its own words, before any was struck.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from slides import Evidence

from ..answer import Answer, Claim
from ..sentences import split_sentences
from .asking import Subject, answer_to
from .bench import Bench
from .cases import Case
from .concepts import Vocabulary, concept_of, stated
from .figures import share
from .legality import pictures
from .open_questions import words_of
from .results import Failure, Measured
from .unlawful import violations

USUAL, FREE = 60, 24
ASKED = (
    "What is this?", "Describe this picture.", "Which organ is this tissue from?", "Is this malignant?",
    "How cellular is this?", "How large are the nuclei?", "What should I order next?", "Which stain is this?",
    "What is the differential diagnosis?", "How much of the tissue is nuclei?",
)  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.,/-])([<>]?)\s?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?![\w]|[.,]\d)(\s?%)?")
_HOUSE = re.compile(r"90 % set|95 % interval|\b(?:View|Image|Picture) \d+|\b[\d,]+ of [\d,]+ tissue fields?|h&e", re.I)

_MEASURED = re.compile(r"\blumina, fat or (?:glass|other clear space)", re.I)
"""What a measure takes together; no class of tissue is meant."""


def measure(subject: Subject, bench: Bench) -> Measured:
    """The share of shown sentences that the auditor bears out, and of freely written ones that pass the checker."""
    cases = pictures(bench, 20)
    words = words_of(bench.histology())
    pairs = [(ASKED[n % len(ASKED)], cases[n % len(cases)]) for n in range(bench.at_most(USUAL) or USUAL)]
    fine, groups, failures = [], [], []
    for text, case in bench.each("shown sentences", pairs):
        question = bench.question(case, text)
        answer = answer_to(subject.asks, question)
        for claim in answer.claims:
            if claim.status != "struck":
                fault = unsupported(claim, answer, text, words)
                fine.append(float(fault is None))
                groups.append(case.group)
                failures += [] if fault is None else [Failure(case.name, text, claim.text, fault)]
    passed, written, where = written_freely(subject, bench, pairs)
    figures = {"shown, by the auditor": share(fine, groups)}
    if subject.writes is not None:
        figures["written freely, before the check"] = share(passed, where)
    return Measured(
        len(pairs),
        len({case.group for _, case in pairs}),
        figures,
        failures=failures,
        details={"shown sentences": len(fine), "written sentences": len(passed), "written": written[:20]},
    )


def written_freely(
    subject: Subject, bench: Bench, pairs: Sequence[tuple[str, Case]]
) -> tuple[list[float], list[str], list[str]]:
    """Whether each freely written sentence passed, the sentences with their verdict, and their groups."""
    passed, told, where = list[float](), list[str](), list[str]()
    if subject.writes is None:
        return passed, told, where
    for text, case in bench.each("free sentences", pairs[: bench.at_most(FREE)]):
        before = len(subject.heard)
        answer = answer_to(subject.writes, bench.question(case, text))
        verdict = {claim.text: claim for claim in reversed(answer.claims)}
        for sentence in chain.from_iterable(split_sentences([heard]) for heard in subject.heard[before:]):
            if (claim := verdict.get(sentence)) is not None:
                passed.append(float(claim.status != "struck"))
                where.append(case.group)
                told.append(f"{sentence} [{claim.status}{f': {claim.reason}' if claim.reason else ''}]")
    return passed, told, where


def unsupported(claim: Claim, answer: Answer, asked: str, words: Vocabulary) -> str | None:
    """What in a shown sentence nothing bears out, or None."""
    if fault := violations(claim.text):
        return fault[0]
    if claim.status == "knowledge":
        return None if claim.sources else "names no source"
    if claim.status == "asked":
        spoken = set(re.findall(r"\w{4,}", asked.lower()))
        fresh = [word for word in re.findall(r"\w{6,}", claim.text.lower()) if word not in spoken]
        return f"repeats what was not asked: {fresh[0]}" if len(fresh) > 2 else None
    if any(not 0 <= index < len(answer.evidence) for index in claim.evidence):
        return "cites evidence that is not there"
    cited = [answer.evidence[index] for index in claim.evidence]
    told = _HOUSE.sub(" ", claim.text)
    numbers = list(_NUMBER.finditer(told))
    if not cited and (numbers or not _HOUSE.search(claim.text)):
        return "cites no evidence"
    for match in numbers:
        if not any(_prints(match, value) for item in cited for value in figures_of(item)):
            return f"no evidence holds {match[0].strip()}"
    classes = {concept for item in cited for concept in concepts_of(item, words)}
    strange = [concept for concept in stated(_MEASURED.sub(" ", claim.text), words) if concept not in classes]
    return f"no evidence names {strange[0][1]}" if strange else None


def figures_of(item: Evidence) -> Iterator[float]:
    """Every number that a piece of evidence holds."""
    finding = item.finding
    yield from (value for value in (finding.value, finding.probability, finding.novelty, item.mpp) if value is not None)
    yield from (p for _, p in finding.distribution)
    yield from finding.interval or ()
    yield from map(float, re.findall(r"\d+(?:\.\d+)?", finding.reason or ""))


def _prints(match: re.Match[str], value: float) -> bool:
    """True where the value, rounded as the number is printed, is that number."""
    sign, digits, percent = match[1], match[2].replace(",", ""), match[3]
    printed, shown = float(digits), 100 * value if percent else value
    decimals = len(digits.partition(".")[2])
    if sign:
        return shown > printed if sign == ">" else shown < printed
    step = 10.0**-decimals if decimals or printed < 1000 else 10.0 ** (len(digits) - 2)
    return abs(shown - printed) <= 0.5 * step + 1e-9


def concepts_of(item: Evidence, words: Vocabulary) -> Iterator[tuple[str, str]]:
    """The concepts that are classes of a piece of evidence, or the organ its head belongs to."""
    finding = item.finding
    kind, _, organ = finding.name.partition(" ")
    labels = [finding.label or "", *finding.prediction_set, *(label for label, _ in finding.distribution)]
    for label in filter(None, labels):
        yield concept_of(kind, label)
        yield from stated(label, words)
    if organ:
        yield concept_of("organ", organ)
    yield from stated(finding.reason or "", words)
