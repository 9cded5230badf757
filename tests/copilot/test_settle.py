"""What would settle the differential: only where something carries it, and always with its source."""

from __future__ import annotations

import pytest

from copilot.answer import Question
from copilot.check import Ground, check_sentence
from copilot.differential import Candidate
from copilot.settle import entries, settle
from instruction_data.knowledge import load_knowledge

from .grounds import classified, observed

KNOWLEDGE = load_knowledge()


def test_nothing_is_settled_where_nothing_carries_a_differential() -> None:
    guesses = (Candidate("COADREAD", "Colorectal adenocarcinoma", 0.4, ""), Candidate("LUAD", "Lung", 0.3, ""))
    assert settle(KNOWLEDGE, guesses, (), context="biopsy of an ulcer").statements == ()


def test_a_picture_alone_never_says_that_no_test_is_needed() -> None:
    seen = observed(
        classified("stain", ("HE", 0.99), ("IHC", 0.01)), classified("category", ("malignant", 0.9), ("normal", 0.1))
    )
    sure = (
        Candidate("HNSC", "Head and neck squamous carcinoma", 0.85, ""),
        Candidate("ESCC", "Oesophageal squamous carcinoma", 0.02, ""),
        Candidate("LUSC", "Lung", 0.001, ""),
    )
    for candidates in (sure, sure[:1]):
        settled = settle(KNOWLEDGE, candidates, [seen], context=None)
        assert not any("None needed" in statement.wordings[0] for statement in settled.statements)


@pytest.mark.parametrize(
    ("context", "named"),
    [
        ("colon biopsy, ulcer, ?carcinoma", "colon adenocarcinoma"),
        ("liver biopsy, known colorectal carcinoma", "colorectal adenocarcinoma"),
        ("GIST?", "gastrointestinal stromal tumour"),
    ],
)
def test_a_diagnosis_in_the_request_is_set_against_what_it_is_confused_with(context: str, named: str) -> None:
    settled = settle(KNOWLEDGE, (), (), context=context)
    considered, *tests = [statement.wordings[0] for statement in settled.statements]
    assert considered.split(": ")[1].startswith(named)
    assert considered.count(";") >= 1
    assert tests


def test_every_sentence_has_a_source_and_passes_the_checker() -> None:
    settled = settle(KNOWLEDGE, (), (), context="GIST?", asked=True)
    ground = Ground((), settled.cited, Question("Which tests?"))
    for statement in settled.statements:
        assert statement.sources
        assert check_sentence(statement.wordings[0], ground).status == "knowledge"


def test_the_same_sentence_with_another_figure_is_struck() -> None:
    settled = settle(KNOWLEDGE, (), (), context="GIST?", asked=True)
    ground = Ground((), settled.cited, Question("Which tests?"))
    text = next(s.wordings[0] for s in settled.statements if "%" in s.wordings[0])
    altered = text.replace(" %", "1 %", 1)
    assert check_sentence(altered, ground).status == "struck"


def test_a_marker_in_the_question_is_explained_from_the_tables() -> None:
    told = [statement.wordings[0] for statement in entries(KNOWLEDGE, "What does CK20 show?").statements]
    assert len(told) == 1
    assert told[0].startswith("CK20")
    assert entries(KNOWLEDGE, "What is this?").statements == ()


@pytest.mark.parametrize(
    "text", ["Read the Ki-67 on this H&E.", "Can deep learning read Ki-67?", "Did he read Ki-67 in the past?"]
)
def test_a_word_that_is_a_code_in_capitals_names_nothing(text: str) -> None:
    told = [statement.wordings[0] for statement in entries(KNOWLEDGE, text).statements]
    assert len(told) == 1
    assert told[0].startswith("Ki-67")
    assert entries(KNOWLEDGE, "What is READ?").statements[0].wordings[0].startswith("Rectal adenocarcinoma")
    assert entries(KNOWLEDGE, "What is H&E?").statements
