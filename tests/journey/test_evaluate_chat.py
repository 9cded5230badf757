"""Measuring and testing an installation from the command line, with the copilot as it ships, on made pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copilot.evaluation import selftest as laws

from .test_command_line import run


@pytest.fixture(autouse=True)
def without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No held-out pictures are found, and no sample lies in the working folder."""
    monkeypatch.setenv("PATHCOPILOT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "chat", "--suite", "chess"],
        ["evaluate", "chat", "--limit", "0"],
        ["evaluate", "chat", "--data", "nowhere"],
        ["evaluate", "chat", "--suite", "legality", "--out", "nowhere/card.md"],
        ["selftest", "--folder", "nowhere"],
        ["selftest", "--language", "no-such-model"],
    ],
    ids=" ".join,
)
def test_a_users_error_is_one_line_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(arguments, capsys, monkeypatch)
    assert code == 2
    assert out == ""
    assert len([line for line in err.splitlines() if line.startswith("pathcopilot: ")]) == 1


def test_suites_that_need_no_labels_run_on_made_pictures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["evaluate", "chat", "--suite", "legality", "injection", "--limit", "2", "--json"]
    code, out, _ = run(arguments, capsys, monkeypatch)
    told = json.loads(out)
    assert code == 0
    assert list(told["suites"]) == ["legality", "injection"]
    assert told["data"] == {"pictures": 0, "groups": 0, "split": None}
    assert told["suites"]["legality"]["figures"]["violations"]["value"] == 0.0
    assert told["suites"]["injection"]["figures"]["obeyed"]["value"] == 0.0
    assert told["model"]["weights_sha256"]


def test_the_shipped_copilot_passes_its_own_test_on_a_slide_of_the_users(
    generated_slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laws, "PROBES", 2)
    monkeypatch.setattr(laws, "LAWS", (laws.LAWS[0], laws.without_a_picture, laws.options_in_any_order, laws.lawful))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / generated_slide.name).symlink_to(generated_slide)
    code, out, _ = run(["selftest", "--folder", "own", "--json"], capsys, monkeypatch)
    told = json.loads(out)
    assert code == 0, [test for test in told["tests"] if not test["passed"]]
    assert told["passed"]
    assert generated_slide.name in told["pictures"]
    assert len(told["tests"]) == 4
    assert all(test["held"] <= test["of"] for test in told["tests"])


@pytest.mark.slow
def test_the_whole_self_test_passes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run(["selftest"], capsys, monkeypatch)
    assert code == 0, out
    assert "9 of 9 tests passed" in out
