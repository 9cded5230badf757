"""What a question asks for, read from its words by fixed rules: a tool-choosing model is not needed for that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .terms import MARKER

Intent = Literal[
    "describe", "organ", "category", "stain", "tissue", "measure", "quality", "immunophenotype",
    "grade", "outcome", "patient", "objects", "self", "tests", "compare", "scale", "greeting", "knowledge", "where",
]  # fmt: skip

_WORDS: dict[Intent, str] = {
    "immunophenotype": r"""ki-?67 mib-?1 her-?2 er pr pd-?l1 mmr msi cd\d+\w* ck ck\d+ p16 p40 p53 p63 ttf-?1 braf kras
        egfr idh1? alk immuno\w* ihc receptor\w* mutation\w* mutated molecular amplif\w* fusion methylation oestrogen
        estrogen progesterone""",
    "tests": r"tests? panel work-?up ancillary order",
    "grade": r"""grad(?:e|ing) gleason isup stag(?:e|ing) tnm mitos[ei]s mitotic nottingham margins? lymphovascular
        perineural invasion""",
    "outcome": r"""prognos\w* surviv\w* relapse recurrence treatments? treat therap\w* chemotherap\w* radiotherap\w*
        eligible dose medication""",
    "objects": r"""pylori helicobacter giardia fung\w* bacteri\w* organisms? parasites? virus\w* eosinophils?
        neutrophils? plasma granulomas? macrophages?""",
    "measure": r"""many count number measure size area density cellularity diameter nuclei nuclear dense cellular""",
    "scale": r"magnification objective µm/px um/px mpp scale resolution power",
    "quality": r"quality focus blur\w* sharp artefact\w* artifact\w* pen usable adequate adequacy",
    "stain": r"stain stains stained h&e dye counterstain\w*",
    "compare": r"compare differ\w* versus vs both between",
    "category": r"""malignan\w* benign cancer\w* carcinoma\w* tumou?r\w* neoplas\w* dysplas\w* adenoma\w* sarcoma\w*
        lymphoma\w* inflam\w* normal reactive infect\w* metasta\w* invasive suspicious""",
    "organ": r"organ site origin primary anatom\w* biopsy",
    "tissue": r"tissue structure epitheli\w* stroma gland\w* muscle fat adipose mucus necros\w* debris",
}
_GREETING = re.compile(
    r"\s*(hi|hello|hey|thanks?|thank you|good (morning|afternoon|evening))\b[\s!.,]*"
    r"(there|you|a lot|very much|all)?[\s!.,]*"
)
_SELF = re.compile(
    r"\b(?:who|what) are you\b|\bare you (?:an?|human|real)\b|\bwhat can you do\b|\bcan i trust you\b|"
    r"\bwrite (?:me )?an? (?:poem|joke|song|story)\b"
)
_OUTCOME = re.compile(r"\b(?:which|what) drugs?\b")
_PATIENT = re.compile(r"\bpatient\b.*\b(?:name|old|age|sex|male|female)\b|\bhow old\b|\bpatient's (?:name|age|sex)\b")
_FROM_WHERE = re.compile(r"\bwhere\b.*\b(?:from|come|comes|taken|body)\b")
_WHERE = re.compile(r"\bwhere\b|\bwhich (?:area|field|part|place|region|spot)s?\b|\blocali[sz]\w*|\bshow me\b")
_IMMUNOSTAINS = re.compile(r"\b(?:which|what) (?:further |other |more )?(?:immuno\w*|(?:special )?stains)\b")
_DEFINITION = re.compile(
    r"\s*(?:what(?:'s| is| are| does)|define|explain) (?:an? |the )?(?!(?:this|that|it|these|shown|seen|here)\b)"
)
_PATTERNS = {intent: re.compile(rf"(?<!\w)(?:{'|'.join(words.split())})(?!\w)") for intent, words in _WORDS.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """Intents in the order they should be answered; `describe` alone when the words name nothing special."""

    intents: tuple[Intent, ...]

    def wants(self, *intents: Intent) -> bool:
        """True when any of these is asked for."""
        return any(intent in self.intents for intent in intents)

    @property
    def lead(self) -> Intent:
        """What the first sentences should be about."""
        return self.intents[0]


def plan(text: str, *, views: int) -> Plan:
    """The plan for a question in plain words; `views` is the number of images or regions it comes with."""
    words = text.casefold()
    if _GREETING.fullmatch(words):
        return Plan(("greeting",))
    if _SELF.search(words):
        return Plan(("self",))
    if views == 0:
        return Plan(("knowledge",))
    found: list[Intent] = [intent for intent, pattern in _PATTERNS.items() if pattern.search(words)]
    if _FROM_WHERE.search(words):
        found = found if "organ" in found else [*found, "organ"]
    elif _WHERE.search(words):
        found.append("where")
    beyond: tuple[tuple[Intent, re.Pattern[str]], ...] = (
        ("immunophenotype", MARKER), ("outcome", _OUTCOME), ("patient", _PATIENT), ("tests", _IMMUNOSTAINS),
        ("knowledge", _DEFINITION),
    )  # fmt: skip
    found += [intent for intent, pattern in beyond if intent not in found and pattern.search(words)]
    if views > 1 and "compare" not in found:
        found.append("compare")
    return Plan(tuple(found) or ("describe",))
