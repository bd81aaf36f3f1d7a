"""The log is copied into the database file beside those who write, unless the application sees to it."""

import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event
from threading import enumerate as threads

import pytest

from tocsin.guard import StoreUnavailable
from tocsin.guard.stores import Granted
from tocsin.guard.stores.sqlite import SQLiteStore, _checkpoints, _side_thread
from tocsin.guard.stores.sqlite._checkpoints import LONGEST_LOG_PAGES, Checkpoints
from tocsin.guard.testing import ANSWER, claim

LONG_S = 30.0
ENOUGH = _checkpoints._EVERY_ROWS


def apply(store: SQLiteStore, key: str, rows: int = 1) -> None:
    granted = store.take(claim(key), LONG_S)
    assert isinstance(granted, Granted)
    granted.tx.executemany("INSERT INTO orders VALUES (?)", [(key,)] * rows)
    granted.settle(ANSWER)


def opened(path: Path, on_connect: Callable[[sqlite3.Connection], object] | None = None) -> SQLiteStore:
    store = SQLiteStore(path, on_connect=on_connect)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE orders (name TEXT)")
        db.execute("PRAGMA wal_checkpoint")
    return store


def end_of_copying(store: SQLiteStore) -> None:
    writer = store.turns.kept.writer
    assert writer is not None
    if writer._checkpoints is not None:
        writer._checkpoints.close()
    for thread in threads():
        if thread.name == "tocsin-checkpoint":
            thread.join()


def rows_without_the_log(path: Path) -> int:
    """How many of them the database file has by itself."""
    alone = path.with_name("alone.db")
    shutil.copy(path, alone)
    with closing(sqlite3.connect(alone)) as db:
        found: int = db.execute("SELECT count(*) FROM orders").fetchone()[0]
    return found


def autocheckpoint(store: SQLiteStore) -> int:
    writer = store.turns.kept.writer
    assert writer is not None
    found: int = writer.connection.execute("PRAGMA wal_autocheckpoint").fetchone()[0]
    return found


def test_many_rows_are_copied_and_few_are_left_in_the_log(tmp_path: Path) -> None:
    store = opened(tmp_path / "store.db")
    apply(store, "few")
    end_of_copying(store)
    assert rows_without_the_log(store.path) == 0
    apply(store, "many", ENOUGH)
    end_of_copying(store)
    assert rows_without_the_log(store.path) == ENOUGH + 1
    store.close()


def test_where_it_fails_commit_does_it_when_the_log_is_very_long(tmp_path: Path) -> None:
    store = opened(tmp_path / "store.db")
    apply(store, "one")
    assert autocheckpoint(store) == LONGEST_LOG_PAGES
    store.close()


def test_an_application_that_says_when_the_log_is_copied_is_left_to_it(tmp_path: Path) -> None:
    """Another program may copy the log: Litestream does."""
    store = opened(tmp_path / "store.db", lambda db: db.execute("PRAGMA wal_autocheckpoint = 0"))
    apply(store, "many", ENOUGH)
    assert autocheckpoint(store) == 0
    end_of_copying(store)
    assert rows_without_the_log(store.path) == 0
    store.close()


def test_nobody_waits_while_the_log_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path / "store.db")
    leave, copied = Event(), Event()
    copy = Checkpoints._copy

    def slow(checkpoints: Checkpoints) -> None:
        leave.wait(LONG_S)
        copy(checkpoints)
        copied.set()

    monkeypatch.setattr(Checkpoints, "_copy", slow)
    apply(store, "many", ENOUGH)
    apply(store, "more", ENOUGH)
    assert not copied.is_set()
    leave.set()
    end_of_copying(store)
    assert rows_without_the_log(store.path) == 2 * ENOUGH
    store.close()


def test_a_commit_stands_though_no_thread_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path / "store.db")

    def cannot(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(_side_thread, "Thread", cannot)
        try:
            apply(store, "many", ENOUGH)
        except StoreUnavailable as error:
            pytest.fail(f"a committed request failed: {error}")
    assert "the log is left to COMMIT, it could not be copied beside it: no thread can be started: " in caplog.text
    assert store.look(claim("many").key) is not None
    apply(store, "more", ENOUGH)
    end_of_copying(store)
    assert rows_without_the_log(store.path) == 2 * ENOUGH
    store.close()


def test_a_log_that_cannot_be_copied_is_named_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path / "store.db")

    def cannot(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "tocsin.guard"):
        patch.setattr(_checkpoints, "connect", cannot)
        apply(store, "many", ENOUGH)
        end_of_copying(store)
    assert "the log is left to COMMIT, it could not be copied beside it: disk I/O error" in caplog.text
    apply(store, "more", ENOUGH)
    end_of_copying(store)
    assert rows_without_the_log(store.path) == 2 * ENOUGH
    store.close()
