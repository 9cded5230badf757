"""What-if timelines: against the rules they were drawn by, and what may not be asked of them."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import page_trend_test
from typer.testing import CliRunner

from copilot.cli import app
from copilot.patient.read import patient_from_json
from copilot.patient.record import Patient
from copilot.patient.timeline.calibrate import drawn_edits
from copilot.patient.timeline.cohort import draw_stays, egfr, true_risks
from copilot.patient.timeline.model import OUTCOMES, WEIGHTS, Timeline, counted, load_timeline
from copilot.patient.timeline.tokens import admission, encode
from copilot.patient.timeline.train import load_recipe, train
from copilot.patient.timeline.whatif import WhatIf, edited_record, record_of, sentences, what_if
from slides.errors import SetupError, UsageError

DAYS = 7


@cache
def timeline() -> Timeline:
    return load_timeline(WEIGHTS)


def patient(**covariates: Any) -> Patient:
    base = {"age": "72 years", "sex": "female", "crp": "60 mg/L", "creatinine": "1.2 mg/dL", "blood group": "A"}
    return patient_from_json({"covariates": {**base, **covariates}})


def risks(values: dict[str, Any], count: int = 60, seed: int = 3) -> np.ndarray[Any, Any]:
    """Mean exact risks (4,) of the same other stays with some values set, rows (count, 4)."""
    stays = draw_stays(count, DAYS, seed)
    held = {"age": stays.age, "crp": stays.crp, "creatinine": stays.creatinine, "blood": stays.blood}
    held |= {name: np.full(count, value) for name, value in values.items()}
    ids = admission(timeline().vocabulary, held["age"], stays.female, held["crp"], held["creatinine"], held["blood"])
    return timeline().exact_risks(ids, DAYS)


@pytest.mark.parametrize(
    ("name", "values"),
    [("age", (35, 55, 72, 90)), ("crp", (10, 50, 130, 300)), ("creatinine", (0.7, 1.1, 2.0, 4.5))],
)
def test_death_rises_with_age_crp_and_creatinine(name: str, values: tuple[float, ...]) -> None:
    table = np.stack([risks({name: value})[:, 0] for value in values], axis=1)
    assert page_trend_test(table).pvalue < 0.001
    assert (np.diff(table.mean(axis=0)) > 0).all()


def test_remdesivir_follows_crp_up_and_bad_kidneys_down() -> None:
    place = OUTCOMES.index("remdesivir")
    up = np.stack([risks({"crp": value})[:, place] for value in (10, 50, 130, 300)], axis=1)
    down = np.stack([risks({"creatinine": value})[:, place] for value in (0.7, 1.1, 2.0, 4.5)], axis=1)
    assert page_trend_test(up).pvalue < 0.001
    assert page_trend_test(-down).pvalue < 0.001


def test_a_null_variable_changes_nothing() -> None:
    gap = (risks({"blood": 1}, 300) - risks({"blood": 3}, 300)).mean(axis=0)
    spread = (risks({"blood": 1}, 300) - risks({"blood": 3}, 300)).std(axis=0) / np.sqrt(300)
    assert (np.abs(gap) + 1.645 * spread < 0.01).all(), gap


def test_the_interval_holds_the_true_effect_of_held_out_edits() -> None:
    before, after, _ = drawn_edits(40, 77_001, DAYS)
    inside = []
    for i in range(len(before)):
        row = {"age": before.age[i], "crp": before.crp[i], "creatinine": before.creatinine[i]}
        edited = {"age": after.age[i], "crp": after.crp[i], "creatinine": after.creatinine[i]}
        units = {"age": "years", "crp": "mg/L", "creatinine": "mg/dL"}
        record = patient(
            sex="female" if before.female[i] else "male",
            **{name: {"value": float(value), "unit": units[name]} for name, value in row.items()},
        )
        edits = [f"{name}={value}" for name, value in edited.items() if value != row[name]]
        try:
            answer = what_if(timeline(), record, edits, DAYS, 400)
        except UsageError:
            continue
        true = true_risks(*edited.values(), DAYS)["death"] - true_risks(*row.values(), DAYS)["death"]
        effect = answer.effects[0]
        inside.append(effect.interval[0] <= true <= effect.interval[1])
    assert len(inside) >= 30
    assert np.mean(inside) > 0.75
    assert all(0.85 <= share <= 0.95 for share in timeline().card["calibration"]["coverage"].values())


def test_replay_of_held_out_stays_is_calibrated() -> None:
    assert 0.8 <= timeline().card["calibration"]["replay"]["slope"] <= 1.2


def test_rolling_out_agrees_with_the_sum_over_all_ways() -> None:
    record, _ = record_of(patient(age="85 years", crp="200 mg/L"))
    one = (np.array([v]) for v in (record.age, record.female, record.crp, record.creatinine, record.blood))
    ids = admission(timeline().vocabulary, *one)
    share = counted(timeline().roll_out(ids[0], 4000, 11), DAYS).mean(axis=0)
    exact = timeline().exact_risks(ids, DAYS)[0]
    assert share == pytest.approx(exact, abs=0.03)


def test_order_doubled_events_and_seed_change_nothing_that_matters() -> None:
    events = [{"day": 0, "name": "crp", "value": 60, "unit": "mg/L"}, {"day": 1, "name": "visit"}]
    covariates = {"creatinine": "1.2 mg/dL", "crp": "60 mg/L", "sex": "female", "age": "72 years", "blood group": "A"}
    other = patient_from_json({"covariates": covariates, "events": [*reversed(events), *events]})
    one, two = (what_if(timeline(), p, ["crp=250"], DAYS, 500) for p in (patient(), other))
    assert one.effects == two.effects
    reseeded = what_if(timeline(), patient(), ["crp=250"], DAYS, 500, seed=9)
    for mine, theirs in zip(one.effects, reseeded.effects, strict=True):
        assert theirs.interval[0] <= mine.difference <= theirs.interval[1]


def test_an_edit_that_changes_nothing_has_no_effect_and_derived_values_follow() -> None:
    same = what_if(timeline(), patient(), ["crp=6 mg/dL"], DAYS, 200)
    assert all(effect.difference == 0 and effect.interval == (0, 0) for effect in same.effects)
    record, _ = record_of(patient())
    edited, _ = edited_record(record, ["creatinine=212 umol/L"])
    assert edited.creatinine == pytest.approx(2.4, abs=0.01)
    assert edited.egfr == pytest.approx(egfr(edited.creatinine, 72, True))
    assert edited.egfr < record.egfr
    assert egfr(1.0, 50, False) == pytest.approx(92, abs=1)  # the published formula at a round point


@pytest.mark.parametrize(
    ("edits", "covariates"),
    [
        (["egfr=30"], {}),
        (["death=0"], {}),
        (["remdesivir=yes"], {}),
        (["crp=900"], {}),
        (["crp=-5"], {}),
        (["age=300"], {}),
        (["crp=5 mmol/L"], {}),
        (["crp"], {}),
        (["mood=good"], {}),
        (["crp=450", "creatinine=9", "age=18"], {}),
        (["crp=250"], {"creatinine": None}),
        (["crp=250"], {"crp": 60}),
        (["crp=250"], {"age": "4 years"}),
    ],
    ids=str,
)
def test_what_cannot_be_simulated_is_refused_in_one_line(edits: list[str], covariates: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        what_if(timeline(), patient(**covariates), edits, DAYS, 200)
    assert "\n" not in str(error.value)


def test_every_sentence_says_simulated_and_none_recommends() -> None:
    answer: WhatIf = what_if(timeline(), patient(), ["crp=250", "age=80"], 3, 200)
    told = sentences(answer)
    assert told[0].startswith("Simulated replay")
    for sentence in told:
        assert "simulated" in sentence.lower()
        assert not any(word in sentence.lower() for word in ("should", "recommend", "give ", "benefit", "effective"))


def test_the_command_line_gives_text_and_one_object(tmp_path: Path) -> None:
    record = tmp_path / "patient.json"
    content = {"age": "72 years", "sex": "male", "crp": "60 mg/L", "creatinine": "1.2 mg/dL"}
    record.write_text(json.dumps({"covariates": content}), encoding="utf-8")
    told = CliRunner().invoke(app, ["whatif", str(record), "--set", "crp=250", "--rollouts", "200"])
    assert told.exit_code == 0, told.output
    assert "simulated difference" in told.stdout
    arguments = ["whatif", str(record), "--set", "crp=250", "--rollouts", "200", "--days", "3", "--json"]
    one = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert one["simulated"] is True
    assert [effect["outcome"] for effect in one["effects"]] == list(OUTCOMES)
    assert isinstance(CliRunner().invoke(app, ["whatif", str(record)]).exception, UsageError)


def test_stays_are_written_as_tokens_and_end_once() -> None:
    stays = draw_stays(500, DAYS, 4)
    words = timeline().vocabulary.words
    for row, death, home in zip(encode(timeline().vocabulary, stays, DAYS), stays.death, stays.discharge, strict=True):
        told = [words[i] for i in row]
        assert told.count("end") == 1
        assert ("dead" in told) == (death > 0)
        assert told.count("day") == (death or home or DAYS)


def test_training_goes_on_where_it_was(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "recipes" / "whatif.toml").read_text(encoding="utf-8")
    tiny = {"stays": 600, "epochs": 4, "batch": 200, "layers": 1, "width": 16, "heads": 2}
    lines = [line for line in text.splitlines() if line.split(" = ")[0] not in (*tiny, "hold_seconds")]
    lines += [f"{name} = {value}" for name, value in tiny.items()]
    whole, parts = tmp_path / "whole.toml", tmp_path / "parts.toml"
    whole.write_text("\n".join([*lines, "hold_seconds = 600"]), encoding="utf-8")
    parts.write_text("\n".join([*lines, "hold_seconds = -1"]), encoding="utf-8")
    card = train(load_recipe(whole), tmp_path / "a")
    calls = 1
    while (resumed := train(load_recipe(parts), tmp_path / "b")) is None:
        calls += 1
    assert calls == 12
    assert card is not None
    assert resumed["sha256"] == card["sha256"]


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    for file in WEIGHTS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    assert os.path.getsize(weights) < 2_000_000
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    with pytest.raises(SetupError, match="hash"):
        load_timeline(tmp_path)
