"""Which words of an answer may mean something: labels of findings, the user's words, names of markers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from slides import Evidence
from vision_encoder.observation import Observation

from .answer import Question
from .claims import CUE, MARK, PRIVATE, Clause, Mention, Struck, plain
from .slide_words import NAMES as OF_SLIDES
from .terms import (
    ABSOLUTE,
    MARKER,
    NEGATIONS,
    NUMBER_WORDS,
    SENSITIVE,
    canonical,
    known_terms,
    surfaces,
    term_pattern,
)  # fmt: skip

if TYPE_CHECKING:
    from .check import Cited


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEUTRAL = _words(
    """a an the this that these those it its they their there here of in on at to for with by from as and or both also
    is are was were be been has have what so about approximately roughly such among
    picture image field fields tile tiles view views slide region section tissue seen looked rests
    stain stained organ process category class classes kind lesion structure finding findings reading
    label probability calibrated p interval median mean value number per colours focus
    reference case cases nearest likeness match held-out option options given fits best conflict"""
)
"""Words that claim nothing by themselves."""
MEASURE = _words(
    """nuclei nucleus nuclear size area density share varies variation coefficient ratio cover covers covered take
    takes up make makes carry carries chromogen clear space measure measures lumina pen ink novelty share
    times long wide lie apart
    eccentricity dark haematoxylin between them"""
)
"""Words that claim something only beside a measured figure, and then only that figure."""
_ADVICE = re.compile(
    r"^(?:please )?(?:order|add|request|consider|suggest|ask for|stain for)\b|\bwould (?:help|settle|separate)\b"
)
_ADVICE_WORDS = NEUTRAL | _words(
    """please order add request consider suggest ask would help settle separate immunostain immunostains stain stains
    test tests panel next between them question"""
)
_VERB_BEHIND_COMMA = re.compile(r",.*\b(?:is|are|was|were|has|have|shows?|proves?|means?)\b")
_TOKEN = re.compile(r"[^\s,:()\[\]\"!…=~≈/–]+")
_NOTE_WORDS = 3  # a shorter reason could hide inside another sentence


class Lexicon:
    """The terms of one ground, compiled once."""

    def __init__(self, evidence: Sequence[Evidence], question: Question, observations: Sequence[Observation]) -> None:
        self.terms: dict[str, set[tuple[int, str | None]]] = {}
        for index, item in enumerate(evidence):
            finding = item.finding
            if finding.name in OF_SLIDES:  # said word for word or not at all
                continue
            classes = [finding.label or "", *finding.prediction_set, *(label for label, _ in finding.distribution)]
            for label in dict.fromkeys(classes):
                for phrase in surfaces(plain(label)):
                    self._add(phrase, (index, label))
            for phrase in surfaces(finding.name.partition(" ")[2]):
                self._add(phrase, (index, None))
        self._pattern = _alternatives(self.terms)
        self._notes = _notes(evidence, observations)
        self._names = _alternatives(plain(item.slide).lower() for item in evidence)
        self._asked = _tokens(" , ".join(_said_by_user(question)))

    def _add(self, phrase: str, reading: tuple[int, str | None]) -> None:
        if any(sign.isalpha() for sign in phrase):
            self.terms.setdefault(_loose(phrase), set()).add(reading)

    def mark(self, sentence: str) -> tuple[str, list[Mention], set[int]]:
        """The sentence with a mark for each class word, the class words, and evidence whose reason it repeats."""
        if any(ord(sign) >= PRIVATE for sign in sentence):
            raise Struck("it holds signs that are not plain text")
        noted: set[int] = set()
        for note, indices in self._notes:
            at = sentence.lower().find(note.lower())
            if at >= 0 and not _inside_word(sentence, at, at + len(note)):
                noted |= indices
                sentence = re.sub(r":\s*(?=[;.]|$)", "", f"{sentence[:at]}{sentence[at + len(note) :]}")
        if self._names:
            sentence = self._names.sub("slide", sentence)
        mentions: list[Mention] = []

        def marked(match: re.Match[str]) -> str:
            mentions.append(Mention(match[0], 0, tuple(sorted(self._read(match[0]), key=repr))))
            return chr(MARK + len(mentions) - 1)

        return (self._pattern.sub(marked, sentence) if self._pattern else sentence), mentions, noted

    def _read(self, text: str) -> set[tuple[int, str | None]]:
        form = _loose(text)
        for shorter in (form, form.removesuffix("s"), form.removesuffix("es")):
            if shorter in self.terms:
                return self.terms[shorter]
        return set()

    def require_asked(self, rest: str) -> None:
        """Raises `Struck` unless the user said all of `rest`, and the same way round."""
        if _VERB_BEHIND_COMMA.search(rest) or CUE.search(rest):
            raise Struck("it adds a statement to the words of the user")
        said = _tokens(rest)
        spoken = {word for word, _ in self._asked}
        for word, negated in said:
            if not word or word in NEUTRAL or word == "whether":
                continue
            if word not in spoken:
                raise Struck(f"the user did not say “{word}”")
            if (word, negated) not in self._asked:
                raise Struck(f"the user said the opposite about “{word}”")
        if not any(word for word, _ in said):
            raise Struck("it repeats nothing that the user said")
        if not _pairs(said) <= _pairs(self._asked):
            raise Struck("the user did not put it that way")


def _pairs(tokens: Sequence[tuple[str, bool]]) -> set[tuple[str, str]]:
    """Telling words that follow each other without a stop between them."""
    telling = [word for word, _ in tokens if word not in NEUTRAL and word != "whether"]
    return {(first, second) for first, second in pairwise(telling) if first and second}


def advice(clause: Clause, knowledge: Sequence[Cited]) -> tuple[str, ...]:
    """Sources of the knowledge entries behind a clause that suggests tests; empty when it is no such clause."""
    text = clause.said
    if not _ADVICE.search(text):
        return ()
    sources: dict[str, None] = {}
    for entry in knowledge:
        for name in sorted(entry.about, key=len, reverse=True):
            pattern = _alternatives([canonical(plain(name))])
            if pattern and pattern.search(text):
                text = pattern.sub(" ", text)
                sources[entry.source] = None
    left = [word for word, _ in _tokens(text) if word and word not in _ADVICE_WORDS]
    return tuple(sources) if sources and not left else ()


def words_left(clause: Clause) -> tuple[str, ...]:
    """Words of a clause that claim something by themselves; raises `Struck` for those that nothing can support."""
    kept = []
    for token in _TOKEN.findall(clause.left):
        word = token.strip(".'-–")
        if not word or word in NEUTRAL or ord(word[0]) >= MARK:
            continue
        if word not in MEASURE:
            raise Struck(_why(word, clause.left))
        kept.append(word)
    return tuple(kept)


def _why(word: str, text: str) -> str:
    if word in NEGATIONS:
        return f"“{word}”: a finding is never turned into an absence"
    if word in ABSOLUTE:
        return f"“{word}”: no finding is that certain"
    if found := MARKER.search(text):
        return f"“{found[0].strip()}”: no marker or molecular result can be read from this picture"
    if word in SENSITIVE:
        return f"“{word}”: no validated measure stands behind it"
    if word in NUMBER_WORDS or word.partition("-")[0] in NUMBER_WORDS:
        return f"“{word}”: numbers are given in figures, as they were measured"
    if any(sign.isdigit() for sign in word):
        return f"“{word}” is no figure of a finding"
    if canonical(word) in known_terms() or canonical(word.removesuffix("s")) in known_terms():
        return f"no finding says “{word}”"
    return f"nothing that was found says “{word}”"


@lru_cache(maxsize=32)
def lexicon(evidence: tuple[Evidence, ...], question: Question, observations: tuple[Observation, ...]) -> Lexicon:
    """The lexicon of a ground, kept while an answer is being said."""
    return Lexicon(evidence, question, observations)


def _alternatives(phrases: Iterable[str]) -> re.Pattern[str] | None:
    ordered = sorted({phrase for phrase in phrases if phrase}, key=lambda phrase: (-len(phrase), phrase))
    if not ordered:
        return None
    body = "|".join(term_pattern(phrase) for phrase in ordered)
    return re.compile(rf"(?<![\w-])(?:{body})(?![\w-])", re.IGNORECASE)


def _loose(phrase: str) -> str:
    return re.sub(r"[\s-]+", " ", phrase.lower()).strip()


def _inside_word(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()


def _notes(evidence: Sequence[Evidence], observations: Sequence[Observation]) -> list[tuple[str, frozenset[int]]]:
    """What the machine itself says of its findings and views, longest first, with the evidence it belongs to."""
    found: dict[str, set[int]] = {}
    for index, item in enumerate(evidence):
        if item.finding.abstained and item.finding.reason:
            for part in (item.finding.reason, *item.finding.reason.split("; ")):
                found.setdefault(part, set()).add(index)
    for seen in observations:
        own = {index for index, item in enumerate(evidence) if item.slide == seen.slide}
        for note in (seen.reason, *seen.notes):
            if note:
                found.setdefault(note, set()).update(own)
    trimmed = {plain(note).rstrip("."): frozenset(indices) for note, indices in found.items()}
    return sorted(
        ((note, indices) for note, indices in trimmed.items() if len(note.split()) >= _NOTE_WORDS),
        key=lambda pair: (-len(pair[0]), pair[0]),
    )


def _said_by_user(question: Question) -> list[str]:
    turns = [turn.question for turn in question.history]
    return [question.text, question.context or "", *question.options, *turns]


def _tokens(text: str) -> list[tuple[str, bool]]:
    """Words in British spelling, each with whether a negation stands up to four words before it; stops as ""."""
    found: list[tuple[str, bool]] = []
    since = 99
    for raw in re.findall(r"[\w'&+-]+(?:\.\d+)?|[,;:.?!]", canonical(plain(text))):
        if not raw[0].isalnum() and len(raw) == 1:
            since = 99
            found.append(("", False))
            continue
        word = raw.strip("'-")
        negation = word in NEGATIONS or word.endswith("n't")
        since = 0 if negation else since + 1
        found.append((word, 0 < since <= 4))
    return found
