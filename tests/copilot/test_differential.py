"""Laws of the differential and of conflicts between request and picture."""

from __future__ import annotations

import pytest

from copilot.answer import Question
from copilot.check import check_sentence
from copilot.differential import conflicts, differential
from copilot.meaning import CATEGORIES
from instruction_data.knowledge import load_knowledge
from slides import Finding
from vision_encoder.observation import Observation

from .grounds import FINDINGS, classified, grounded, observed

KNOWLEDGE = load_knowledge()
SEEN = observed(*FINDINGS)


def spread(name: str, label: str, p: float, classes: tuple[str, ...]) -> Finding:
    others = [other for other in classes if other != label]
    return classified(name, (label, p), *((other, (1 - p) / len(others)) for other in others))


def sure(organ: str = "colon", category: str = "malignant", stain: str = "HE", p: float = 0.97) -> Observation:
    return observed(
        spread("stain", stain, 0.99, ("HE", "IHC", "special stain", "cytology", "not histology")),
        spread("organ", organ, p, ("colon", "liver", "skin", "breast", "stomach", "another organ")),
        spread("category", category, p, CATEGORIES),
    )


def test_the_first_candidates_fit_the_findings() -> None:
    found = differential([sure()], context=None, knowledge=KNOWLEDGE)
    assert found
    assert found[0].name == "Colorectal adenocarcinoma"
    assert "organ: colon" in found[0].why
    liver = differential([sure("liver", "inflammatory/infectious")], context=None, knowledge=KNOWLEDGE)
    assert all(KNOWLEDGE.entity(c.entity_id).organ == "liver" for c in liver[:3])


def test_a_class_that_few_diagnoses_fall_into_gains_nothing_when_it_is_improbable() -> None:
    """Oral carcinoma once brought up the gallbladder: few diagnoses share the little probability of that class."""
    organs = ("oral cavity", "gallbladder", "pancreas", "esophagus", "stomach", "colon", "another organ")
    seen = observed(
        spread("stain", "HE", 0.99, ("HE", "IHC")),
        spread("organ", "oral cavity", 0.97, organs),
        spread("category", "malignant", 0.9, CATEGORIES),
    )
    found = differential([seen], context=None, knowledge=KNOWLEDGE)
    assert found[0].name == "Head and neck squamous carcinoma"
    assert found[0].probability > 4 * found[1].probability


def test_groups_are_never_ranked() -> None:
    groups = {entity.id for entity in KNOWLEDGE.entities.values() if entity.is_group}
    found = differential([SEEN], context="lymphoma, metastasis, carcinoma", knowledge=KNOWLEDGE, limit=400)
    assert groups
    assert not groups & {candidate.entity_id for candidate in found}


def test_shares_sum_to_less_than_one_and_fall() -> None:
    for limit in (1, 6, 400):
        found = differential([SEEN], context="colon biopsy", knowledge=KNOWLEDGE, limit=limit)
        shares = [candidate.probability for candidate in found]
        assert len(found) <= limit
        assert sum(shares) < 1.0
        assert shares == sorted(shares, reverse=True)
        assert all(share > 0 for share in shares)


def test_it_is_deterministic() -> None:
    first = differential([SEEN], context="colon biopsy", knowledge=KNOWLEDGE)
    assert first == differential([SEEN], context="colon biopsy", knowledge=KNOWLEDGE)


def test_one_name_of_close_kin_is_given() -> None:
    found = differential([sure()], context=None, knowledge=KNOWLEDGE)
    ids = {candidate.entity_id for candidate in found}
    assert "COADREAD" in ids
    assert not ids & {"COAD", "READ"}


def test_the_request_is_heard() -> None:
    bare = {c.entity_id: c.probability for c in differential([SEEN], context=None, knowledge=KNOWLEDGE, limit=400)}
    named = differential([SEEN], context="? melanoma", knowledge=KNOWLEDGE, limit=400)
    assert next(c for c in named if c.entity_id == "MEL").probability > bare["MEL"]
    denied = differential([SEEN], context="no melanoma", knowledge=KNOWLEDGE, limit=400)
    assert next(c for c in denied if c.entity_id == "MEL").probability == pytest.approx(bare["MEL"])


