"""Strikes every sentence that no finding, no knowledge entry and no word of the user supports. No model is involved.

A sentence stands only when each part of it is accounted for: class words by the label, the 90 % set or the
distribution of a finding, said no more surely than its probability allows; figures by that finding at the
printed precision; statements of fact by a knowledge entry, word for word; repeated words of the user as such.
A word that belongs to none of these strikes the sentence: what the check does not know it does not let pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from slides import Evidence
from vision_encoder.observation import Observation

from .answer import Claim, Question
from .claims import ALLOWED, ASKED, MARK, UNCLASSIFIED, Clause, Struck, clauses, plain
from .lexicon import Lexicon, advice, lexicon, words_left
from .limits import is_limit, says_scale_unknown
from .rules import Support, bind_figures, in_view, judge_mentions, subjects
from .sentences import split_sentences
from .slide_words import of_slides

__all__ = ["Cited", "Ground", "check_sentence", "split_sentences"]

HOUSE_RULE = "house rule"
_OF_VIEW = re.compile(r"View (\d{1,2}): ")
_CONFLICT = re.compile(r"\s*[:,]?\s*this is a conflict(?=[.;]?$)")


@dataclass(frozen=True, slots=True)
class Cited:
    """A statement of the knowledge tables, its source, and the entities and markers (ids or names) it speaks about."""

    text: str
    source: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ground:
    """All that an answer may rest on.

    The observations give what was looked at and which views are usable; without them no count of fields stands.
    """

    evidence: tuple[Evidence, ...]
    knowledge: tuple[Cited, ...]
    question: Question
    observations: tuple[Observation, ...] = ()


def check_sentence(text: str, ground: Ground) -> Claim:
    """The sentence as a claim: `supported`, `knowledge`, `asked`, or `struck` with the reason in plain words."""
    sentence = plain(text)
    if not any(sign.isalnum() for sign in sentence):
        return Claim(text, "struck", reason="it says nothing")
    if sources := _cited(sentence, ground.knowledge):
        return Claim(text, "knowledge", sources=sources)
    if (told := _of_slide(sentence, ground)) is not None:
        return Claim(text, "supported", told)
    words = lexicon(ground.evidence, ground.question, ground.observations)
    support = Support()
    try:
        marked, mentions, noted = words.mark(sentence)
        if not ALLOWED.fullmatch("".join(sign for sign in marked if ord(sign) < MARK)):
            raise Struck("it holds signs that are not plain text")
        support.evidence |= noted
        parts = list(clauses(marked.lower(), mentions))
        if (untold := _unclassified(parts, ground)) is not None:
            support.unclassified = True
            support.untold = _said_of(parts)
            support.evidence |= untold
        for part in parts:
            _judge(part, words, ground, support)
    except Struck as struck:
        return Claim(text, "struck", reason=str(struck))
    return _verdict(text, support)


def _judge(clause: Clause, words: Lexicon, ground: Ground, support: Support) -> None:
    if says_scale_unknown(clause.said):
        unscaled = [i for i, item in enumerate(ground.evidence) if item.mpp is None]
        if not unscaled:
            raise Struck("the µm/px is known")
        support.evidence.update(unscaled)
        return
    if is_limit(clause.said):
        support.sources.add(HOUSE_RULE)
        return
    if asked := ASKED.match(clause.said):
        words.require_asked(clause.said[asked.end() :])
        support.asked = True
        return
    if sources := advice(clause, ground.knowledge):
        support.sources.update(sources)
        return
    if support.asked:
        clause.left = _CONFLICT.sub("", clause.left)
    if re.search(r"\bconflict\b|\?", clause.left):
        raise Struck("no conflict is shown with it" if "conflict" in clause.left else "an answer does not ask")
    left = words_left(clause)
    judge_mentions(clause, ground, support)
    bind_figures(clause, left, ground, support)


def _unclassified(parts: Sequence[Clause], ground: Ground) -> set[int] | None:
    """Evidence of which a sentence says that it is not classified, None when it says so of nothing.

    Raises `Struck` when what it names is classified.
    """
    saying = [part for part in parts if part.unclassified and not is_limit(part.said)]
    found: set[int] = set()
    for part in saying:
        kinds = subjects(part.text)
        spoken = [
            index
            for index, item in enumerate(ground.evidence)
            if item.finding.distribution and (not kinds or item.finding.name.partition(" ")[0] in kinds)
        ]
        untold = {index for index in spoken if not _told(ground.evidence[index])}
        if not untold:
            raise Struck("what was looked for is classified" if spoken else "nothing of the kind was looked for")
        found |= untold if kinds else set()
    return found if saying else None


def _said_of(parts: Sequence[Clause]) -> frozenset[str]:
    """Kinds of findings that stand before "not classified": what else a sentence speaks of is not excused by it."""
    before = [UNCLASSIFIED.split(part.text, maxsplit=1)[0] for part in parts if part.unclassified]
    return frozenset(kind for text in before for kind in subjects(text))


def _told(item: Evidence) -> bool:
    return not item.finding.abstained and (item.finding.probability or 0.0) >= 0.5


def _cited(sentence: str, knowledge: Sequence[Cited]) -> tuple[str, ...]:
    """Sources of the knowledge entries that say exactly this sentence."""
    said = _compared(sentence)
    found = (
        entry.source
        for entry in knowledge
        if said in {_compared(plain(one)) for one in (entry.text, *split_sentences([entry.text]))}
    )
    return tuple(dict.fromkeys(found))


def _of_slide(sentence: str, ground: Ground) -> tuple[int, ...] | None:
    """Evidence of a sentence on a whole slide, said as it is made from its findings; None for any other sentence."""
    view, said = None, sentence
    if match := _OF_VIEW.match(sentence):
        view, said = int(match[1]), sentence[match.end() :]
    for text, indices in of_slides(ground.evidence):
        if plain(text) == said and (view is None or in_view(ground, indices[0], view)):
            return indices
    return None


def _compared(sentence: str) -> str:
    return sentence.lower().strip(" .!\"'")


def _verdict(text: str, support: Support) -> Claim:
    evidence, sources = tuple(sorted(support.evidence)), tuple(sorted(support.sources))
    if evidence or support.seen:
        return Claim(text, "supported", evidence, sources)
    if sources:
        return Claim(text, "knowledge", (), sources)
    if support.asked:
        return Claim(text, "asked")
    return Claim(text, "struck", reason="no finding, source or word of the question stands behind it")
