"""What is released: only under a certificate that holds here, never a case with an uncertain slide; all logged."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from copilot.store import Store
from copilot.triage.certificate import Certificate
from copilot.triage.drift import LEAST_SLIDES, refer
from copilot.triage.release import Decision, triage
from copilot.triage.review import review_of, settle
from copilot.triage.scorer import Sight
from copilot.triage.worklist import Worklist

from .stand_ins import HASHES, StandIn, certificate, profile, sight


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite3") as opened:
        yield opened


def stating(audit_share: float) -> Certificate:
    """A certificate whose λ lies just under 0.6."""
    return certificate([0.6] * 60, [0.1] * 40, audit_share=audit_share)


GOOD = stating(0.0)
"""Nothing is drawn, so that a test knows what is released."""


def run(
    store: Store, cases: dict[str, list[Sight]], stated: Certificate | None = GOOD, scorer: StandIn | None = None
) -> tuple[Worklist, dict[str, Decision]]:
    worklist, decisions = triage(cases, stated, scorer or StandIn(), store, "test")
    return worklist, {decision.case: decision for decision in decisions}


def test_slides_stand_highest_first_and_what_has_no_score_before_all(store: Store) -> None:
    scores = {"a": 0.2, "b": None, "c": 0.9, "d": 0.5, "e": None}
    worklist, _ = run(store, {f"case-{name}": [sight(name, score)] for name, score in scores.items()})
    assert [row.slide for row in worklist.rows] == ["b", "e", "c", "d", "a"]
    assert [row.released for row in worklist.rows] == [False, False, False, True, True]
    assert all(row.reason for row in worklist.rows)


def test_a_release_says_what_the_certificate_says_and_no_more(store: Store) -> None:
    worklist, _ = run(store, {"case-1": [sight("low", 0.1)]})
    (row,) = worklist.rows
    assert row.released
    assert row.reason.startswith("below threshold λ = ")
    assert "(sensitivity ≥ 0.9, 95 % confidence, n = 60)" in row.reason
    told = str(worklist.as_json()).lower() + worklist.markdown().lower()
    assert "no malignan" not in told
    assert "benign" not in told
    assert worklist.as_json()["certificate"]["valid"] is True


def test_without_a_certificate_nothing_is_released(store: Store) -> None:
    worklist, decisions = run(store, {"case-1": [sight("low", 0.0)]}, None)
    assert not worklist.rows[0].released
    assert decisions["case-1"].status == "to read"
    assert "No slide is released" in worklist.statement


@pytest.mark.parametrize(
    ("companion", "words"),
    [
        (sight("other", None), "cannot be read"),
        (replace(sight("other", 0.1), uncertain="its focus is soft"), "focus is soft"),
        (sight("other", 0.95), "at or above"),
        (sight("other", 0.1, scanner="hamamatsu"), "hamamatsu was not in the calibration set"),
        (sight("other", 0.1, mpp=0.5), "µm/px was not in the calibration set"),
        (sight("other", 0.1, shift=0.4), "stain"),
        (replace(sight("other", 0.1), profile=None), "nothing is known"),
    ],
)
def test_one_slide_keeps_its_whole_case(store: Store, companion: Sight, words: str) -> None:
    worklist, decisions = run(store, {"case-1": [sight("low", 0.01), companion], "case-2": [sight("fine", 0.01)]})
    assert decisions["case-1"].status == "to read"
    assert words in decisions["case-1"].reason
    released = {row.slide for row in worklist.rows if row.released}
    assert released == {"fine"}


def test_a_slide_of_the_case_that_came_earlier_counts(store: Store) -> None:
    run(store, {"case-1": [sight("first", 0.95)]})
    _, decisions = run(store, {"case-1": [sight("second", 0.01)]})
    assert decisions["case-1"].status == "to read"
    _, decisions = run(store, {"case-2": [sight("third", 0.01)]})
    assert decisions["case-2"].status == "released"
    _, decisions = run(store, {"case-2": [sight("unreadable", None)]})
    assert decisions["case-2"].status == "to read"
    assert [entry.action for entry in store.audit_log("case-2")] == ["released", "release withdrawn"]
    _, decisions = run(store, {"case-2": [sight("third", 0.01)]})
    assert decisions["case-2"].status == "to read", "the unreadable slide is still the case's"
    _, decisions = run(
        store, {"case-2": [replace(sight("third", 0.01)), replace(sight("x", 0.02), slide="unreadable")]}
    )
    assert decisions["case-2"].status == "released", "it has been read by now"


@pytest.mark.parametrize("name", [*HASHES, "another head"])
def test_other_hashes_release_nothing_and_still_rank(store: Store, name: str) -> None:
    other = StandIn({**HASHES, name: "f" * 64})
    worklist, _ = run(store, {f"case-{n}": [sight(str(n), n / 10)] for n in range(5)}, scorer=other)
    assert [row.score for row in worklist.rows] == [0.4, 0.3, 0.2, 0.1, 0.0]
    assert not any(row.released for row in worklist.rows)
    refused = worklist.as_json()["certificate"]
    assert refused["valid"] is False
    assert name in refused["refused"]
    assert all("hash" in row.reason for row in worklist.rows)


def test_an_altered_certificate_releases_nothing(store: Store) -> None:
    worklist, _ = run(store, {"case-1": [sight("low", 0.01)]}, replace(GOOD, fault="it was altered"))
    assert not worklist.rows[0].released
    assert "altered" in worklist.rows[0].reason


def test_many_slides_that_drifted_together_suspend_every_release(store: Store) -> None:
    steady = {f"case-{n}": [sight(f"s{n}", 0.01, seed=1000 + n)] for n in range(60)}
    worklist, _ = run(store, steady)
    released = sum(row.released for row in worklist.rows)
    assert released >= 45, "some lie outside the range by chance, most do not"
    moved = {f"moved-{n}": [sight(f"m{n}", 0.01, seed=2000 + n, shift=0.035)] for n in range(60)}
    worklist, _ = run(store, moved)
    assert "drift" in (worklist.as_json()["certificate"]["refused"] or "")
    assert not any(row.released for row in worklist.rows)
    worklist, _ = run(store, {"late": [sight("one more", 0.01, seed=1)]})
    assert not worklist.rows[0].released, "the store remembers the drift"


def test_a_case_alone_is_no_drift_but_may_be_unlike(store: Store) -> None:
    few = {f"moved-{n}": [sight(f"m{n}", 0.01, seed=2000 + n, shift=0.02)] for n in range(LEAST_SLIDES - 1)}
    worklist, _ = run(store, few)
    assert worklist.as_json()["certificate"]["refused"] is None


def test_another_share_of_positive_slides_is_no_drift() -> None:
    def slides(count: int, start: int, shift: float) -> list:
        return [profile(start + n, shift=shift) for n in range(count)]

    negative, positive = slides(100, 0, 0.0), slides(300, 500, 0.08)
    reference = refer([*((item, False) for item in negative), *((item, True) for item in positive)])
    mostly_negative = [reference.measures(item) for item in [*slides(95, 5000, 0.0), *slides(5, 6000, 0.08)]]
    assert reference.drifted(mostly_negative) is None
    assert reference.drifted([reference.measures(item) for item in slides(100, 7000, -0.05)]) is not None


def test_drift_is_not_found_where_there_is_none() -> None:
    rng, alarms = np.random.default_rng(2), 0
    reference = refer([(profile(n), n % 2 == 0) for n in range(200)])
    for _ in range(60):
        fresh = [reference.measures(profile(int(seed))) for seed in rng.integers(10_000, 10_000_000, 80)]
        alarms += reference.drifted(fresh) is not None
    assert alarms <= 3


def test_cases_drawn_for_the_audit_are_read_and_the_draw_holds(store: Store) -> None:
    stated = stating(0.5)
    cases = {f"case-{n}": [sight(f"s{n}", 0.01, seed=1000 + n)] for n in range(40)}
    worklist, first = run(store, cases, stated)
    drawn = {row.case for row in worklist.rows if row.drawn}
    assert 8 < len(drawn) < 32
    assert not any(row.drawn and row.released for row in worklist.rows)
    _, again = run(store, cases, stated)
    assert {case: item.status for case, item in first.items()} == {case: item.status for case, item in again.items()}
    assert {entry.subject for entry in store.audit_log() if entry.action == "drawn for audit"} == drawn


def test_an_audit_that_refutes_the_bound_stops_releases_for_good(store: Store) -> None:
    cases = {f"case-{n}": [sight(f"s{n}", 0.01)] for n in range(12)}
    stated = stating(0.5)
    _, decisions = run(store, cases, stated)
    placed = {row.case: row for row in store.worklist()}
    for case, row in placed.items():
        review = review_of(row, stated, positive=True)
        assert review.missed
        assert review.sampled == (decisions[case].status == "audit")
        store.review(stated.sha256, [review], "test")
    assert settle(stated, store, "test").refuted
    assert not any(row.status == "released" for row in store.worklist())
    worklist, _ = run(store, {**cases, "new": [sight("new", 0.0)]}, stated)
    assert not any(row.released for row in worklist.rows)
    assert "stopped" in worklist.rows[-1].reason
    worklist, _ = run(store, {"new": [sight("new", 0.0)]}, GOOD)
    assert worklist.rows[0].released, "another certificate stands by itself"


def test_what_was_below_the_threshold_is_known_after_the_certificate_was_stopped(store: Store) -> None:
    cases = {"case-1": [sight("s", 0.01)]}
    run(store, cases)
    store.stop_certificate(GOOD.sha256, "the audit refutes it", "test")
    run(store, cases)
    placed = store.case("case-1")
    assert placed is not None
    assert placed.status == "to read"
    assert review_of(placed, GOOD, positive=True).missed


def test_what_a_person_recalled_is_not_released_again(store: Store) -> None:
    cases = {"case-1": [sight("s", 0.01)]}
    run(store, cases)
    store.override("case-1", "recalled", "clinical suspicion", "desk")
    worklist, _ = run(store, cases)
    assert not worklist.rows[0].released
    assert "recalled by a person" in worklist.rows[0].reason


def test_a_signed_out_case_comes_back_when_a_slide_is_added(store: Store) -> None:
    run(store, {"case-1": [sight("first", 0.01)]})
    store.override("case-1", "read", "signed", "desk")
    _, decisions = run(store, {"case-1": [sight("first", 0.01)]})
    assert decisions["case-1"].status == "read"
    _, decisions = run(store, {"case-1": [sight("second", 0.95)]})
    assert decisions["case-1"].status == "to read"


def test_an_earlier_slide_counts_only_under_the_same_certificate(store: Store) -> None:
    run(store, {"case-1": [sight("first", 0.01)]}, None)
    _, decisions = run(store, {"case-1": [sight("second", 0.01)]})
    assert "not judged under this certificate" in decisions["case-1"].reason
    _, decisions = run(store, {"case-1": [sight("first", 0.01), sight("second", 0.01)]})
    assert decisions["case-1"].status == "released"


def test_a_certificate_that_is_stopped_while_slides_are_looked_at_releases_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from copilot.triage import release

    asked = release.why_not

    def then_stopped(stated: Certificate, scorer: StandIn, kept: Store) -> str | None:
        answer = asked(stated, scorer, kept)
        kept.stop_certificate(stated.sha256, "the audit refutes it", "another process")
        return answer

    monkeypatch.setattr(release, "why_not", then_stopped)
    worklist, _ = run(store, {"case-1": [sight("low", 0.01)]})
    assert not worklist.rows[0].released
    assert "the audit refutes it" in worklist.as_json()["certificate"]["refused"]


def _triage_slides(place: str, worker: int) -> None:
    with Store(place) as store:
        for number in range(15):
            score = 0.95 if worker else 0.01
            run(store, {f"case-{number}": [sight(f"slide {worker} {number}", score)]})


def test_two_processes_that_see_different_slides_of_a_case_never_release_it(tmp_path: Path) -> None:
    place = str(tmp_path / "store.sqlite3")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_triage_slides, args=(place, worker)) for worker in range(2)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(60)
    assert [process.exitcode for process in workers] == [0, 0]
    with Store(place) as store:
        rows = store.worklist()
        assert len(rows) == 15
        assert {row.status for row in rows} == {"to read"}
        assert all(len(row.record["slides"]) == 2 for row in rows)


def test_the_store_holds_no_name_of_a_slide(store: Store, tmp_path: Path) -> None:
    run(store, {"case-1": [sight("Doe_Jane_1950.svs", 0.01), sight("Doe_Jane_2.svs", None)]})
    store.close()
    for file in tmp_path.iterdir():
        assert b"Jane" not in file.read_bytes()
