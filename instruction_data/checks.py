"""What must hold of instruction data before they are written; one check that fails stops the build."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .conversation import Conversation
from .grounding import Asked, Grounding, Passage
from .record import Record
from .repeats import distinct, near_repeats

LONGEST_QUESTION, LONGEST_ANSWER = 1500, 1200
SAMPLE = 1000
"""Texts that distinct-n is told of, so that data of other sizes compare."""
LETTERS = "ABCDEF"
_FORBIDDEN = re.compile(
    r"<image>|<\|\w+\|>|[\x00-\x09\x0b-\x1f\x7f\ue000-\uf8ff]|\bNone\b(?! of)|\b(?:nan|TODO)\b|[{}]"
)
_OPTION = re.compile(r"(?:^|\s)([A-F])\) ")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, whether it holds, and what was counted."""

    name: str
    holds: bool
    told: str


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What no conversation may touch: groups, texts of their cases, and pictures that show the same as theirs."""

    groups: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    alike: Callable[[Sequence[str]], Sequence[str]] = field(default=lambda names: ())
    """Of the picture names given, those that show a held-out picture, by perceptual hash."""


@dataclass(frozen=True, slots=True)
class Licence:
    """Under which terms a source is used, and whom to name."""

    terms: str
    licence: str
    attribution: str


def run_checks(
    conversations: Sequence[Conversation],
    held_out: HeldOut,
    licences: Mapping[str, Licence],
    limits: Mapping[str, Any],
    records: Sequence[Record],
    grounding: Grounding,
) -> list[Check]:
    """Every check in a fixed order, by the limits of the recipe; answers rest on `records` and `grounding`."""
    return [
        schema(conversations),
        supported(conversations, records, grounding),
        numbers(conversations),
        duplicates(conversations, float(limits["near_repeats"])),
        leakage(conversations, held_out),
        parts(conversations),
        letters(conversations, float(limits["letters"])),
        verdicts(conversations, float(limits["verdicts"])),
        unanswerable(conversations, *(float(limit) for limit in limits["unanswerable"])),
        diversity(conversations, limits["distinct"]),
        licence(conversations, licences),
    ]


def schema(conversations: Sequence[Conversation]) -> Check:
    """Every text is there, is plain and of bounded length; letters and verdicts agree with their answers."""
    return _none("schema", [f"{one.id}: {fault}" for one in conversations for fault in faults(one)], "texts at fault")


def faults(conversation: Conversation) -> Iterable[str]:
    """What is wrong with the form of one conversation."""
    if not conversation.exchanges:
        yield "no exchange"
    if not conversation.sources:
        yield "no source"
    if {picture.source for picture in conversation.pictures} - set(conversation.sources):
        yield "a picture whose source is not named"
    for exchange in conversation.exchanges:
        if not exchange.question.strip() or not exchange.answer.strip():
            yield "an empty text"
        if len(exchange.question) > LONGEST_QUESTION or len(exchange.answer) > LONGEST_ANSWER:
            yield "a text that is too long"
        for text in (exchange.question, exchange.answer, *exchange.facts):
            if text != text.strip() or _FORBIDDEN.search(text):
                yield f"signs that do not belong into a text: {text[:60]!r}"
        if exchange.letter and not re.search(rf"(?<!\w){exchange.letter}(?!\w)", exchange.answer):
            yield "an answer without its letter"
        if exchange.letter and exchange.letter not in _OPTION.findall(exchange.question):
            yield "a letter that is no option"
        if exchange.verdict and exchange.verdict not in exchange.answer.lower():
            yield "an answer without its verdict"


def supported(conversations: Sequence[Conversation], records: Sequence[Record], grounding: Grounding) -> Check:
    """Every answer stands before the copilot's checker, judged anew from what is written and the records alone."""
    by_id = {record.picture.id: record for record in records}
    wrong = []
    for one in conversations:
        for number, exchange in enumerate(one.exchanges):
            missing = [picture.id for picture in one.pictures if picture.id not in by_id]
            if missing:
                wrong.append(f"{one.id}: no record of {missing[0]}")
            elif not exchange.is_bare:
                struck = grounding.objection(asked_again(one, number, by_id), exchange.answer)
                wrong += [f"{one.id}: {struck}"] if struck else []
    judged = sum(len(one.exchanges) for one in conversations)
    return _none("supported", wrong, f"answers that the checker strikes, of {judged}")


def asked_again(one: Conversation, number: int, by_id: Mapping[str, Record]) -> Asked:
    """The question of one exchange with all that came with it; without pictures its facts are what may be quoted."""
    exchange = one.exchanges[number]
    return Asked(
        exchange.question,
        tuple(by_id[picture.id] for picture in one.pictures),
        exchange.context,
        exchange.options,
        one.exchanges[:number],
        () if one.pictures else tuple(Passage(fact, "as given") for fact in exchange.facts),
        by="labels" if one.pictures and not exchange.facts else "findings",
    )


def numbers(conversations: Sequence[Conversation]) -> Check:
    """Every figure of an answer stands in the findings or the question before it, as it is printed there."""
    wrong = []
    for one in conversations:
        before = ""
        for exchange in one.exchanges:
            before += " ".join((*exchange.facts, exchange.question))
            missing = set(_NUMBER.findall(exchange.answer)) - set(_NUMBER.findall(before))
            if missing:
                wrong.append(f"{one.id}: {', '.join(sorted(missing))}")
            before += " " + exchange.answer
    return _none("numbers copied", wrong, "answers with a figure that was not given")


