"""A laboratory calibrates, triages, audits and stops, on the command line; a stand-in scores small pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from copilot.commands import triage as command
from copilot.store import Store
from copilot.triage.certificate import write_certificate
from tests.copilot.stand_ins import HASHES, StandIn, draw
from tests.copilot.stand_ins import certificate as certified
from ui.command import main

POSITIVES, NEGATIVES = 30, 12


class Laboratory:
    """A folder with labelled slides, a store of its own, and the command line."""

    def __init__(self, folder: Path, scorer: StandIn, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch):
        self.folder, self.scorer, self._capsys, self._patch = folder, scorer, capsys, patch

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["pathcopilot", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = self._capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        told: dict[str, Any] = json.loads(out)
        return told

    def table(self, name: str, rows: list[tuple[str, str, int]]) -> Path:
        path = self.folder / name
        lines = ["path,patient,label", *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
        return path

    def labels(self) -> Path:
        """Positive slides at 0.6 to 0.9, negative ones at 0.1 to 0.3; the last positive one cannot be read."""
        rows = []
        for number in range(POSITIVES + NEGATIVES):
            positive = number < POSITIVES
            name = f"s{number}.png"
            if number == POSITIVES - 1:
                (self.folder / name).write_bytes(b"not a picture")
            else:
                draw(self.folder / name, 0.6 + number / 100 if positive else 0.1 + (number - 30) / 60, mark=number)
            rows.append((name, f"Doe {number}", int(positive)))
        return self.table("labels.csv", rows)


@pytest.fixture
def laboratory(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    scorer = StandIn()
    monkeypatch.setattr(command, "_scorer", lambda *_: scorer)
    monkeypatch.setenv("PATHCOPILOT_STORE", str(tmp_path / "store" / "store.sqlite3"))
    return Laboratory(tmp_path, scorer, capsys, monkeypatch)


def test_from_labels_to_releases_to_the_stop(laboratory: Laboratory) -> None:
    folder = laboratory.folder
    certificate = folder / "certificate.json"
    told = laboratory.json("calibrate-triage", laboratory.labels(), "--out", certificate, "--sensitivity", "0.9")
    assert told["certificate"]["n_positives"] == POSITIVES
    assert told["certificate"]["misses"] == 0
    assert told["certificate"]["positives_never_released"] == 1
    assert [item["slide"] for item in told["unscored"]] == [f"s{POSITIVES - 1}.png"]
    assert told["certificate"]["released"]["released"] == NEGATIVES
    assert 0.59 < told["certificate"]["lambda"] < 0.61
    assert told["certificate"]["scorer"] == {"name": "stand-in", "hashes": HASHES}

    # looked at once: the second calibration opens slides, and looks at none
    laboratory.scorer.looked.clear()
    laboratory.json("calibrate-triage", folder / "labels.csv", "--out", certificate, "--sensitivity", "0.9")
    assert laboratory.scorer.looked == []

    fresh = [draw(folder / f"new{number}.png", 0.05 + number / 100, mark=500 + number) for number in range(12)]
    high = draw(folder / "high.png", 0.8, mark=900)
    soft = draw(folder / "soft.png", 0.05, uncertain=True, mark=901)
    broken = folder / "broken.png"
    broken.write_bytes(b"")
    worklist = laboratory.json("triage", *fresh, high, soft, broken, "--certificate", certificate)
    rows = {row["slide"]: row for row in worklist["slides"]}
    assert [row["slide"] for row in worklist["slides"]][:2] == ["broken.png", "high.png"]
    scores = [row["score"] for row in worklist["slides"][1:]]
    assert scores == sorted(scores, reverse=True)
    assert not any(rows[name]["released"] for name in ("broken.png", "high.png", "soft.png"))
    below = [row for row in rows.values() if row["released"] or row["audit"]]
    assert len(below) >= 8
    assert all("(sensitivity ≥ 0.9, 95 % confidence, n = 30)" in row["reason"] for row in below)
    assert worklist["certificate"]["valid"] is True

    text = laboratory.run("triage", *fresh[:2], "--certificate", certificate)[1]
    assert "no malignancy" not in text.lower()

    # every one of them turns out positive: the bound is refuted, and releases stop
    results = laboratory.table("results.csv", [(row["slide"], "-", 1) for row in below])
    told = laboratory.json("audit-triage", results, "--certificate", certificate, "--by-slide")
    assert told["new"] == told["misses"] == len(below)
    assert told["stopped"] is True
    assert laboratory.json("audit-triage", results, "--certificate", certificate, "--by-slide")["new"] == 0
    worklist = laboratory.json("triage", *fresh, "--certificate", certificate)
    assert not any(row["released"] for row in worklist["slides"])
    assert "stopped" in worklist["certificate"]["refused"]

    with Store() as store:
        actions = {entry.action for entry in store.audit_log()}
        assert {"certificate kept", "released", "reviewed", "certificate stopped", "release withdrawn"} <= actions
        assert store.first_broken_entry() is None
    for file in (folder / "store").iterdir():
        assert b"Doe" not in file.read_bytes()
    assert "Doe" not in certificate.read_text()


def test_the_patients_slides_are_released_together_or_not_at_all(laboratory: Laboratory) -> None:
    folder = laboratory.folder
    certificate = folder / "certificate.json"
    write_certificate(certified([0.6] * 60, [0.1] * 40, audit_share=0.0), certificate)
    slides = {
        name: draw(folder / f"{name}.png", score, mark=600 + place)
        for place, (name, score) in enumerate({"a1": 0.1, "a2": 0.8, "b1": 0.1, "b2": 0.2}.items())
    }
    patients = folder / "patients.csv"
    patients.write_text("patient,path\n" + "".join(f"{name[0]},{name}.png\n" for name in slides))
    told = laboratory.json("triage", *slides.values(), "--certificate", certificate, "--patients", patients)
    assert {row["slide"] for row in told["slides"] if row["released"]} == {"b1.png", "b2.png"}
    assert len({row["case"] for row in told["slides"]}) == 2
    stranger = draw(folder / "c1.png", 0.1, mark=700)
    code, out, err = laboratory.run("triage", stranger, "--certificate", certificate, "--patients", patients)
    assert (code, out) == (2, "")
    assert "does not say whose slide c1.png is" in err


def test_too_few_positives_write_nothing_and_look_at_nothing(laboratory: Laboratory) -> None:
    certificate = laboratory.folder / "certificate.json"
    code, out, err = laboratory.run("calibrate-triage", laboratory.labels(), "--out", certificate)
    assert (code, out) == (2, "")
    assert "30 positive patients" in err
    assert "at least 299 are needed, 269 more" in err
    assert len([line for line in err.splitlines() if line]) == 1
    assert not certificate.exists()
    assert laboratory.scorer.looked == []


def test_other_weights_rank_and_release_nothing(laboratory: Laboratory) -> None:
    certificate = laboratory.folder / "certificate.json"
    write_certificate(certified([0.6] * 60, [0.1] * 40), certificate)
    laboratory.scorer.hashes = HASHES | {"encoder": "f" * 64}
    low = draw(laboratory.folder / "low.png", 0.01, mark=800)
    told = laboratory.json("triage", low, "--certificate", certificate)
    assert told["slides"][0]["score"] is not None
    assert told["slides"][0]["released"] is False
    assert "the hash of 'encoder' differs" in told["certificate"]["refused"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,patient\na.png,1\n", "lacks the column label"),
        ("path,patient,label\na.png,1,yes\n", "line 2: label is 1 (positive) or 0, not 'yes'"),
        ("path,patient,label\na.png,,1\n", "line 2 has no patient"),
        ("path,patient,label\n,p,1\n", "line 2 has no path"),
        ("path,patient,label\na.png,1,1\n./a.png,1,1\n", "twice"),
        ("path,patient,label\n", "names no slide"),
        ("", "lacks the column path"),
    ],
)
def test_a_table_at_fault_ends_in_the_line_at_fault(laboratory: Laboratory, content: str, words: str) -> None:
    table = laboratory.folder / "labels.csv"
    table.write_text(content)
    code, out, err = laboratory.run("calibrate-triage", table, "--out", laboratory.folder / "c.json")
    assert (code, out) == (2, "")
    assert words in err


def test_no_slide_that_opens_and_no_folder_are_told(laboratory: Laboratory) -> None:
    table = laboratory.table("labels.csv", [(f"none{number}.png", str(number), 1) for number in range(29)])
    code, _, err = laboratory.run("calibrate-triage", table, "--out", "c.json", "--sensitivity", "0.9")
    assert code == 2
    assert "none of the 29 slides" in err
    code, _, err = laboratory.run("calibrate-triage", table, "--out", "no/c.json", "--sensitivity", "0.9")
    assert code == 2
    assert "no folder" in err
    code, _, err = laboratory.run("triage", table, "--certificate", table)
    assert code == 2
    assert "no certificate" in err