def test_candidates_given_are_the_only_ones() -> None:
    found = differential(
        [SEEN], context=None, given=["melanoma", "colon adenocarcinoma", "wombat disease"], knowledge=KNOWLEDGE
    )
    assert [candidate.name for candidate in found] == ["Colon adenocarcinoma", "Melanoma, any site", "wombat disease"]
    assert found[-1].entity_id == ""
    assert found[-1].probability == 0.0
    assert 0.5 < sum(candidate.probability for candidate in found) < 1.0


def test_nothing_seen_and_nothing_said_gives_nothing() -> None:
    assert differential([], context=None, knowledge=KNOWLEDGE) == ()
    glass = observed(*FINDINGS, usable=False, reason="The view is empty glass")
    assert differential([glass], context=None, knowledge=KNOWLEDGE) == ()


def test_a_likeness_counts_for_its_diagnosis() -> None:
    seen = sure(category="pre-malignant")
    alike = observed(
        *(item.finding for item in seen.evidence), Finding("resembles", label="tubular adenoma", probability=0.7)
    )
    plain = differential([seen], context=None, knowledge=KNOWLEDGE, limit=400)
    drawn = differential([alike], context=None, knowledge=KNOWLEDGE, limit=400)
    share = {c.entity_id: c.probability for c in plain}["x_colorectal_adenoma"]
    assert next(c for c in drawn if c.entity_id == "x_colorectal_adenoma").probability > share
    assert drawn[0].entity_id == "x_colorectal_adenoma"


@pytest.mark.parametrize(
    ("context", "seen", "word"),
    [
        ("Skin biopsy", sure(), "Skin"),
        ("breast core", sure(), "breast"),
        ("normal colon", sure(), "normal"),
        ("colonic adenocarcinoma", sure(category="normal"), "adenocarcinoma"),
        ("PAS stain", sure(), "PAS"),
        ("lymph node, clinically lymphoma", sure("breast"), "lymph node"),
    ],
)  # fmt: skip
def test_a_conflict_is_named_and_passes_the_check(context: str, seen: Observation, word: str) -> None:
    found = conflicts([seen], context)
    assert found
    assert f"The request says {word};" in found[0].text
    ground = grounded(seen, question=Question("What is this?", context=context))
    for conflict in found:
        claim = check_sentence(conflict.text, ground)
        assert claim.status == "supported", (conflict.text, claim.reason)
        assert claim.evidence == conflict.evidence


@pytest.mark.parametrize(
    ("context", "seen"),
    [
        (None, sure()),
        ("", sure()),
        ("colon biopsy", sure()),
        ("colorectal carcinoma", sure()),
        ("rectal biopsy", sure()),
        ("liver metastasis of a colonic carcinoma", sure()),
        ("history of lung cancer", sure()),
        ("previous breast carcinoma", sure(category="normal")),
        ("not from the skin", sure()),
        ("skin?", sure()),
        ("rule out normal mucosa", sure()),
        ("skin biopsy", sure(p=0.7)),
        ("skin biopsy", sure("another organ")),
        ("CD20 positive, Ki-67 20 % elsewhere", sure()),
        ("diarrhoea for three weeks", sure()),
        ("H&E", sure()),
    ],
)  # fmt: skip
def test_no_conflict_is_made_up(context: str | None, seen: Observation) -> None:
    assert conflicts([seen], context) == ()


def test_abstaining_and_unusable_findings_contradict_nothing() -> None:
    silent = observed(classified("organ", ("colon", 0.97), ("skin", 0.03), abstained=True, reason="unlike"))
    assert conflicts([silent], "skin biopsy") == ()
    glass = observed(classified("organ", ("colon", 0.97), ("skin", 0.03)), usable=False, reason="glass")
    assert conflicts([glass], "skin biopsy") == ()


def test_evidence_is_counted_through_all_views() -> None:
    first, second = sure("skin"), sure("colon")
    found = conflicts([first, second], "skin biopsy")
    assert [conflict.evidence for conflict in found] == [(len(first.evidence) + 1,)]
