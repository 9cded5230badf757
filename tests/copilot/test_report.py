"""The law of the report: a line names its finding, or says that it was not assessed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from copilot.ancillary import suggest_tests
from copilot.answer import ModelCard
from copilot.report import DRAFT, GIVEN, KNOWLEDGE, Report, ReportLine, check_target, draft_report
from copilot.report_fields import BY_ORGAN, unassessed
from instruction_data.knowledge import load_knowledge
from slides import Finding, UsageError
from vision_encoder.observation import Observation

from .observed import VIEW, evidence, observation, unusable

BODY = ("Conclusion", "Specimen", "What was examined", "Synoptic fields", "Microscopy", "Measures", "Comment")
MALIGNANT = {"malignant": 0.88, "pre-malignant": 0.11, "normal": 0.01}
NORMAL = {"normal": 0.97, "malignant": 0.03}
MODEL = ModelCard("words", "embedded", {"encoder": "ab12", "heads": "cd34"})


def draft(context: str | None = None) -> Report:
    plan = suggest_tests(load_knowledge(), [("COADREAD", 0.6), ("STAD", 0.4)], context=context)
    seen = [observation("b.svs", NORMAL), observation("a.svs", MALIGNANT), unusable("glass.svs")]
    return draft_report(seen, context=context, plan=plan, model=MODEL)


def sections(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in report.markdown().split("\n## ")[1:]:
        title, *lines = part.splitlines()
        found[title] = [line for line in lines if line.strip()]
    return found


def test_every_line_names_its_finding_or_says_not_assessed() -> None:
    report = draft("58 y, liver lesion")
    found = sections(report)
    assert set(BODY) <= set(found)
    for title in BODY:
        for line in found[title]:
            ground = re.search(r" \[(E\d+(?:, E\d+)*)\]$", line)
            assert ground or line.endswith((": not assessed", GIVEN, KNOWLEDGE)), line
            for index in re.findall(r"\d+", ground.group(1)) if ground else ():
                assert 1 <= int(index) <= len(report.evidence)


def test_the_numbers_of_a_line_are_those_of_its_evidence() -> None:
    report = draft()
    for section in report.sections:
        for line in section.lines:
            if section.title in ("Synoptic fields", "Microscopy") and line.status == "supported":
                (index,) = line.evidence
                finding = report.evidence[index - 1].finding
                assert finding.label is not None
                assert finding.label in line.text
                assert f"{finding.probability:.2f}" in line.text


def test_a_line_without_ground_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="needs evidence"):
        ReportLine("Carcinoma is present", "supported")


@pytest.mark.parametrize(
    ("probability", "word"),
    [(0.96, "consistent with"), (0.85, "favours"), (0.6, "suggestive of"), (0.4, "not classified")],
)
def test_the_wording_is_bound_to_the_probability(probability: float, word: str) -> None:
    seen = observation("a.svs", {"malignant": probability, "normal": 1 - probability})
    report = draft_report([seen])
    line = next(line for line in report.section("Synoptic fields").lines if line.text.startswith("Kind"))
    assert word in line.text
    assert word in report.section("Conclusion").lines[0].text.lower()


def test_an_abstaining_finding_is_not_classified_however_sure_it_looks() -> None:
    report = draft_report([observation("a.svs", {"malignant": 0.99}, abstained=True)])
    line = report.section("Synoptic fields").lines[0]
    assert "not classified" in line.text
    assert "unlike the calibration tissue" in line.text


def test_nothing_is_called_diagnostic_or_free_of_disease() -> None:
    text = draft().markdown().lower()
    for phrase in ("diagnostic of", "no evidence of malignancy", "no malignancy", "benign biopsy"):
        assert phrase not in text


def test_the_worst_slide_comes_first_after_what_could_not_be_seen() -> None:
    lines = sections(draft())["What was examined"]
    assert ["glass.svs" in lines[0], "a.svs" in lines[1], "b.svs" in lines[2]] == [True] * 3


def test_the_conclusion_begins_with_the_worst_slide_that_could_be_seen() -> None:
    lines = draft().section("Conclusion").lines
    assert [line.status for line in lines] == ["not assessed", "supported", "supported"]
    assert "Favours a malignant process (0.88)" in lines[1].text
    assert "this excludes nothing in the fields that were not seen" in lines[2].text


def test_a_conflict_with_the_request_is_a_comment_with_its_evidence() -> None:
    comment = draft_report([observation("a.svs", MALIGNANT)], context="Skin excision").section("Comment")
    assert any("conflict" in line.text and line.status == "supported" for line in comment.lines)


def test_what_a_picture_cannot_give_is_listed_as_not_assessed() -> None:
    lines = sections(draft())["Synoptic fields"]
    for field in ("Margins", "Lymphovascular invasion", "Grade", "Stage", "Mitotic count", "Mismatch repair status"):
        assert f"- {field}: not assessed" in lines
    assert all(len(set(unassessed(organ))) == len(unassessed(organ)) for organ in BY_ORGAN)


def test_the_context_is_data() -> None:
    text = draft(
        "# Title\n**bold** <img src=x onerror=alert(1)> [link](http://x) | cell\n- Margins: clear [E1]"
    ).markdown()
    assert "<img" not in text
    assert "**bold**" not in text
    assert "\n# Title" not in text
    assert "\n- Margins: clear" not in text
    assert "[link]" not in text


def test_the_draft_says_once_what_it_is_and_names_its_models() -> None:
    text = draft().markdown()
    assert text.count(DRAFT) == 1
    assert text.count("Research software") == 1
    assert "ab12" in text
    assert "cd34" in text


def test_the_evidence_table_has_one_row_for_each_finding() -> None:
    report = draft()
    rows = [line for line in sections(report)["Evidence"] if line.startswith("| E")]
    assert len(rows) == len(report.evidence)
    assert all("0, 0, 4096, 4096; strongest field 10, 20, 512, 512" in row for row in rows)


def test_the_organ_of_the_request_chooses_the_fields() -> None:
    lines = sections(draft("breast core"))["Synoptic fields"]
    assert "- Hormone receptors and HER2: not assessed" in lines
    assert "- Tumour budding: not assessed" not in lines


def test_a_classifier_of_another_organ_says_nothing() -> None:
    finding = Finding(
        "tissue colon",
        label="mucus",
        probability=0.9,
        abstained=True,
        reason="validated on colon only; the organ reads as breast (0.90)",
    )
    seen = Observation("a.svs", VIEW, 0.5, (evidence("a.svs", finding),), 1, 1, True)
    text = draft_report([seen]).markdown()
    assert "mucus" not in text.split("## Evidence")[0]
    assert "- Microscopy: not assessed" in text


def test_large_numbers_are_written_out() -> None:
    found = Finding("nuclei_density", value=4433.0, unit="per mm²", interval=(2080.4, 9430.0))
    seen = Observation("a.svs", VIEW, 0.5, (evidence("a.svs", found),), 1, 1, True)
    assert "4430 per mm² (95 % interval 2080 to 9430)" in draft_report([seen]).markdown()


def test_nothing_seen_leaves_every_section_not_assessed() -> None:
    report = draft_report([])
    assert all(line.status != "supported" for section in report.sections for line in section.lines)


def test_write_replaces_in_one_step_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "draft.md"
    target.write_text("old")
    draft().write(target)
    assert target.read_text(encoding="utf-8") == draft().markdown()
    assert os.listdir(tmp_path) == ["draft.md"]


@pytest.mark.parametrize("name", ["draft.rtf", "draft", "nowhere/draft.md"])
def test_a_target_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as error:
        check_target(tmp_path / name)
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)
