"""Finding the thing that a piece of text names: spelling, word order, abbreviations; no guess where two are as near."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

THRESHOLD = 0.76
"""Least score of `find`; tests/instruction_data/test_names.py measures what it names, misses and misnames."""
MARGIN = 0.05
"""A second candidate within this score makes the text ambiguous."""
MISSPELT = 0.95
"""What a misspelt word counts against the right one."""
ALIKE = 86.0
"""Least rapidfuzz ratio of two words (percent) that are taken for one word misspelt; shorter words must be equal."""
REMEMBERED = 4096
"""Words whose likes are kept."""

RARE, COMMON, GRADE = 0.5, 0.25, 0.1
"""Least weight of a telling word (an organ stands in many names), of one that tells little, and of a grade."""

_COMMON = ("carcinoma", "adenocarcinoma", "tumour", "lesion", "cell", "cells", "dysplasia")
_GRADES = ("high", "low", "grade", "well", "moderately", "poorly", "differentiated")
# "lymphoma (DLBCL)": the abbreviation decides where the words do not.
_ABBREVIATION = re.compile(r"\b[A-Z][A-Z0-9]{2,}\b")
# "Brain metastasis of lung adenocarcinoma" names the tumour, not the place.
_ORIGIN = re.compile(r"\bmetasta\w+\s+(?:of|from)\s+(?:an?\s+|the\s+)?(.+)", re.IGNORECASE)
# Words that say nothing of which entity is meant.
_EMPTY = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "at",
        "to",
        "for",
        "with",
        "and",
        "or",
        "from",
        "by",
        "as",
        "any",
        "site",
        "nos",
        "type",
        "unsplit",
        "probable",
        "possible",
        "suspected",
        "known",
        "metastatic",
        "metastasis",
        "metastases",
        "metastasised",
        "secondary",
        "primary",
        "recurrent",
        "deposit",
        "spread",
        "malignant",
        "invasive",
        "infiltrating",
    ]
)
# One spelling and one word for what pathologists write in several ways.
_SAME = {
    "tumor": "tumour", "tumors": "tumour", "tumours": "tumour", "neoplasm": "tumour", "cancer": "carcinoma",
    "ca": "carcinoma", "carcinomas": "carcinoma", "adenoca": "adenocarcinoma", "scc": "squamous carcinoma",
    "pulmonary": "lung", "bronchial": "lung", "bronchogenic": "lung", "gastric": "stomach", "renal": "kidney",
    "hepatic": "liver", "colonic": "colon", "rectal": "rectum", "prostatic": "prostate", "mammary": "breast",
    "pancreatic": "pancreas", "ovarian": "ovary", "cutaneous": "skin", "endometrial": "endometrium",
    "cervical": "cervix", "adrenal": "adrenal", "splenic": "spleen", "thyroidal": "thyroid", "nevus": "naevus",
    "pleural": "pleura", "peritoneal": "peritoneum", "vesical": "bladder", "thymic": "thymus", "uterine": "uterus",
    "esophageal": "oesophagus", "oesophageal": "oesophagus", "esophagus": "oesophagus", "testicular": "testis",
    "salivary": "salivary", "intestinal": "intestine", "bowel": "intestine", "gut": "intestine", "nodal": "node",
    "nets": "neuroendocrine tumour", "net": "neuroendocrine tumour", "nec": "neuroendocrine carcinoma",
    "grade": "grade", "lymphomas": "lymphoma", "sarcomas": "sarcoma", "classic": "classical", "adeno": "adenocarcinoma",
}  # fmt: skip
_AMERICAN = (
    ("haem", "hem"), ("leukaem", "leukem"), ("oedem", "edem"), ("coeliac", "celiac"), ("ischaem", "ischem"),
    ("phaeo", "pheo"), ("naev", "nev"), ("paed", "ped"), ("fibre", "fiber"), ("centre", "center"), ("oestr", "estr"),
    ("isation", "ization"), ("ised", "ized"), ("ising", "izing"), ("mould", "mold"), ("anaem", "anem"),
    ("grey", "gray"), ("caec", "cec"),
)  # fmt: skip


def compact(text: str) -> str:
    """Letters and digits only, lower case, Greek letters spelt out: `TTF-1` and `ttf 1` are one."""
    text = text.replace("α", "alpha").replace("β", "beta").replace("κ", "kappa").replace("λ", "lambda")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]", "", plain)


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """The telling words of a name, in one spelling, in order, each once."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    plain = plain.replace("'s ", " ").replace("non-", "non").replace("non ", "non")
    found: list[str] = []
    for word in re.findall(r"[a-z0-9]+", plain):
        for one in _SAME.get(word, word).split():
            if one in _EMPTY:
                continue
            for british, american in _AMERICAN:
                one = one.replace(british, american)
            found.append(one)
    return tuple(dict.fromkeys(found))


