"""Who is asked: a copilot, the same without its language model, and the language model without a picture.

A suite only needs `ask(question)` that ends in `Done`, so anything that answers so can be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ..answer import Answer, Claim, Done, Event, ModelCard, Question, Timings
from ..engine import Copilot
from ..language.model import LanguageModel, Message
from ..meaning import bare_option
from ..sentences import split_sentences
from .remembered import FirstWording, Recorded, Remembered, RememberingEye, Silent

LONGEST_BLIND = 60
"""Tokens of an answer without a picture."""


class Asks(Protocol):
    """Whatever answers questions in the engine's stream of events."""

    def ask(self, question: Question) -> Iterator[Event]:
        """Events of one answer; the last is `Done`."""
        ...


@dataclass(frozen=True)
class Subject:
    """What a suite asks.

    Attributes
    ----------
    name : in tables
    asks : answers in full
    chooses : the same where only the option taken and its probabilities are read; wording is not waited for
    plain : the same where what is said counts and not how; None where `asks` has to be heard for that
    writes : the same in its own words, each sentence checked; None where there is no such way
    heard : what `writes` wrote before the check, one text an answer, newest last
    blind : the language model alone, which sees no picture; None where there is none
    """

    name: str
    asks: Asks
    chooses: Asks
    plain: Asks | None = None
    writes: Asks | None = None
    heard: list[str] = field(default_factory=list)
    blind: Asks | None = None

    @property
    def tells(self) -> Asks:
        """Whoever is heard where what is said counts and not how."""
        return self.plain or self.asks


def answer_to(asks: Asks, question: Question) -> Answer:
    """The finished answer to a question."""
    for event in asks.ask(question):
        if isinstance(event, Done):
            return event.answer
    raise AssertionError("every answer ends with Done")


def subject_of(copilot: Copilot, name: str = "this copilot") -> Subject:
    """A copilot as a subject: it looks at each view once and says each thing once, however often it is asked."""
    eye = RememberingEye(copilot.eye)
    language = Remembered(copilot.language)
    heard: list[str] = []
    plain = Copilot(eye, FirstWording(language))
    return Subject(
        name,
        asks=Copilot(eye, language, wording=copilot.wording),
        chooses=plain,
        plain=plain if copilot.wording == "slots" else None,  # equivalent wordings: the plain one says the same
        writes=Copilot(eye, Recorded(language, heard), wording="free"),
        heard=heard,
        blind=WithoutPicture(language),
    )


def without_language(copilot: Copilot) -> Subject:
    """The findings in their plain templates: no language model chooses, scores or writes."""
    plain = Copilot(RememberingEye(copilot.eye), Silent())
    return Subject("findings alone", asks=plain, chooses=plain)


def only_language(language: LanguageModel) -> Subject:
    """The language model without any picture."""
    blind = WithoutPicture(Remembered(language))
    return Subject("text only", asks=blind, chooses=blind)


class WithoutPicture:
    """The language model asked as published assistants are, but without the picture: what words alone give."""

    def __init__(self, language: LanguageModel) -> None:
        self._language = language

    def ask(self, question: Question) -> Iterator[Event]:
        """One `Done`: the likeliest option, or up to 60 tokens of text that nothing has checked."""
        card = ModelCard(self._language.name, "none", {"language": self._language.sha256})
        listed = "".join(f"\n{'ABCDEFGH'[i % 8]}) {option}" for i, option in enumerate(question.options))
        told = f"\nClinical context: {question.context}" if question.context else ""
        messages: list[Message] = [
            {"role": "system", "content": "You help a pathologist. Answer the question about the picture briefly."},
            {"role": "user", "content": f"{question.text}{told}{listed}"},
        ]
        if question.options:
            likelihoods = self._language.score(messages, [bare_option(option) for option in question.options])
            best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
            level = tuple(1.0 / len(likelihoods) for _ in likelihoods)
            yield Done(Answer((), (), False, card, Timings(), best, level))
            return
        text = self._language.stream(messages, max_new_tokens=LONGEST_BLIND)
        claims = tuple(Claim(sentence, "supported") for sentence in split_sentences(text))
        yield Done(Answer(claims, (), False, card, Timings()))
