"""What the words of a request say about how much tissue there is to stain."""

from __future__ import annotations

import re

_LITTLE = re.compile(
    r"\b(crush(?:ed)?(?:\s+artefact)?|scant(?:y)?|sparse|tiny|minute|small fragments?|single cells only|"
    r"few (?:viable )?(?:tumou?r )?cells|paucicellular|hypocellular|(?:limited|little) (?:tissue|material)|"
    r"mostly (?:necrotic|necrosis|blood)|largely necrotic|fragmented|autolysed|autolyzed|necrotic (?:core|biopsy))\b",
    re.IGNORECASE,
)
_TOO_LITTLE = re.compile(
    r"\b(insufficient|inadequate|non-?diagnostic|not representative|unrepresentative|acellular|exhausted|"
    r"used up|cut through|no (?:more |residual |remaining |viable )*(?:tissue|tumou?r|lesion(?:al)?|material|cells)"
    r"(?: (?:cells|tissue))?(?: (?:is |are )?(?:left|remains?|remaining|seen|present|in the block))?|"
    r"only (?:necro\w+|blood|clot|mucus|fibrin|debris|crushed \w+|fibrous tissue|fat|necrotic \w+)|"
    r"(?:necrosis|blood|debris|mucus) only|entirely necrotic|completely necrotic|all necrotic|"
    r"lost on (?:deeper|further) (?:levels?|sections?)|block is empty)\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:not|no longer|previous(?:ly)?|first|earlier|prior)\s+(?:\w+\s+){0,2}$", re.IGNORECASE)


def says_too_little(context: str | None) -> bool:
    """True when the request says that the sample does not hold enough for any test."""
    return _found(_TOO_LITTLE, context) is not None


def sample_warnings(context: str | None) -> tuple[str, ...]:
    """A warning when the request says that there is little, or too little, to stain."""
    said = _found(_TOO_LITTLE, context)
    if said is not None:
        return (
            f"The context says “{said}”: more tissue is needed; a negative stain on such a sample excludes nothing. "
            "Look at deeper levels and other blocks first, then ask for another sample",
        )
    said = _found(_LITTLE, context)
    if said is None:
        return ()
    return (
        f"The context speaks of a {said.lower()} sample: more tissue may be needed before any stain decides. "
        "Cut all unstained sections at once, order one test at a time, keep some for predictive tests",
    )


def _found(pattern: re.Pattern[str], context: str | None) -> str | None:
    """The words of the first statement that is not denied and not of an earlier sample."""
    for match in pattern.finditer(context or ""):
        if not _NOT.search((context or "")[: match.start()]):
            return match.group()
    return None