class NameIndex:
    """Names and synonyms of things, found by exact, then by telling words.

    The score of two names is the share of telling weight they have in common (Dice on inverse document
    frequency, words of five letters and more may be misspelt), so that `carcinoma` alone names nothing.
    """

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        self._exact: dict[str, str] = {}
        self._words: list[tuple[str, tuple[str, ...]]] = []
        for id, (name, *synonyms) in ((id, tuple(all)) for id, all in names.items()):
            for text in (id, name, *synonyms):
                self._exact.setdefault(compact(text), id)
                if text != id:
                    self._words.append((id, words(text)))
        counts = Counter(word for _, found in self._words for word in found)
        self._weight = {word: max(1.0 / math.log2(1.0 + count), RARE) for word, count in counts.items()}
        self._weight.update(dict.fromkeys(_COMMON, COMMON) | dict.fromkeys(_GRADES, GRADE))
        self._with: dict[str, list[int]] = defaultdict(list)
        for position, (_, found) in enumerate(self._words):
            for word in found:
                self._with[word].append(position)
        self._near: dict[str, frozenset[str]] = {}

    def exact(self, text: str) -> str | None:
        """The id whose id, name or synonym is this text, spelling signs aside."""
        key = compact(text)
        return self._exact.get(key) if key else None

    def match(self, text: str, k: int = 5) -> list[tuple[str, float]]:
        """Up to k ids by score, best first; an exact name scores 1."""
        exact = self.exact(text)
        best: dict[str, float] = {exact: 1.0} if exact else {}
        asked = words(text)
        # only names that share a word can score; a question asks for dozens of spans
        sharing = {position for word in asked for other in self._likes(word) for position in self._with[other]}
        for position in sorted(sharing):
            id, name = self._words[position]
            score = self._score(asked, name)
            if score > best.get(id, 0.3):
                best[id] = score
        return sorted(best.items(), key=lambda item: (-item[1], item[0] != exact, item[0]))[:k]

    def find(self, text: str) -> str | None:
        """The one id that the text names, or None."""
        origin = _ORIGIN.search(text)
        if origin:
            return self.find(origin.group(1))
        exact = self.exact(text)
        if exact:
            return exact
        found = self.match(text, 2) if len(words(text)) > 1 else []
        if not found or found[0][1] < THRESHOLD:
            named = {self._exact.get(compact(token)) for token in _ABBREVIATION.findall(text)} - {None}
            return named.pop() if len(named) == 1 else None
        if len(found) > 1 and found[0][1] - found[1][1] < MARGIN:
            return None
        return found[0][0]

    def _score(self, asked: tuple[str, ...], name: tuple[str, ...]) -> float:
        shared = asked_weight = 0.0
        left = list(name)
        for word in asked:
            likes = self._likes(word)
            hit = word if word in left else next((other for other in left if other in likes), None)
            weight = self._weight.get(hit or word, 1.0)
            asked_weight += weight
            if hit is not None:
                left.remove(hit)
                shared += weight if hit == word else MISSPELT * weight
        whole = asked_weight + sum(self._weight[word] for word in name)
        return min(2.0 * shared / whole, 0.999) if whole else 0.0

    def _likes(self, word: str) -> frozenset[str]:
        """The words of all names that may be this word, misspelt or not."""
        if word not in self._near:
            if len(self._near) >= REMEMBERED:
                self._near.clear()
            self._near[word] = frozenset(other for other in self._with if other == word or _alike(word, other))
        return self._near[word]


def _alike(word: str, other: str) -> bool:
    from rapidfuzz import fuzz

    return min(len(word), len(other)) > 4 and word[0] == other[0] and fuzz.ratio(word, other) >= ALIKE
