"""Concepts that a text states of a picture: organs, kinds of process, stains, tissues and diagnoses.

A concept is a pair (kind, name). A text is cut into clauses; a name in a clause is

- *stated*, where the clause says it of the picture ("favours colon", "this is a lymphoma");
- *leaning*, where it is only likened or held possible ("looks most like colon", "may be");
- left out, where the clause denies it, leaves it unclassified, repeats the request, lists alternatives behind the
  first ("then", "90 % set", brackets), or speaks of knowledge and of reference cases.

This reads any prose, so that a copilot, a language model and a person are scored alike; it shares its lists of
names with the copilot and none of its rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ..terms import ORGANS, canonical
from .cases import SAID

Mood = Literal["stated", "leaning"]
Concept = tuple[str, str]

_CATEGORY = {
    "malignant": r"malignan\w+|cancer\w*|\w*carcinoma\w*|\w*sarcoma\w*|lymphoma\w*|melanoma\w*|glio(?:ma|blastoma)\w*",
    "benign tumour": r"benign(?: tumour| neoplasm| lesion)?",
    "pre-malignant": r"pre-?malignan\w+|precancer\w*|dysplas\w*|in situ",
    "inflammatory/infectious": r"inflam\w*|infect\w*|\w*itis",
    "normal or reactive": r"normal(?: tissue)?|reactive|unremarkable|healthy",
}
_STAIN = {
    # not a stain that is claimed: how dark nuclei are with one dye, and what is measured "on H&E only"
    "haematoxylin and eosin": r"h ?& ?e(?! only)|h and e|(?<!dark with )haematoxylin(?: and eosin)?",
    "immunohistochemistry": r"immunohistochem\w*|immunostain\w*|ihc",
    "special stain": r"special stain|periodic acid\S*|pas|giemsa|trichrome|mucicarmine|silver",
    "cytology": r"cytolog\w*|papanicolaou|smear",
}
_TISSUE = {
    "adipose tissue": r"adipose(?: tissue)?|fat|adipocytes?",
    "necrotic debris": r"debris|necro\w+",
    "lymphocytes": r"lymphocyt\w*|lymphoid(?: tissue| cells)?",
    "mucus": r"mucus|mucin\w*",
    "smooth muscle": r"(?:smooth )?muscle|muscularis",
    "normal mucosa": r"normal (?:colon |colonic )?mucosa",
    "stroma": r"(?:cancer-associated |tumour )?stroma\w*|connective tissue",
    "tumour epithelium": r"(?:tumour|adenocarcinoma|cancer) epithelium",
}
_BRACKETS = re.compile(r"\([^()]*\)")
_CLAUSE = re.compile(r"[;:]\s+|(?<=[a-z)%])[.!?]\s+|,? (?:but|while|whereas|although|however)\b")
_SET = re.compile(r"[;,]?\s*\b(?:the |its )?90 ?% (?:prediction )?set\b[^.;]*")
_ALTERNATIVES = re.compile(r",? then\b.*|\bor\b.*")
_BESIDE = re.compile(
    r"\b(?:differential|would help|helps? to separate|reference case|held-out|validated on|confused with|"
    r"the request|you (?:ask|say|said|state)|the question|of the options|tests?\b|heads?\b)"
)
_UNTOLD = re.compile(
    r"\b(?:not classified|not assessed|not told|not looked|cannot|can't|can not|unable|no (?:marker|validated))\b"
)
_DENIAL = re.compile(r"\b(?:no|not|non|without|absent|absence|exclud\w+|rather than|instead of|unlikely|negative)\b")
_LEANING = re.compile(
    r"\b(?:most like|looks? like|reads as|resembl\w+|may|might|could|possibl[ey]|perhaps|probable|suspicious|"
    r"suspected)\b"
)
WITHIN = 4
"""Words before a name within which a denial is of that name."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Patterns by concept, and patterns that are longest first."""

    patterns: tuple[tuple[Concept, re.Pattern[str]], ...]


