"""Results that a person wrote are read as results of this case, and nothing else is."""

from __future__ import annotations

import pytest

from instruction_data.knowledge import load_knowledge, stated_results

STATED = {
    "CK7 positive, TTF-1 neg.": {"CK7": "positive", "TTF1": "negative"},
    "CK7+/CK20-, CDX2 (-)": {"CK7": "positive", "CK20": "negative", "CDX2": "negative"},
    "Positive for CK7, TTF-1 and napsin A; negative for CK20 and CDX2": {
        "CK7": "positive",
        "TTF1": "positive",
        "NAPSA": "positive",
        "CK20": "negative",
        "CDX2": "negative",
    },
    "MLH1 and PMS2 lost": {"MLH1_PMS2": "negative", "PMS2": "negative"},
    "no loss of MLH1": {"MLH1_PMS2": "positive"},
    "loss of BAP1": {"BAP1": "negative"},
    "p53 aberrant": {"P53": "positive"},
    "p53 wild-type": {"P53": "negative"},
    "negative CK20 and positive CK7": {"CK20": "negative", "CK7": "positive"},
    "TTF1: negative, CK7: positive": {"TTF1": "negative", "CK7": "positive"},
    "S100, SOX10 and Melan-A negative": {"S100": "negative", "SOX10": "negative", "MELANA": "negative"},
    "CK7-positive, CK20-negative adenocarcinoma": {"CK7": "positive", "CK20": "negative"},
    "CD117 (+++), DOG1 (+)": {"KIT": "positive", "DOG1": "positive"},
    "liver lesion, weight loss, take a kit, er": {},
    "CK7 positive. Repeat: CK7 negative": {"CK7": "negative"},
}
NOT_USED = (
    "Is CK7 positive?",
    "if CK7 positive then what",
    "history of CK7-positive breast carcinoma",
    "CK7 pending",
    "CK7 focally positive",
    "p53 positive",
)


@pytest.mark.parametrize(("text", "expected"), STATED.items())
def test_results_are_read(text: str, expected: dict[str, str]) -> None:
    found = stated_results(load_knowledge(), text)
    assert {result.marker: result.value for result in found} == expected


@pytest.mark.parametrize("text", NOT_USED)
def test_what_is_no_result_of_this_case_is_not_used_and_says_why(text: str) -> None:
    (result,) = stated_results(load_knowledge(), text)
    assert result.value is None
    assert result.reason
