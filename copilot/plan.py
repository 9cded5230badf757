"""What a question asks for, read from its words by fixed rules: a tool-choosing model is not needed for that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Intent = Literal[
    "describe", "organ", "category", "stain", "tissue", "measure", "quality", "immunophenotype",
    "grade", "tests", "compare", "scale", "greeting", "knowledge",
]  # fmt: skip

_RULES: tuple[tuple[Intent, str], ...] = (
    ("greeting", r"^\s*(hi|hello|hey|good (morning|afternoon|evening)|thanks?|thank you)\b[\s!.,]*(there|you)?[\s!.,]*$"),
    ("immunophenotype", r"\b(ki-?67|mib-?1|her-?2|er|pr|pd-?l1|mmr|msi|cd\d+\w*|ck\d+|ck|p16|p40|p53|p63|ttf-?1|braf|kras|egfr|idh1?|alk|"
                        r"immuno\w*|ihc|receptor\w*|mutation\w*|mutated|molecular|amplif\w*|fusion|methylation|oestrogen|estrogen|progesterone)\b"),
    ("tests", r"\b(which|what|any)?\s*(ancillary|further|additional|next)?\s*(tests?|stains?\s+(should|would|to)|work-?up|panel|order)\b"),
    ("grade", r"\b(grad(e|ing)|gleason|isup|stag(e|ing)|tnm|mitos[ei]s|mitotic|nottingham|margins?|lymphovascular|perineural)\b"),
    ("measure", r"\b(how many|how (big|large|dense|cellular)|count|number of|measure|size|area|density|cellularity|diameter|nuclei|nuclear)\b"),
    ("scale", r"\b(magnification|objective|µm/px|um/px|mpp|scale|resolution|power)\b"),
    ("quality", r"\b(quality|focus|blur\w*|sharp|artefact\w*|artifact\w*|pen|usable|adequate|adequacy)\b"),
    ("stain", r"\b(which|what|kind of|is this|type of)\b.{0,20}\bstain\w*|\bstain\w*\s*(type|is|was)\b|\bh\s?&\s?e\b.*\?"),
    ("compare", r"\b(compare|differ\w*|difference|versus|vs\.?|both|same as|between)\b"),
    ("category", r"\b(malignan\w*|benign|cancer\w*|carcinoma|tumou?r\w*|neoplas\w*|dysplas\w*|adenoma|sarcoma|lymphoma|inflam\w*|normal|"
                 r"reactive|infect\w*|metasta\w*|invasive|suspicious)\b"),
    ("organ", r"\b(organ|site|where|origin|primary|anatom\w*|from which|tissue of origin)\b"),
    ("tissue", r"\b(tissue|structure|cell type|epitheli\w*|stroma|gland\w*|muscle|fat|adipose|mucus|necros\w*|debris)\b"),
)  # fmt: skip


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
    found = [intent for intent, pattern in _RULES if re.search(pattern, words)]
    if "greeting" in found and len(found) == 1:
        return Plan(("greeting",))
    found = [intent for intent in found if intent != "greeting"]
    if views > 1 and "compare" not in found:
        found.append("compare")
    if views == 0:
        return Plan(("knowledge",))
    return Plan(tuple(dict.fromkeys(found)) or ("describe",))
