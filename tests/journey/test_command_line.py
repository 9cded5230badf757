"""The command line's contract: text on stdout, progress on stderr, JSON in one object, errors in one line, exit 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ui.command import main


def run(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["pathcopilot", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "nowhere.svs", "--question", "what?"],
        ["ask", "SLIDE"],
        ["ask", "SLIDE", "--question", "  "],
        ["ask", "SLIDE", "--question", "what?", "--region", "1,2,3"],
        ["ask", "SLIDE", "--question", "what?", "--region", "90000,0,10,10"],
        ["ask", "SLIDE", "--question", "what?", "--mpp", "-1"],
        ["ask", "SLIDE", "--question", "what?", "--options", "one"],
        ["ask", "SLIDE", "--question", "what?", "--language", "no-such-model"],
        ["ask", "--batch", "nowhere.jsonl", "--json"],
        ["ask", "SLIDE", "--question", "q", "--wording", "loose"],
        ["ask", "SLIDE", "--question", "q", "--head", "nowhere.json"],
        ["adapt"],
        ["adapt", "--tiles", "nowhere", "--out", "head"],
        ["adapt", "--tiles", "SLIDE", "--out", "head", "--stain", "blue"],
        ["inspect", "nowhere.svs"],
        ["suggest"],
        ["suggest", "--differential", "only one"],
        ["report", "SLIDE", "--out", "draft.exe"],
        ["triage"],
        ["serve", "nowhere"],
        ["frobnicate"],
        ["ask", "--frobnicate"],
    ],
    ids=" ".join,
)
def test_a_users_error_is_one_line_and_exit_2(
    arguments: list[str], generated_slide: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(generated_slide) if word == "SLIDE" else word for word in arguments]
    code, out, err = run(words, capsys, monkeypatch)
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("pathcopilot: ")]
    assert len(lines) == 1
    assert "Traceback" not in err


def test_inspect_prints_one_object(
    generated_slide: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(["inspect", str(generated_slide), "--json"], capsys, monkeypatch)
    told = json.loads(out)
    assert code == 0
    assert told["size"] == [2048, 1536]
    assert told["mpp"] == pytest.approx(0.5, rel=1e-3)
    assert {item["name"] for item in told["quality"]} >= {"tissue_share", "focus"}


def test_a_batch_answers_in_order_and_a_bad_line_stops_nothing(
    generated_slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"paths": [generated_slide.name], "question": "What is this?", "region": [600, 500, 500, 400]},
        {"paths": ["missing.svs"], "question": "What is this?"},
        "not json",
        {"paths": [str(generated_slide)], "question": "Which stain?", "options": ["H&E", "Papanicolaou smear"]},
    ]
    batch = generated_slide.parent / "questions.jsonl"
    batch.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    code, out, _ = run(["ask", "--batch", str(batch), "--json"], capsys, monkeypatch)
    told = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [("error" in row) for row in told] == [False, True, True, False]
    assert set(told[0]) >= {
        "answer", "claims", "evidence", "findings", "abstained", "choice", "option_probabilities", "model", "timings_s"
    }  # fmt: skip
    assert set(told[0]["timings_s"]) == {"load", "look", "first_token", "total"}
    assert set(told[0]["evidence"][0]) >= {"slide", "level0_xywh", "mpp", "finding", "probability", "set"}
    assert set(told[0]["model"]) == {"language", "encoder", "weights_sha256"}
    assert len(told[3]["option_probabilities"]) == 2
    assert str(generated_slide.parent) not in out


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from ui.command import main\n"
        "sys.argv = ['pathcopilot', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'gradio', 'scipy', 'skimage'} & set(sys.modules)\n"
        "sys.exit(f'imported for --help: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