def vocabulary(diseases: Iterable[str] = ()) -> Vocabulary:
    """Organs, categories, stains and tissues, and the diagnoses named."""
    return _vocabulary(tuple(sorted({disease for disease in diseases if len(disease) > 3})))


@lru_cache(maxsize=8)
def _vocabulary(diseases: tuple[str, ...]) -> Vocabulary:
    named: list[tuple[Concept, str]] = [
        (("organ", organ), "|".join(re.escape(canonical(word)) for word in sorted(words, key=len, reverse=True)))
        for organ, words in ORGANS.items()
    ]
    for kind, table in (("category", _CATEGORY), ("stain", _STAIN), ("tissue", _TISSUE)):
        named += [((kind, name), pattern) for name, pattern in table.items()]
    named += [(("disease", name), re.escape(canonical(name))) for name in diseases]
    return Vocabulary(tuple((concept, re.compile(rf"(?<![\w-])(?:{body})s?(?![\w-])")) for concept, body in named))


def concept_of(kind: str, label: str) -> Concept:
    """The concept that a label of a case is, in the names of the vocabulary."""
    said = SAID.get(label, label)
    if kind == "organ":
        words = canonical(said)
        return kind, next((organ for organ, names in ORGANS.items() if words == organ or words in names), words)
    return kind, said


def stated(text: str, words: Vocabulary) -> dict[Concept, Mood]:
    """The concepts a text states or leans to, each with the stronger of its moods."""
    found: dict[Concept, Mood] = {}
    for clause in _clauses(text):
        mood: Mood = "leaning" if _LEANING.search(clause) else "stated"
        for concept in _named(clause, words):
            if found.get(concept) != "stated":
                found[concept] = mood
    return found


def _clauses(text: str) -> Iterable[str]:
    said = canonical(text.replace("“", '"').replace("”", '"'))
    for sentence in re.split(r"(?<=[a-z)%\"])[.!?]\s+", said):
        if _BESIDE.search(sentence):
            continue
        for clause in _CLAUSE.split(_SET.sub(" ", _BRACKETS.sub(" ", sentence))):
            if not _UNTOLD.search(clause):
                yield _ALTERNATIVES.sub("", clause)


def _named(clause: str, words: Vocabulary) -> Iterable[Concept]:
    taken: list[tuple[int, int, str]] = []
    hits = [(match, concept) for concept, pattern in words.patterns for match in pattern.finditer(clause)]
    for match, concept in sorted(hits, key=lambda hit: hit[0].start() - hit[0].end()):
        kind = concept[0]
        if any(start <= match.start() < end and of == kind for start, end, of in taken):
            continue  # "lymph node" is not also "node"
        taken.append((match.start(), match.end(), kind))
        before = " ".join(clause[: match.start()].split()[-WITHIN:])
        if not _DENIAL.search(before):
            yield concept


def truth_of(labels: Mapping[str, str], kinds: Sequence[str]) -> frozenset[Concept]:
    """The concepts of a case for the kinds asked about."""
    return frozenset(concept_of(kind, labels[kind]) for kind in kinds if kind in labels)


SINGLE = ("organ", "category", "stain")
"""Kinds of which a picture has one: another one stated is a contradiction."""


def contradictions(said: Mapping[Concept, Mood], labels: Mapping[str, str]) -> list[Concept]:
    """Concepts stated outright that the labels of the picture exclude.

    A benign tumour and normal tissue are both no cancer: only what is stated beside the true one counts, so a
    text that names the true concept of a kind as well is not held to contradict it.
    """
    wrong = []
    for concept, mood in said.items():
        kind, _ = concept
        if mood != "stated" or kind not in SINGLE or kind not in labels:
            continue
        true = concept_of(kind, labels[kind])
        if concept != true and said.get(true) != "stated":
            wrong.append(concept)
    return wrong
