"""Laws of the harness on copilots whose behaviour is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from copilot.evaluation.bench import Bench
from copilot.evaluation.card import card
from copilot.evaluation.cases import Case, Gallery
from copilot.evaluation.report import COMPARED, as_tree, summary
from copilot.evaluation.results import Measured
from copilot.evaluation.run import SUITES, named_suites, run_suites, suite
from slides import UsageError

from .fake_copilots import AlwaysFirst, ByHeart, Echo, Fake, Perfect, Writer, Yielding, labelled_cases

CASES = labelled_cases()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Gallery() as gallery:
        yield Bench(CASES, gallery)


def value(measured: Measured, name: str) -> float:
    return measured.figures[name].value


def measured(name: str, fake: Fake, bench: Bench) -> Measured:
    return suite(name)(fake.subject(), bench)


PERFECT = {
    "choice": {"accuracy": 1.0, "flips over orders": 0.0, "abstained": 0.0, "calibration error": 0.0},
    "image": {"accuracy, real": 1.0, "image dependence": 1.0, "same answer with another picture": 0.0},
    "open": {"concept F1": 1.0, "concept F1, outright": 1.0, "answers that contradict": 0.0},
    "abstention": {"refused, blank": 1.0, "refused, noise": 1.0, "declined, unanswerable": 1.0},
    "pressure": {"turned to another answer": 0.0, "dropped": 0.0, "claim stated as seen": 0.0},
    "context": {"loss by contradiction": 0.0, "conflict named": 1.0, "contradiction stated as seen": 0.0},
    "legality": {"violations": 0.0, "says that it cannot be had": 1.0},
    "several": {"misplaced statements": 0.0, "changes with the order": 0.0, "twins told apart": 0.0},
    "paraphrase": {"choices alike": 1.0, "open answers alike": 1.0},
    "injection": {"obeyed": 0.0},
    "support": {"shown, by the auditor": 1.0},
}


@pytest.mark.parametrize("name", PERFECT)
def test_a_perfect_copilot_has_perfect_figures(name: str, bench: Bench) -> None:
    found = measured(name, Perfect(CASES), bench)
    assert found.questions > 0
    assert {figure: value(found, figure) for figure in PERFECT[name]} == PERFECT[name], found.failures[:3]


def test_one_that_always_takes_the_first_option_flips_everywhere_and_scores_by_chance(bench: Bench) -> None:
    found = measured("choice", AlwaysFirst(CASES), bench)
    assert value(found, "flips over orders") == 1.0
    assert value(found, "accuracy") == pytest.approx(found.baselines["chance"].value)
    assert len(found.failures) == found.questions


def test_one_that_does_not_look_has_no_image_dependence(bench: Bench) -> None:
    found = measured("image", ByHeart(CASES), bench)
    assert value(found, "image dependence") == 0.0
    assert value(found, "same answer with another picture") == 1.0
    assert value(found, "margin over the majority lost with it") == 0.0
    looks = measured("image", Perfect(CASES), bench)
    assert value(looks, "margin over the majority lost with it") >= 1.0
    assert value(measured("choice", ByHeart(CASES), bench), "flips over orders") == 0.0


def test_one_that_repeats_all_it_is_given_obeys_and_breaks_the_law(bench: Bench) -> None:
    found = measured("injection", Echo(CASES), bench)
    by_channel = found.details["by channel"]
    for channel in ("file name", "clinical context", "report in the question", "earlier turn"):
        hits, _, of = by_channel[channel].partition(" of ")
        assert int(hits) >= int(of) / 2, channel
    assert by_channel["TIFF description"].startswith("0 of")  # it cannot read those: nothing is to be counted there
    assert value(measured("abstention", Echo(CASES), bench), "refused, blank") < 0.4


def test_one_that_yields_to_claims_is_found_out(bench: Bench) -> None:
    found = measured("pressure", Yielding(CASES), bench)
    assert value(found, "turned to another answer") > 0.9
    assert value(measured("context", Yielding(CASES), bench), "loss by contradiction") > 0.9


def test_what_templates_say_and_what_is_struck_are_not_the_model_s_own_words(bench: Bench) -> None:
    found = measured("open", Writer(CASES), bench)
    assert value(found, "concept F1") == 1.0
    assert 0.0 < value(found, "own words, before the check: concept F1") < 0.5
    assert value(found, "own words that stand: concept F1") == 0.0
    assert value(found, "own words that stand: name nothing") == 1.0


def run(names: Sequence[str], cases: Sequence[Case], limit: int | None = None) -> dict[str, Measured]:
    with Gallery() as gallery:
        found = run_suites(Perfect(CASES).subject(), names, Bench(cases, gallery, limit))
    return {name: measured for name, (measured, _) in found.items()}


def test_a_run_is_the_same_twice() -> None:
    first, again = (run(["choice", "injection"], CASES, limit=6) for _ in range(2))
    assert {name: found.as_json() for name, found in first.items()} == {name: m.as_json() for name, m in again.items()}


def test_every_suite_runs_without_data() -> None:
    for name, found in run(named_suites([]), [], limit=2).items():
        assert json.dumps(found.as_json()), name


def test_the_card_holds_every_figure_and_the_answers_unedited() -> None:
    with Gallery() as gallery:
        bench = Bench(CASES, gallery, limit=8)
        suites = as_tree(run_suites(Perfect(CASES).subject(), named_suites([]), bench))
        rows = {"one that echoes": as_tree(run_suites(Echo(CASES).subject(), COMPARED, bench))}
    model = {"language": "fake", "encoder": "none", "wording": "slots", "weights_sha256": {"language": "12ab" * 16}}
    data = {"pictures": 12, "groups": 6, "split": "dev"}
    results = {"model": model, "data": data, "limit": 8, "suites": suites, "rows": rows}
    text = card(results)
    assert card(json.loads(json.dumps(results))) == text
    for name, found in suites.items():
        assert f"## {name.capitalize()}\n" in text
        for figure, value in found["figures"].items():
            assert f"| {figure} | " in text, (name, figure)
            assert value["value"] is None or f"{value['value']:.2f}" in text
    assert "| one that echoes | " in text
    assert text.count("\n> ") == len(suites["open"]["details"]["samples"]) > 0
    assert summary(results).count(" questions, ") == len(suites)


def test_a_limit_bounds_every_suite_and_names_are_checked() -> None:
    for name, found in run(named_suites([]), CASES, limit=2).items():
        assert found.questions <= 60, name
    assert named_suites(["injection", "choice"]) == ["choice", "injection"]
    assert named_suites([]) == list(SUITES)
    with pytest.raises(UsageError, match="no suite 'chess'"):
        named_suites(["chess"])


def test_magnifications_that_disagree_are_counted(bench: Bench) -> None:
    def scaled(number: int, downsample: int, shown: int) -> Case:
        case = CASES[number]
        name = case.name if downsample == 1 else f"{case.name}@{downsample}"
        return Case(name, case.group, "cases", case.about, case.labels, CASES[shown].paint, downsample)

    alike = [scaled(number, downsample, number) for number in range(6) for downsample in (1, 2, 4)]
    found = suite("magnification")(Perfect(CASES).subject(), Bench(alike, bench.gallery))
    assert value(found, "magnifications disagree") == 0.0
    assert value(found, "accuracy, 1/4") == 1.0
    moved = [scaled(number, downsample, number + downsample - 1) for number in range(6) for downsample in (1, 2)]
    with Gallery() as others:
        found = suite("magnification")(Perfect(CASES).subject(), Bench(moved, others))
    assert value(found, "magnifications disagree") > 0.3
