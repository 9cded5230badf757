"""What identifies a person is left out of a record, and that it was is said.

Fields are left out by name; running text loses names that structured fields gave, dates, long numbers, addresses of
mail and web, and what follows a label such as 'Name:'. Text is cleaned by patterns: what is written in no such way
stays, so free text still wants a reader before it is given away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

LEFT_OUT = "[left out]"

_FIELDS = re.compile(
    r"(^|_)(name|surname|forename|given_name|family_name|firstname|lastname|mrn|identifier|id|ids|ssn|nhs|insurance|"
    r"passport|address|street|city|zip|postcode|postal|telecom|phone|fax|email|mail|url|photo|birth_?date|"
    r"date_of_birth|dob|birthday|accession|physician|doctor|provider|practitioner)($|_)",
)
_PATTERNS = (
    re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.]+\b"),
    re.compile(r"\bhttps?://\S+", re.IGNORECASE),
    re.compile(r"\b\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?\b"),
    re.compile(r"\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"),
    re.compile(
        r"\b\d{1,2}(?:st|nd|rd|th)?\.? (?:of )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,? \d{4}\b"
        r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}\b",
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:\+?\d[ -]?){8,}\d?\b"),
    re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    re.compile(r"\b[A-Z]{0,4}\d{2}[-/]\d{4,}\b"),
)
_LABELLED = re.compile(
    r"\b(patient(?:'s)? name|patient id|full name|name|mrn|dob|date of birth|nhs(?: no| number)?|ssn|phone|address|"
    r"accession(?: no| number)?|referring physician|signed(?: by)?|pathologist|hospital no)\s*[:#=]\s*[^\n;,.]*",
    re.IGNORECASE,
)
_TITLED = re.compile(r"\b(?:Mrs?|Ms|Miss|Dr|Prof)\.? (?:[A-Z][\w'-]+ ?){1,3}")


def is_identifying(field: str) -> bool:
    """True for the name of a field that says who somebody is."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", field).lower()
    return bool(_FIELDS.search(re.sub(r"[^a-z0-9]+", "_", plain)))


def clean_text(text: str, names: Iterable[str] = ()) -> str:
    """Running text without what `names` holds and without what looks like a name, date, number or address."""
    for name in sorted({name.strip() for name in names if len(name.strip()) > 1}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", LEFT_OUT, text, flags=re.IGNORECASE)
    text = _LABELLED.sub(lambda found: f"{found.group(1)}: {LEFT_OUT}", text)
    text = _TITLED.sub(LEFT_OUT + " ", text)
    for pattern in _PATTERNS:
        text = pattern.sub(LEFT_OUT, text)
    return text


def identifying_words(fields: Mapping[str, Any]) -> list[str]:
    """Every word of every field of these that says who somebody is, to be left out of running text too."""
    found: list[str] = []
    for name, value in fields.items():
        if is_identifying(name):
            found += _words(value)
    return found


def _words(value: Any) -> list[str]:
    if isinstance(value, str | int):
        text = str(value)
        return [text, *(word for word in re.split(r"[\s,]+", text) if len(word) > 2 or word.isdigit())]
    if isinstance(value, Mapping):
        return [word for item in value.values() for word in _words(item)]
    if isinstance(value, list | tuple):
        return [word for item in value for word in _words(item)]
    return []