def duplicates(conversations: Sequence[Conversation], most: float) -> Check:
    """No conversation comes twice; few say nearly what another says, words and pictures together."""
    ids = Counter(one.id for one in conversations)
    twice = [id for id, count in ids.items() if count > 1]
    pairs = list(near_repeats([_said(one) for one in conversations]))
    # one item with its options in another order is meant to be alike
    alike = {second for first, second in pairs if _apart(conversations[first], conversations[second])}
    share = len(alike) / max(len(conversations), 1)
    told = f"{len(twice)} twice; {100 * share:.1f} % nearly repeat another (at most {100 * most:.0f} %)"
    return Check("duplicates", not twice and share <= most, told)


def _apart(first: Conversation, second: Conversation) -> bool:
    return not (first.item and first.item == second.item)


def _said(one: Conversation) -> str:
    pictures = " ".join(picture.id for picture in one.pictures)
    return "\n".join([pictures, *(f"{e.question} {e.answer}" for e in one.exchanges)])


def leakage(conversations: Sequence[Conversation], held_out: HeldOut) -> Check:
    """No held-out group, none of its case texts, and no picture that shows a held-out one."""
    wrong = [f"{one.id}: group {group}" for one in conversations for group in one.groups if group in held_out.groups]
    names = sorted({picture.id for one in conversations for picture in one.pictures})
    wrong += [f"picture {name}" for name in held_out.alike(names)]
    for one in conversations:
        said = " ".join(text for e in one.exchanges for text in (e.question, e.answer, *e.facts))
        wrong += [f"{one.id}: a held-out case text" for text in held_out.texts if text in said]
    told = f"pictures or texts of held-out groups ({len(held_out.groups)} groups, {len(names)} pictures hashed)"
    return _none("held-out groups", wrong, told)


def parts(conversations: Sequence[Conversation]) -> Check:
    """No group and no item lies in both parts."""
    where: dict[str, set[str]] = defaultdict(set)
    for one in conversations:
        for name in (*one.groups, *([one.item] if one.item else [])):
            where[name].add(one.part)
    return _none("parts", [name for name, found in where.items() if len(found) > 1], "groups or items in both parts")


def letters(conversations: Sequence[Conversation], most: float) -> Check:
    """The right option stands at each letter as often, for each number of options."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for exchange in (e for one in conversations for e in one.exchanges if e.letter):
        counts[len(set(_OPTION.findall(exchange.question)))][exchange.letter] += 1
    worst, told = 0.0, []
    for options, found in sorted(counts.items()):
        whole = sum(found.values())
        at = [found[letter] for letter in LETTERS[:options]]
        worst = max(worst, *(abs(count / whole - 1 / options) for count in at))
        told.append(f"{options} options: {' '.join(map(str, at))}")
    return Check("balance of letters", worst <= most, "; ".join(told) or "no lettered options")


def verdicts(conversations: Sequence[Conversation], most: float) -> Check:
    """Yes and no are right as often."""
    found = Counter(e.verdict for one in conversations for e in one.exchanges if e.verdict)
    whole = sum(found.values())
    off = abs(found["yes"] / whole - 0.5) if whole else 0.0
    return Check("balance of yes and no", off <= most, f"yes {found['yes']}, no {found['no']}")


def unanswerable(conversations: Sequence[Conversation], least: float, most: float) -> Check:
    """The share of exchanges whose answer is that it cannot be told, among those with findings or none to have."""
    exchanges = [e for one in conversations if one.stage == "tune" for e in one.exchanges]
    share = sum(e.abstains for e in exchanges) / max(len(exchanges), 1)
    told = f"{100 * share:.1f} % of {len(exchanges)} exchanges (between {100 * least:.0f} and {100 * most:.0f} %)"
    return Check("share of unanswerable", least <= share <= most, told)


def diversity(conversations: Sequence[Conversation], least: Mapping[str, float]) -> Check:
    """Distinct bigrams of questions and answers, over a thousand texts taken evenly."""
    told, holds = [], True
    for what, texts in texts_of(conversations).items():
        value = distinct(evenly(texts), 2)
        holds &= value >= float(least[what])
        told.append(f"{what} {value:.2f} (at least {float(least[what]):.2f})")
    return Check("distinct-2", holds, "; ".join(told))


def texts_of(conversations: Sequence[Conversation]) -> dict[str, list[str]]:
    """All questions and all answers."""
    return {
        "questions": [e.question for one in conversations for e in one.exchanges],
        "answers": [e.answer for one in conversations for e in one.exchanges],
    }


def evenly(texts: Sequence[str]) -> Sequence[str]:
    """Up to `SAMPLE` texts, taken at even distances."""
    step = max(1, len(texts) // SAMPLE)
    return texts[::step][:SAMPLE]


def licence(conversations: Sequence[Conversation], licences: Mapping[str, Licence]) -> Check:
    """Every source is known and its terms are permissive."""
    used = sorted({source for one in conversations for source in one.sources})
    wrong = [name for name in used if name not in licences or licences[name].terms != "permissive"]
    return _none("licences", wrong, f"sources without permissive terms, of {len(used)} used")


def _none(name: str, wrong: Sequence[str], what: str) -> Check:
    shown = f": {'; '.join(wrong[:3])}" if wrong else ""
    return Check(name, not wrong, f"{len(wrong)} {what}{shown}")
