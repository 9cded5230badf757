"""A person's edits are kept, shown and frozen, whatever the draft under them does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from copilot.cli import app
from copilot.reporting import edits
from copilot.reporting.document import Report
from copilot.reporting.export import FORMS, check_target, write_report
from copilot.store.store import open_store
from slides import PathcopilotError, UsageError

from .reported import MadeEye, report_on

AT = "2026-11-24T12:00:00+00:00"
NORMAL = {"normal": 0.97, "malignant": 0.03}


@pytest.fixture(scope="module")
def report(generated_slide: Path) -> Report:
    return report_on(generated_slide)


def edited(report: Report, path: Path, **texts: str) -> Path:
    """The report's JSON after a person wrote into it, by the beginning of a field; `added` adds a line."""
    told: dict[str, Any] = report.as_json()
    lines = [line for section in told["sections"] for line in section["lines"]]
    for start, text in texts.items():
        if start == "added":
            told["sections"][-1]["lines"].append({"text": text, "status": "edited"})
        else:
            next(line for line in lines if line["text"].startswith(start))["text"] = text
    path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return path


def test_an_edit_is_known_by_its_text_alone(report: Report, tmp_path: Path) -> None:
    read = edits.read_report(edited(report, tmp_path / "r.json", Margins="Margins: free, 4 mm", added="Seen with B."))
    assert [line.text for line in read.edits] == ["Margins: free, 4 mm", "Seen with B."]
    text = read.markdown()
    assert "- Margins: free, 4 mm (as edited by a person)" in text
    assert "Margins: not assessed" not in text
    assert "## Changed by a person" in text
    assert "Draft: “Margins”; now: “Margins: free, 4 mm”" in text
    assert "Added: “Seen with B.”" in text


def test_regenerating_keeps_edits_and_says_where_the_draft_moved(
    report: Report, generated_slide: Path, tmp_path: Path
) -> None:
    old = edits.read_report(
        edited(report, tmp_path / "r.json", Margins="Margins: free", Favours="Adenocarcinoma.", added="Seen with B.")
    )
    new = report_on(generated_slide, eye=MadeEye(NORMAL))
    kept, found = edits.keep_edits(new, old)
    by_text = {one.text: one for one in found}
    assert set(by_text) == {"Margins: free", "Adenocarcinoma.", "Seen with B."}
    assert by_text["Adenocarcinoma."].moved
    assert "normal tissue" in by_text["Adenocarcinoma."].drafted
    assert not by_text["Margins: free"].moved
    assert by_text["Seen with B."].kind == "added"
    unedited = [line for line in kept.lines if not line.edited]
    assert {line.words for line in unedited} <= {line.words for line in new.lines}
    again, same = edits.keep_edits(new, kept)
    assert again.as_json() == kept.as_json()
    assert not any(one.moved for one in same)


def test_an_emptied_field_is_left_out_and_listed(report: Report, tmp_path: Path) -> None:
    read = edits.read_report(edited(report, tmp_path / "r.json", Margins=""))
    assert "Removed: “Margins”" in read.markdown()
    assert "Margins: not assessed" not in read.markdown()


def test_an_edit_of_a_field_that_is_no_longer_drafted_stays(
    report: Report, generated_slide: Path, tmp_path: Path
) -> None:
    old = edits.read_report(edited(report, tmp_path / "r.json", **{"Tumour budding": "Tumour budding: low"}))
    new = report_on(generated_slide, context="breast core")
    kept, found = edits.keep_edits(new, old)
    assert "Tumour budding: low" in [line.text for line in kept.edits]
    assert found[0].moved


def test_a_signed_version_names_what_made_it_and_takes_no_change(report: Report, tmp_path: Path) -> None:
    signed = edits.sign_out(report, "Dr A. Example", AT)
    told = signed.as_json()["signature"]
    assert told["by"] == "Dr A. Example"
    assert told["models_sha256"] == {"encoder": "ab12", "heads": "cd34"}
    assert told["slides"] == {report.slides[0].name: report.slides[0].fingerprint}
    assert len(told["templates_sha256"]) == len(told["content_sha256"]) == 64
    path = tmp_path / "signed.json"
    write_report(signed, path)
    read = edits.read_report(path)
    assert read.as_json() == signed.as_json()
    assert "signed out by Dr A. Example" in read.markdown()
    assert "Draft." not in read.markdown()
    with pytest.raises(UsageError, match="not changed"):
        edits.keep_edits(report, read)
    with pytest.raises(UsageError, match="signed out by"):
        edits.sign_out(read, "Another", AT)
    with pytest.raises(UsageError, match="not overwritten"):
        check_target(path)


