"""The case store keeps what it acknowledged, names nobody, and tells who did what."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from copilot.store import Store
from copilot.store.store import Placed, Review
from copilot.store.tables import audit
from slides import SetupError, UsageError

from .postgres import cluster

SLIDE, MAKER = "a" * 40, "encoder 1 heads 1"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        with Store(tmp_path / "store.sqlite3") as opened:
            yield opened
        return
    url = request.getfixturevalue("postgres")
    with Store(url, key=tmp_path / "store.key") as opened, opened._database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    with Store(url, key=tmp_path / "store.key") as opened:
        yield opened


def released(case: str, certificate: str = "c" * 64) -> Placed:
    return Placed(case, "released", 0.02, "below threshold", certificate, {"slides": [SLIDE]})


def test_memory_is_given_back_to_its_maker_alone(store: Store) -> None:
    payload = bytes(range(256)) * 4096
    assert store.memory(SLIDE, "features", MAKER) is None
    store.remember(SLIDE, "features", payload, MAKER)
    assert store.memory(SLIDE, "features", MAKER) == payload
    assert store.memory(SLIDE, "features", "encoder 2 heads 1") is None
    assert store.memory(SLIDE, "map", MAKER) is None
    longest = "observation of 100000,100000,100000,100000 0123456789abcdef False head and neck"
    store.remember(SLIDE, longest, b"a view", MAKER)
    assert store.memory(SLIDE, longest, MAKER) == b"a view"
    store.remember(SLIDE, "features", b"anew", MAKER)
    assert store.memory(SLIDE, "features", MAKER) == b"anew"


def test_what_was_written_is_there_for_the_next_to_open_it(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite3") as first:
        case = first.case_id("patient 7")
        first.add_slide(SLIDE, case, {"mpp": 0.25})
        first.keep_findings(SLIDE, {"organ": "colon"}, MAKER)
        first.converse(SLIDE, "what is this?", {"text": "µm and ≥"})
        first.place([released(case)], "test")
        first.keep_certificate("c" * 64, {"n": 299}, "test")
    with Store(tmp_path / "store.sqlite3") as second:
        assert second.case_id(" patient 7") == case
        assert second.case_of(SLIDE) == case
        assert second.slides_of(case) == (SLIDE,)
        assert second.findings(SLIDE, MAKER) == {"organ": "colon"}
        assert second.findings(SLIDE, MAKER, view="0,0,10,10") is None
        assert second.conversation(SLIDE) == [("what is this?", {"text": "µm and ≥"})]
        assert [row.case for row in second.worklist()] == [case]
        assert second.certificate("c" * 64) == ({"n": 299}, None)
        assert second.first_broken_entry() is None


def test_a_slide_keeps_its_case_unless_another_is_given(store: Store) -> None:
    store.add_slide(SLIDE, "case-1", {"mpp": 0.5})
    store.add_slide(SLIDE)
    assert store.case_of(SLIDE) == "case-1"
    store.add_slide(SLIDE, "case-2")
    assert store.slides_of("case-1") == ()
    assert store.slides_of("case-2") == (SLIDE,)


def test_the_worklist_stands_in_order_of_reading(store: Store) -> None:
    rows = [
        Placed(name, "to read", score, "", None, {})
        for name, score in (("a", 0.1), ("b", 0.9), ("c", None), ("d", 0.5))
    ]
    store.place(rows, "test")
    assert [row.case for row in store.worklist()] == ["c", "b", "d", "a"]


def test_every_release_draw_withdrawal_and_override_is_logged_once(store: Store) -> None:
    case = "case-1"
    store.place([released(case)], "command line")
    store.place([released(case)], "command line")
    store.place([Placed(case, "to read", 0.4, "above", None, {})], "command line")
    store.place([Placed(case, "audit", 0.02, "drawn", "c" * 64, {})], "command line")
    store.place([released(case)], "command line")
    store.override(case, "recalled", " second \n look ", "desk")
    entries = store.audit_log(case)
    assert [entry.action for entry in entries] == [
        "released",
        "release withdrawn",
        "drawn for audit",
        "released",
        "release overridden",
    ]
    assert entries[-1].actor == "desk"
    assert entries[-1].details == {"reason": "second look", "from": "released"}
    assert store.first_broken_entry() is None


def test_what_a_person_decided_outlives_ranking_anew(store: Store) -> None:
    store.place([released("case-1"), released("case-2")], "test")
    store.override("case-1", "recalled", "clinical suspicion", "desk")
    store.override("case-2", "read", "read and signed", "desk")
    after = store.place([released("case-1"), released("case-2")], "test")
    assert [row.status for row in after] == ["recalled", "read"]


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_an_override_needs_a_reason_and_a_case(store: Store, reason: str) -> None:
    store.place([released("case-1")], "test")
    with pytest.raises(UsageError, match="say why"):
        store.override("case-1", "recalled", reason, "desk")
    with pytest.raises(UsageError, match="no such case"):
        store.override("case-9", "recalled", "why not", "desk")
    assert store.case("case-1") is not None
    assert [entry.action for entry in store.audit_log()] == ["released"]


def test_a_stopped_certificate_takes_its_releases_back(store: Store) -> None:
    certificate, other = "c" * 64, "d" * 64
    store.keep_certificate(certificate, {}, "test")
    store.place([released("case-1"), released("case-2"), released("case-3", other)], "test")
    store.override("case-2", "read", "signed", "desk")
    store.stop_certificate(certificate, "the audit refutes it", "test")
    store.stop_certificate(certificate, "again", "test")
    statuses = {row.case: row.status for row in store.worklist()}
    assert statuses == {"case-1": "to read", "case-2": "read", "case-3": "released"}
    assert store.certificate(certificate) == ({}, "the audit refutes it")
    actions = [entry.action for entry in store.audit_log()]
    assert actions.count("certificate stopped") == 1
    assert actions.count("release withdrawn") == 1


def test_a_case_is_reviewed_once_under_a_certificate(store: Store) -> None:
    reviews = [Review("case-1", True, True, True), Review("case-2", False, False, True)]
    assert store.review("c" * 64, reviews, "test") == 2
    assert store.review("c" * 64, [Review("case-1", False, False, True)], "test") == 0
    assert store.review("d" * 64, reviews[:1], "test") == 1
    assert [(item.case, item.missed) for item in store.reviews("c" * 64)] == [("case-1", True), ("case-2", False)]


def test_the_database_itself_refuses_to_change_the_log(store: Store) -> None:
    store.note("test", "opened", "case-1", {})
    for change in (update(audit).values(actor="somebody else"), delete(audit)):
        with pytest.raises(DBAPIError, match="only ever added to"), store._database.engine.begin() as connection:
            connection.execute(change)
    assert [entry.actor for entry in store.audit_log()] == ["test"]


@pytest.mark.parametrize(
    "change",
    [
        'UPDATE audit SET details = \'{"reason": "other"}\' WHERE number = 2',
        "DELETE FROM audit WHERE number = 2",
        "UPDATE audit SET number = 9 WHERE number = 3",
    ],
)
def test_an_altered_log_shows_from_where_on(tmp_path: Path, change: str) -> None:
    place = tmp_path / "store.sqlite3"
    with Store(place) as store:
        for number in range(4):
            store.note("test", "opened", f"case-{number}", {})
        assert store.first_broken_entry() is None
        with sqlite3.connect(place) as connection:
            connection.execute("DROP TRIGGER audit_no_update")
            connection.execute("DROP TRIGGER audit_no_delete")
            connection.execute(change)
        connection.close()
        assert store.first_broken_entry() in (2, 3)


def test_a_pseudonym_is_steady_tells_nothing_and_differs_between_stores(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite3") as first, Store(tmp_path / "b.sqlite3") as second:
        name = first.case_id("Doe, Jane 1950")
        assert name == first.case_id("Doe, Jane 1950")
        assert name != second.case_id("Doe, Jane 1950")
        assert "Doe" not in name
        first.place([released(name)], "test")
    assert (tmp_path / "a.key").stat().st_mode & 0o077 == 0
    for file in tmp_path.iterdir():
        assert b"Jane" not in file.read_bytes()


def _write_many(place: str, key: str, worker: int, count: int) -> None:
    with Store(place, key=Path(key)) as store:
        for number in range(count):
            store.remember(f"{worker:040d}", f"part {number}", f"{worker} {number}".encode(), MAKER)
            store.place([released(f"case-{worker}-{number}")], f"worker {worker}")


def test_two_processes_write_at_once_and_lose_nothing(store: Store, tmp_path: Path) -> None:
    url = store._database.engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    key = str(tmp_path / "store.key")
    workers = [context.Process(target=_write_many, args=(url, key, worker, 25)) for worker in range(2)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(60)
    assert [process.exitcode for process in workers] == [0, 0]
    for worker in range(2):
        for number in range(25):
            assert store.memory(f"{worker:040d}", f"part {number}", MAKER) == f"{worker} {number}".encode()
    assert len(store.worklist()) == 50
    assert [entry.number for entry in store.audit_log()] == list(range(1, 51))
    assert store.first_broken_entry() is None


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("nonsense://", UsageError),
        ("postgresql://nobody@/none?host=/nonexistent", SetupError),
        ("sqlite:////proc/none/store.sqlite3", SetupError),
    ],
)
def test_a_store_that_cannot_be_had_ends_in_one_line(place: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error) as told:
        Store(place, key=tmp_path / "key")
    assert len(str(told.value).splitlines()) == 1


def test_a_file_that_is_no_store_and_another_layout_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sqlite3"
    wrong.write_bytes(b"not a database, though long enough to be one" * 100)
    with pytest.raises(SetupError, match="wrong"):
        Store(wrong)
    Store(tmp_path / "old.sqlite3").close()
    with sqlite3.connect(tmp_path / "old.sqlite3") as connection:
        connection.execute("UPDATE about SET value = '0'")
    connection.close()
    with pytest.raises(SetupError, match="another version"):
        Store(tmp_path / "old.sqlite3")


def test_a_damaged_key_is_refused_and_not_made_anew(tmp_path: Path) -> None:
    Store(tmp_path / "store.sqlite3").close()
    (tmp_path / "store.key").write_bytes(b"short")
    with pytest.raises(SetupError, match="damaged"):
        Store(tmp_path / "store.sqlite3")


def test_records_are_plain_json(store: Store) -> None:
    store.place([released("case-1")], "test")
    (row,) = store.worklist()
    assert json.loads(json.dumps(row.record)) == {"slides": [SLIDE]}
