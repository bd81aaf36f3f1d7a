"""The history's file: many writers at once, older and newer versions of it."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tocsin.cli import _rerun, _run_archive
from tocsin.cli._errors import UsageError
from tocsin.cli._rerun import plan_hash
from tocsin.cli._run_archive import MIGRATIONS, Origin, RunArchive, default_path

ORIGIN = Origin("/srv", "plan.toml", "0" * 64, "http://127.0.0.1:1", "http/1.1")


def report(started_at: str = "2026-01-01T00:00:00Z", *ids: str, **changes: Any) -> str:
    findings = [{"id": one, "check": f"check-{one}", "verdict": "VIOLATED"} for one in ids]
    known = {"operation": "POST /order", "target": "http://a", "verdict": "VIOLATED", "score": 60, "grade": "D"}
    return json.dumps(known | {"started_at": started_at, "seed": 7, "findings": findings} | changes)


@pytest.fixture
def archive(tmp_path: Path) -> RunArchive:
    return RunArchive(tmp_path / "state" / "runs.db")


def test_what_was_kept_comes_back(archive: RunArchive) -> None:
    run = archive.add(report(), ORIGIN)
    one = archive.run(run[:3])
    assert (one.id, one.origin, one.seed, one.report) == (run, ORIGIN, 7, report())
    assert (one.operation, one.target, one.verdict, one.score, one.grade) == (
        "POST /order",
        "http://a",
        "VIOLATED",
        60,
        "D",
    )


def test_the_newest_come_first(archive: RunArchive) -> None:
    days = ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z"]
    for day in days:
        archive.add(report(day), ORIGIN)
    assert [one.started_at for one in archive.newest(2)] == sorted(days, reverse=True)[:2]


def test_reading_makes_no_file(archive: RunArchive) -> None:
    assert archive.newest(5) == []
    assert not archive.path.parent.exists()


def test_scans_that_end_at_the_same_moment_are_all_kept(archive: RunArchive) -> None:
    """The first of them makes the file and its tables, whoever that is."""
    number = 12
    start = threading.Barrier(number)
    failed: list[BaseException] = []

    def end_a_scan(place: int) -> None:
        try:
            start.wait()
            RunArchive(archive.path).add(report(seed=place), ORIGIN)
        except BaseException as error:  # noqa: BLE001  told by the assert below
            failed.append(error)

    threads = [threading.Thread(target=end_a_scan, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(one.seed for one in archive.newest(99)) == list(range(number))


def test_two_that_find_no_tables_make_them_once(archive: RunArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked before either begins."""
    looked = threading.Barrier(2)
    has_looked = threading.local()
    version = _run_archive._version

    def looks(db: sqlite3.Connection) -> int:
        found = version(db)
        if not hasattr(has_looked, "once"):
            has_looked.once = True
            looked.wait()
        return found

    monkeypatch.setattr(_run_archive, "_version", looks)
    failed: list[UsageError] = []

    def end_a_scan() -> None:
        try:
            RunArchive(archive.path).add(report(), ORIGIN)
        except UsageError as error:
            failed.append(error)

    threads = [threading.Thread(target=end_a_scan) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def migrate_without_looking_again(db: sqlite3.Connection) -> None:
    """A broken twin of `_migrate`."""
    version = _run_archive._version(db)
    db.execute("BEGIN IMMEDIATE")
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    db.execute("COMMIT")


def test_a_migration_that_does_not_look_again_is_caught(archive: RunArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run_archive, "_migrate", migrate_without_looking_again)
    with pytest.raises(AssertionError, match="already exists"):
        test_two_that_find_no_tables_make_them_once(archive, monkeypatch)


def test_a_deleted_run_takes_its_findings_along(archive: RunArchive) -> None:
    run = archive.add(report("2026-01-01T00:00:00Z", "aa11"), ORIGIN)
    archive.delete([run])
    with pytest.raises(UsageError, match="finding 'aa11': no run in"):
        archive.last_violation("aa11")
    with closing(sqlite3.connect(archive.path)) as db:
        assert db.execute("SELECT count(*) FROM findings").fetchone() == (0,)


def test_a_finding_is_found_in_the_newest_run_that_violated_it(archive: RunArchive) -> None:
    archive.add(report("2026-01-01T00:00:00Z", "aa11"), ORIGIN)
    wanted = archive.add(report("2026-01-02T00:00:00Z", "aa11"), ORIGIN)
    clean = [{"id": "aa11", "check": "check-aa11", "verdict": "NOT_OBSERVED"}]
    archive.add(report("2026-01-03T00:00:00Z", findings=clean), ORIGIN)
    run, check = archive.last_violation("aa")
    assert (run.id, check) == (wanted, "check-aa11")


def test_a_beginning_that_fits_two_is_refused_with_both(archive: RunArchive) -> None:
    archive.add(report("2026-01-01T00:00:00Z", "aa11", "aa22"), ORIGIN)
    with pytest.raises(UsageError, match="finding 'aa': several begin so: aa11, aa22"):
        archive.last_violation("aa")


def test_two_runs_that_begin_alike_are_told_apart_by_more(archive: RunArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["abcd0000", "abcd1111"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(ids))
    archive.add(report(), ORIGIN)
    archive.add(report(), ORIGIN)
    with pytest.raises(UsageError, match="run 'abcd': 2 runs begin so"):
        archive.run("abcd")
    assert archive.run("abcd1").id == "abcd1111"


def test_an_older_file_is_brought_up_to_date_once(archive: RunArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    old = archive.add(report(), ORIGIN)
    monkeypatch.setattr(_run_archive, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE runs ADD COLUMN note TEXT DEFAULT 'x'"))
    archive.add(report(), ORIGIN)
    assert archive.run(old).id == old
    with closing(sqlite3.connect(archive.path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert db.execute("SELECT DISTINCT note FROM runs").fetchall() == [("x",)]


def test_a_run_of_the_first_version_is_still_there(archive: RunArchive) -> None:
    archive.path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(archive.path)) as db:
        db.executescript(MIGRATIONS[0])
        db.execute("PRAGMA user_version = 1")
        old = (
            "aa11",
            "2026-01-01T00:00:00Z",
            "POST /",
            "http://a",
            "CLEAN",
            100,
            "A",
            "/srv",
            "p.toml",
            "0",
            None,
            7,
            "{}",
        )
        db.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(old))})", old)
        db.commit()
    assert archive.run("aa11").origin == Origin("/srv", "p.toml", "0", None, None)
    assert archive.run("aa11").seed == 7


def test_a_migration_that_fails_changes_nothing(archive: RunArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    old = archive.add(report(), ORIGIN)
    monkeypatch.setattr(_run_archive, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (a); SELECT * FROM nowhere"))
    with pytest.raises(UsageError, match="no such table: nowhere"):
        archive.add(report(), ORIGIN)
    monkeypatch.undo()
    assert [one.id for one in archive.newest(5)] == [old]


def test_a_file_of_a_newer_version_is_left_alone(archive: RunArchive) -> None:
    archive.add(report(), ORIGIN)
    with closing(sqlite3.connect(archive.path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match=f"version 99, and this tocsin knows up to {len(MIGRATIONS)}; update it"):
        archive.add(report(), ORIGIN)


def test_a_run_that_cannot_be_stored_whole_is_not_stored(archive: RunArchive) -> None:
    with pytest.raises(UsageError, match="UNIQUE constraint failed"):
        archive.add(report("2026-01-01T00:00:00Z", "aa11", "aa11"), ORIGIN)
    assert archive.newest(5) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"history .*file/runs.db: (Not a directory|File exists)"):
        RunArchive(tmp_path / "file" / "runs.db").add(report(), ORIGIN)


def test_the_default_place_is_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "tocsin" / "runs.db"
    # A relative one is to be ignored, says the specification.
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() == tmp_path / ".local" / "state" / "tocsin" / "runs.db"


def test_a_plans_hash_is_of_what_it_means_and_not_of_its_secret() -> None:
    plan = b'[target]\nbase_url = "http://a"\n[signing]\nsecret = { value = "one" }\n[[state]]\npointer = "/a"\n'
    assert plan_hash(plan) == plan_hash(b"# a remark\n" + plan.replace(b" = ", b"="))
    assert plan_hash(plan) == plan_hash(plan.replace(b"one", b"two"))
    assert plan_hash(plan) != plan_hash(plan.replace(b"/a", b"/b"))
    named = plan.replace(b'{ value = "one" }', b'{ env = "ONE" }')
    assert plan_hash(named) != plan_hash(named.replace(b"ONE", b"TWO"))
    assert [plan_hash(octets) for octets in (b"no plan", b"\xff", b"a = " + b"[" * 5000)] == ["", "", ""]


def test_a_hash_that_holds_the_secret_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rerun, "_public", lambda tables: tables)
    with pytest.raises(AssertionError):
        test_a_plans_hash_is_of_what_it_means_and_not_of_its_secret()
