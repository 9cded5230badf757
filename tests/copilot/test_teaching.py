"""Teaching: commitments before reveals, three scores kept apart, dates that can be played again."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from copilot.cli import app
from copilot.teaching.cases import Case, read_cases
from copilot.teaching.hints import hints
from copilot.teaching.progress import Progress, load_progress, save_progress
from copilot.teaching.score import Commitment, score
from copilot.teaching.session import Session
from instruction_data.knowledge import load_knowledge
from slides import Region, Size, UsageError

KNOWLEDGE = load_knowledge()
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
PLACE = Region(100, 100, 200, 200)
LUNG = Case("case 1", Path("a.svs"), "lung adenocarcinoma", (PLACE,))
NEGATIVE = Case("case 2", Path("b.svs"), "negative")


@pytest.fixture
def folder(generated_slide: Path, tmp_path: Path) -> Path:
    for name in ("mesothelioma.tif", "colon.tif", "plain.tif"):
        shutil.copy(generated_slide, tmp_path / name)
    rows = [
        "path,diagnosis,x,y,width,height,note",
        "mesothelioma.tif,pleural mesothelioma,10,10,300,300,Look at the calretinin.",
        "mesothelioma.tif,pleural mesothelioma,600,600,200,200,",
        "colon.tif,colonic adenocarcinoma,,,,,",
        "plain.tif,negative,,,,,",
    ]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("diagnoses", "box", "localisation", "differential"),
    [
        (("Adenocarcinoma of the lung",), PLACE, 1.0, 1.0),
        (("pleural mesothelioma", "lung adenocarcinoma"), None, 0.0, 0.5),
        (("pleural mesothelioma",), Region(0, 0, 4000, 4000), 0.0, 0.25),
        (("melanoma",), Region(900, 900, 50, 50), 0.0, 0.0),
        (("lung adenocarcinoma",), Region(190, 190, 20, 20), 1.0, 1.0),
    ],
)
def test_where_and_what_are_scored_apart(
    diagnoses: tuple[str, ...], box: Region | None, localisation: float, differential: float
) -> None:
    found = score(LUNG, Commitment(diagnoses, 0.7, box), KNOWLEDGE)
    assert (found.localisation, found.differential) == (localisation, differential)


def test_a_negative_case_wants_no_box() -> None:
    assert score(NEGATIVE, Commitment(("normal",), 0.9), KNOWLEDGE).localisation == 1.0
    assert score(NEGATIVE, Commitment(("normal",), 0.9), KNOWLEDGE).right
    assert score(NEGATIVE, Commitment(("melanoma",), 0.9, PLACE), KNOWLEDGE).localisation == 0.0


def test_the_brier_score_is_least_for_an_honest_confidence() -> None:
    def loss(confidence: float, share: float) -> float:
        right = score(LUNG, Commitment(("lung adenocarcinoma",), confidence), KNOWLEDGE).brier
        wrong = score(LUNG, Commitment(("melanoma",), confidence), KNOWLEDGE).brier
        return share * right + (1 - share) * wrong

    for share in (0.2, 0.5, 0.9):
        assert min((n / 10 for n in range(11)), key=lambda said: loss(said, share)) == share


def test_no_hint_names_the_diagnosis_and_the_first_gives_the_place() -> None:
    for diagnosis in ("lung adenocarcinoma", "pleural mesothelioma", "GIST", "seborrheic keratosis", "made up lesion"):
        told = hints(Case("case 1", Path("a"), diagnosis, (PLACE,)), Size(1000, 1000), KNOWLEDGE)
        assert told[0] == "Look at the top left of the slide."
        entity = KNOWLEDGE.find_entity(diagnosis)
        for name in (diagnosis, *([entity.name, *entity.synonyms] if entity else [])):
            assert not any(name.lower() in text.lower() for text in told)


def test_nothing_of_the_answer_is_shown_before_the_commitment(folder: Path) -> None:
    session = Session(read_cases(folder), Progress(), KNOWLEDGE, seed=1)
    while (shown := session.next(NOW)) is not None:
        told = json.dumps(shown.as_json()).lower()
        assert not any(word in told for word in ("mesothelioma", "colon", "negative", "calretinin", ".tif", "300"))
        session.commit(Commitment(("normal",), 0.5), NOW)
    with pytest.raises(UsageError, match="no case is open"):
        session.commit(Commitment(("normal",), 0.5), NOW)


def test_what_was_missed_comes_back_before_what_was_known(folder: Path) -> None:
    progress = Progress()
    cases = read_cases(folder)
    session = Session(cases, progress, KNOWLEDGE)
    while (shown := session.next(NOW)) is not None:
        case = next(case for case in cases if case.id == shown.case)
        known = "mesothelioma" not in case.diagnosis
        session.commit(Commitment((case.diagnosis if known else "melanoma",), 0.9), NOW)
    due = {topic: progress.due(topic) for topic in ("Pleural mesothelioma", "negative")}
    assert due["Pleural mesothelioma"] is not None
    assert due["negative"] is not None
    assert due["Pleural mesothelioma"] < due["negative"]
    again = Session(cases, progress, KNOWLEDGE, seed=5).next(NOW + timedelta(hours=1))
    assert again is not None
    assert next(case for case in cases if case.id == again.case).diagnosis == "pleural mesothelioma"
    assert "error: overconfidence" in progress.cards


def test_progress_survives_and_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    progress = Progress()
    progress.record("x", score(LUNG, Commitment(("melanoma",), 0.9), KNOWLEDGE), 0.9, NOW)
    save_progress(progress, tmp_path / "p.json")
    assert load_progress(tmp_path / "p.json") == progress
    assert len(progress.as_csv().splitlines()) == 2
    (tmp_path / "other.json").write_text('{"kind": "something"}')
    with pytest.raises(UsageError, match="no teaching progress"):
        load_progress(tmp_path / "other.json")


def test_a_scripted_session_has_the_same_scores_twice_and_holds_no_slide_s_name(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "said.jsonl"
    said = [
        {"diagnosis": "pleural mesothelioma", "confidence": 0.8, "box": [0, 0, 310, 310], "hints": 2},
        {"diagnoses": ["colonic adenocarcinoma", "negative"], "confidence": 0.6},
        {"diagnosis": "normal", "confidence": 0.9},
    ]
    script.write_text("".join(json.dumps(row) + "\n" for row in said))
    runs = []
    for number in (1, 2):
        file = tmp_path / f"progress {number}.json"
        options = ["--progress", str(file), "--answers", str(script), "--at", "2026-01-05", "--json"]
        result = CliRunner().invoke(app, ["teach", str(folder), *options])
        assert result.exit_code == 0, result.output
        runs.append((result.stdout, file.read_text()))
        assert ".tif" not in file.read_text()
    assert runs[0] == runs[1]
    assert len(json.loads(runs[0][0])["cases"]) == 3


@pytest.mark.parametrize("text", ["", "path,diagnosis\n", "file,label\na,b\n", "path,diagnosis\nnowhere.svs,x\n"])
def test_a_labels_file_that_cannot_be_taught_from_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UsageError, match=r"labels\.csv"):
        read_cases(tmp_path)
