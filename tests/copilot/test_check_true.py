"""Sentences that are true to the findings, the request or the knowledge stand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.answer import Question
from copilot.check import Cited, check_sentence

from .grounds import FINDINGS, FULL, PITFALL, RATE, UNSCALED, grounded, observed

TRUE = (
    ("The stain is H&E (probability 0.98).", "supported"),
    ("The stain is consistent with H&E (98 %).", "supported"),
    ("By its colours the stain is consistent with HE (0.98).", "supported"),
    ("The tissue looks most like colon (0.71); stomach and small intestine are not excluded.", "supported"),
    ("The picture is suggestive of colon as the organ (0.71); stomach and small intestine not excluded.", "supported"),
    ("Suggestive of colon, with a probability of 71 %.", "supported"),
    ("The organ: 0.71 for colon, then stomach (0.15).", "struck"),
    ("The organ looks most like colon (0.71), then stomach (0.15) and small intestine (0.09).", "supported"),
    ("Colon (0.71) is more likely than stomach (0.15).", "supported"),
    ("It favours a malignant process (0.87; 90 % set: malignant, pre-malignant).", "supported"),
    ("The picture favours malignancy (87 %).", "supported"),
    ("This field favours malignant as the process (0.87); the 90 % set also holds pre-malignant.", "supported"),
    ("Malignant and pre-malignant cannot be told apart.", "supported"),
    ("Pre-malignant remains possible.", "supported"),
    ("It may be premalignant.", "supported"),
    ("The tissue is probably malignant (0.87).", "supported"),
    ("The picture is consistent with colorectal adenocarcinoma epithelium in colon (0.96).", "supported"),
    ("The tissue is colorectal adenocarcinoma epithelium (0.96).", "supported"),
    ("Nuclei number about 3,400 per mm² (95 % interval 3,100 to 3,700), median area 38 µm².", "supported"),
    ("There are about 3,400 nuclei per mm² (95 % interval 3,090 to 3,720).", "supported"),
    ("There are 3412 nuclei per mm².", "supported"),
    ("The median nuclear area is 38.2 µm².", "supported"),
    ("The median nuclear area is 38.2 μm².", "supported"),
    ("Nuclei measure 38 µm² at the median.", "supported"),
    ("Nuclear size varies with a coefficient of variation of 0.42.", "supported"),
    ("The median eccentricity of nuclei is 0.71.", "supported"),
    ("Nuclei are 3.4 times as dark with haematoxylin as the tissue between them at the median.", "supported"),
    ("Nuclei cover 23 % of the tissue.", "supported"),
    ("Nuclei cover 23% of the tissue.", "supported"),
    ("Clear space (lumina, fat or glass) makes up 12 % of the tissue.", "supported"),
    ("Lumina, fat or other clear space take 12 % of the tissue.", "supported"),
    ("Tissue covers 62 % of the view.", "supported"),
    ("Focus is sharp.", "supported"),
    ("12 of 240 fields were looked at.", "supported"),
    ("12 of 240 tissue fields were looked at at 0.50 µm/px.", "supported"),
    ("This rests on 12 of 240 tissue fields at 0.50 µm/px.", "supported"),
    (
        "The reference case it resembles most is a tubular adenoma; such a match was of the right category in 62 % of "
        "held-out cases.",
        "supported",
    ),
    (
        "Among the reference cases it looks most like tubular adenoma; such a likeness was right about the kind of "
        "process in 0.62 of held-out cases.",
        "supported",
    ),
    (
        "The request says melanoma; the picture is rather consistent with colorectal adenocarcinoma epithelium (0.96): "
        "this is a conflict.",
        "supported",
    ),
    (
        "The request says melanoma; the picture is consistent with colorectal adenocarcinoma epithelium (0.96): "
        "this is a conflict.",
        "supported",
    ),
    ("The request says melanoma.", "asked"),
    ("You asked about melanoma.", "asked"),
    ("The context says: history of melanoma, no lymphoma.", "asked"),
    ("The context states liver biopsy.", "asked"),
    ("The context says CDX2 was reported positive.", "asked"),
    (RATE, "knowledge"),
    (RATE.rstrip("."), "knowledge"),
    (PITFALL, "knowledge"),
    ("Order CDX2.", "knowledge"),
    ("An immunostain for CDX2 would help.", "knowledge"),
    ("Ask for higher power.", "knowledge"),
    ("Draw a box on a slide and ask.", "knowledge"),
    ("This is not a diagnosis.", "knowledge"),
    (
        "Protein expression and molecular results cannot be read from this section; they need their own test.",
        "knowledge",
    ),
    ("No marker or molecular result can be read from this section; it needs its own test.", "knowledge"),
    ("HER2 status cannot be told from this section.", "knowledge"),
    ("Ki-67 and p53 cannot be read from an H&E section.", "knowledge"),
    (
        "Grade, stage, margins, invasion and mitoses are not assessed here: no validated measure stands behind them.",
        "knowledge",
    ),
    ("Mitotic count is not assessed.", "knowledge"),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "status"), TRUE)
def test_a_sentence_true_to_its_ground_stands(sentence: str, status: str) -> None:
    claim = check_sentence(sentence, FULL)
    assert claim.status == status, claim.reason
    assert claim.text == sentence
    if status == "knowledge":
        assert claim.sources


def test_the_table_is_large() -> None:
    assert len([s for s, status in TRUE if status != "struck"]) >= 40


@pytest.mark.parametrize(
    "sentence",
    [
        "The µm/px of this slide is unknown, so no size is given; state it with --mpp.",
        "The µm/px is unknown; state it with --mpp.",
        "State it with --mpp.",
    ],
)
def test_an_unknown_scale_is_said(sentence: str) -> None:
    assert check_sentence(sentence, UNSCALED).status in ("supported", "knowledge")


def test_a_citation_is_said_word_for_word() -> None:
    cited = (Cited("A first fact. A second fact.", "source", ()),)
    ground = grounded(observed(), knowledge=cited)
    assert check_sentence("A second fact.", ground).status == "knowledge"
    assert check_sentence("A second.", ground).status == "struck"


def test_the_same_sentence_is_always_judged_the_same() -> None:
    for sentence, _ in TRUE:
        assert check_sentence(sentence, FULL) == check_sentence(sentence, FULL)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([s for s, status in TRUE if status == "supported"]),
    st.sampled_from(["melanoma", "17", "HER2", "necrosis", "not"]),
    st.data(),
)
def test_one_unfounded_word_strikes_a_true_sentence(sentence: str, word: str, data: st.DataObject) -> None:
    words = sentence.split()
    position = data.draw(st.integers(1, len(words) - 1))
    altered = " ".join([*words[:position], word, *words[position:]])
    assert check_sentence(altered, grounded(observed(*FINDINGS), question=Question("?"))).status == "struck"
