"""The closed list of sentences that rest on no finding: limits of the method, and advice to the reader.

Matched on plain lower-case text, each as a whole clause. Whatever is not in the list needs a finding or a source.
"""

from __future__ import annotations

import re

from .terms import MARKER

_MATTER = (
    r"(?:(?:the )?(?:tumou?r )?(?:grade|stage|margins?|invasion|(?:lymphovascular|perineural) invasion|mitoses|mitotic "
    r"(?:count|rate|activity)|differentiation|immunophenotype|(?:protein |marker )?expression|molecular results?|"
    r"(?:molecular |receptor |mutation )status|markers?(?: status)?|marker or molecular results?|"
    r"\ue0ff(?: status| expression| result)?|protein expression and molecular results))"
)
_MATTERS = rf"{_MATTER}(?:(?:, | and | or |, and |, or ){_MATTER})*"
_PICTURE = r"(?:this|an?|the) (?:h&e )?(?:section|slide|stain|picture|image|h&e section|morphology)"
_UNSEEN = (
    r"(?:cannot be (?:read|told|seen|assessed|measured|inferred)|(?:is|are) not (?:assessed|measured|read|shown)"
    rf"(?: here)?)(?: (?:from|in|by|on) {_PICTURE}| from morphology(?: alone)?| here)?"
)

LIMITS = tuple(
    re.compile(rf"(?:{pattern})[.!]?")
    for pattern in (
        rf"{_MATTERS} {_UNSEEN}(?:: no validated measure stands behind (?:them|it))?",
        rf"no {_MATTERS} can be (?:read|told|seen|assessed) from {_PICTURE}",
        rf"no validated measure of {_MATTERS} exists here, so (?:they are|it is) not assessed",
        r"(?:they|it|these|this|each) needs? (?:their|its|an?) own (?:test|stain)",
        r"this is a draft(?: and needs a pathologist| for a pathologist to check)?",
        r"this is (?:not a diagnosis|a reading aid, not a diagnosis)",
        r"a pathologist (?:has to|must|should) (?:check|confirm|decide)(?: this| it)?",
        r"prognosis and treatment are not told from a picture of tissue",
        r"they rest on the whole case and on those who treat the patient",
        r"nothing of the patient is read, neither from the file nor from the picture",
        r"organisms and single kinds of cells are not looked for here: no validated measure stands behind them",
        r"this is research software that describes tissue on a slide",
        r"it is not a medical device",
        r"which marker was stained is not in the picture",
        r"what is measured is the chromogen, not a score of the marker",
        r"no image came with this question, so nothing visual can be said",
        r"without an image,? nothing visual can be said",
        r"nothing seen here narrows the differential enough to rank tests",
        r"name candidates to compare",
        r"the findings do not settle this choice(?:, so none of the options is taken)?",
        r"none of the options is taken",
        r"open a slide, draw a box on it and ask what is seen",
        r"draw a box on a slide and ask",
        r"the answer points at the tissue it rests on",
        r"each sentence of the answer points at the tissue it rests on",
        r"(?:please )?(?:ask|look|try|zoom in|go) (?:for |at |to |in )?(?:a )?higher (?:power|magnification)",
        r"(?:a )?higher (?:power|magnification) (?:may|might|would|could) help",
        r"(?:please )?(?:draw|choose|mark|take) (?:a |another |a larger |a smaller )?(?:box|region|field|view)"
        r"(?: (?:around|on|over|of|with) (?:the )?(?:tissue|slide|lesion|area of interest))?",
        r"(?:please )?(?:ask|state|give|add) (?:for )?(?:the |more )?(?:clinical context|context|µm/px|history|"
        r"site of the specimen)(?: with --\w+)?",
        r"state it with --mpp",
        r"(?:please )?(?:cut|order|ask for) deeper levels",
        r"(?:please )?(?:rescan|scan) (?:the|this) slide(?: again)?",
        r"ask a pathologist",
        r"what was not looked at may differ",
        r"only h&e was looked at",
    )
)
"""Clauses that hold of every slide. The sign U+E0FF stands for the name of a marker or molecular test."""

SCALE_UNKNOWN = tuple(
    re.compile(rf"(?:{pattern})[.!]?")
    for pattern in (
        r"the (?:µm/px|scale|pixel size)(?: of this (?:slide|view|image))? is (?:unknown|not (?:known|stated|given))"
        r"(?:, so no (?:size|area|density|measure|size or density) (?:is|can be) (?:given|measured))?",
        r"no (?:size|area|density|measure|size or density) (?:is|can be) (?:given|measured),? (?:because|as|since) the "
        r"(?:µm/px|scale|pixel size)(?: of this (?:slide|view|image))? is (?:unknown|not (?:known|stated|given))",
    )
)
"""Clauses that are true only of a view without µm/px."""


def is_limit(clause: str) -> bool:
    """True when a clause (plain, lower case) is one of the closed list."""
    forms = (clause, MARKER.sub("\ue0ff", clause))
    return any(pattern.fullmatch(form) for pattern in LIMITS for form in forms)


def says_scale_unknown(clause: str) -> bool:
    """True when a clause says that the µm/px is unknown."""
    return any(pattern.fullmatch(clause) for pattern in SCALE_UNKNOWN)