@pytest.mark.parametrize("part", ["sections", "evidence", "slides", "model", "figures", "tests"])
def test_a_signed_version_that_was_changed_is_refused(report: Report, tmp_path: Path, part: str) -> None:
    path = tmp_path / "signed.json"
    write_report(edits.sign_out(report, "Dr A. Example", AT), path)
    told = json.loads(path.read_text(encoding="utf-8"))
    change: dict[str, Any] = {
        "sections": lambda: told["sections"][0]["lines"][0].update(text="Benign."),
        "evidence": lambda: told["evidence"][0].update(level0_xywh=[1, 2, 3, 4]),
        "slides": lambda: told["slides"][0].update(fingerprint="0" * 40),
        "model": lambda: told["model"]["weights_sha256"].update(encoder="ffff"),
        "figures": lambda: told["figures"].pop(),
        "tests": lambda: told["tests"].update(headline="Order nothing."),
    }
    change[part]()
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(UsageError, match="changed since"):
        edits.read_report(path)


def test_an_amendment_is_the_next_version_and_names_the_one_before(report: Report, generated_slide: Path) -> None:
    signed = edits.sign_out(report, "Dr A. Example", AT)
    assert signed.signature is not None
    made, _ = edits.keep_edits(report_on(generated_slide), signed, amend=True)
    for one in (made, edits.amendable(signed)):
        assert (one.version, one.amends, one.signature) == (2, signed.signature.content_sha256, None)
        assert "It amends version 1" in one.markdown()
    with pytest.raises(UsageError, match="only a signed version"):
        edits.amendable(report)


def test_every_form_of_a_signed_version_says_who_signed(report: Report, tmp_path: Path) -> None:
    signed = edits.sign_out(report, "Dr A. Example", AT)
    for ending in FORMS:
        write_report(signed, tmp_path / f"report{ending}")
    for ending in (".md", ".html", ".json", ".fhir.json"):
        assert "Dr A. Example" in (tmp_path / f"report{ending}").read_text(encoding="utf-8")
    assert b"VERIFIED" in (tmp_path / "report.dcm").read_bytes()
    assert '"final"' in (tmp_path / "report.fhir.json").read_text(encoding="utf-8")


def run(*arguments: str) -> Any:
    """The verb as the command line runs it."""
    return CliRunner().invoke(app, ["report", *arguments], catch_exceptions=True)


def test_the_verb_drafts_keeps_edits_renders_and_signs(
    generated_slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copilot.commands.loading.load_copilot", MadeEye)
    first, second, signed = (str(tmp_path / name) for name in ("1.json", "2.json", "signed.json"))
    assert run(str(generated_slide), "--context", "colon biopsy", "--out", first).exit_code == 0
    edited(edits.read_report(Path(first)), Path(first), Margins="Margins: free")
    again = run(str(generated_slide), "--from", first, "--out", second, "--json")
    told = json.loads(again.stdout.strip().splitlines()[-1])
    assert [one["text"] for one in told["differences"]] == ["Margins: free"]
    forms = [argument for ending in FORMS if ending != ".json" for argument in ("--out", str(tmp_path / f"r{ending}"))]
    assert run("--from", second, *forms, "--out", signed, "--sign-out", "Dr A. Example").exit_code == 0
    assert edits.read_report(Path(signed)).signature is not None
    refused = run(str(generated_slide), "--from", signed, "--out", str(tmp_path / "3.json"))
    assert isinstance(refused.exception, PathcopilotError)
    assert run("--from", signed, "--amend", "--out", str(tmp_path / "3.json")).exit_code == 0
    assert edits.read_report(tmp_path / "3.json").version == 2


def test_a_signature_is_entered_in_the_audit_log(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "draft.json")
    paths = [str(tmp_path / name) for name in ("draft.json", "signed.json", "cases.sqlite")]
    done = run("--from", paths[0], "--out", paths[1], "--sign-out", "Dr A. Example", "--store", paths[2])
    assert done.exit_code == 0, done.exception
    signed = edits.read_report(Path(paths[1])).signature
    assert signed is not None
    with open_store(paths[2]) as store:
        (entry,) = store.audit_log(signed.content_sha256)
        assert (entry.actor, entry.action) == ("Dr A. Example", "signed out a report")
        assert report.slides[0].name not in json.dumps(entry.details)
        assert store.first_broken_entry() is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("--out", "r.md"),
        ("--from", "none.json", "--out", "r.md"),
        ("a.svs", "--amend", "--out", "r.md"),
        ("a.svs", "--sign-out", "B", "--out", "r.md"),
        ("a.svs", "--out", "r.xyz"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failed = run(*arguments)
    assert isinstance(failed.exception, PathcopilotError)
    assert "\n" not in str(failed.exception)


def test_the_templates_hash_moves_with_the_report_it_words(report: Report) -> None:
    other = replace(report, templates_sha256="0" * 64)
    assert edits.content_sha256(other) != edits.content_sha256(report)
