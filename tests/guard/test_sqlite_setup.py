"""Opening, creating and sharing the file."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.guard.shop import Shop, write_order
from tocsin.guard import GuardError, Signed, StoreUnavailable, Transaction
from tocsin.guard.stores import Granted
from tocsin.guard.stores.sqlite import SQLiteStore, _claims, _schema
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.testing import ANSWER, claim

MakeShop = Callable[..., Shop]


def pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_fresh_file_is_in_wal_mode_and_has_the_tables(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    SQLiteStore(tmp_path / "new.db")
    assert pragma(tmp_path / "new.db", "journal_mode") == "wal"
    with closing(sqlite3.connect(tmp_path / "new.db")) as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    assert names >= {"tocsin_claims", "tocsin_claims_due", "tocsin_forgotten"}
    assert caplog.text == ""


def test_switching_somebodys_file_to_wal_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (id)")
    SQLiteStore(path)
    assert f"{path}: switching its journal mode from delete to wal" in caplog.text
    assert pragma(path, "journal_mode") == "wal"


def test_a_later_version_may_have_added_columns_meanwhile(make_shop: MakeShop) -> None:
    """Migrations only add, so that two versions of a service run side by side."""
    shop = make_shop()
    first = shop.order()
    with closing(sqlite3.connect(shop.path, isolation_level=None)) as db:
        db.execute("ALTER TABLE tocsin_claims ADD COLUMN added_later TEXT")
    assert shop.order().data == first.data
    assert shop.order("18").status_code == 200


def test_a_file_that_is_ready_is_not_written_at_start(tmp_path: Path) -> None:
    """A restart under load waits for nobody."""
    SQLiteStore(tmp_path / "store.db").close()
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        SQLiteStore(tmp_path / "store.db").close()


def test_many_processes_may_start_on_a_fresh_file_at_once(tmp_path: Path) -> None:
    """Setting WAL on a fresh file answers "database is locked" at once, so it happens under a lock file."""
    code = "import sys; from tocsin.guard.stores.sqlite import SQLiteStore; print(); input(); SQLiteStore(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "new.db")]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        starters = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)) for _ in range(6)
        ]
        for starter in starters:
            assert starter.stdout is not None
            starter.stdout.readline()
        for starter in starters:
            assert starter.stdin is not None
            starter.stdin.write(b"\n")
            starter.stdin.flush()
        assert [starter.communicate()[1] for starter in starters] == [b""] * 6
        assert [starter.returncode for starter in starters] == [0] * 6


def test_a_lock_file_that_is_held_for_too_long_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_schema, "_PREPARE_WAIT_S", 0.05)
    with Path(f"{tmp_path / 'new.db'}-tocsin-lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match="cannot be made ready"):
            SQLiteStore(tmp_path / "new.db")


def test_a_file_that_a_client_without_lock_file_keeps_busy_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_schema, "_PREPARE_WAIT_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "theirs.db", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked"):
            SQLiteStore(tmp_path / "theirs.db")


def test_a_file_that_stays_in_another_mode_is_an_error(tmp_path: Path) -> None:
    """SQLite answers the mode that it stays in, and no error; a database in memory stands for one on a network."""
    refusal = pytest.raises(StoreUnavailable, match="stays in journal mode memory; wanted wal")
    with closing(sqlite3.connect(":memory:")) as db, refusal:
        _schema._switch_to_wal(db, tmp_path)


@pytest.mark.parametrize("path", [":memory:", "", "file:x.db?mode=memory"])
def test_a_path_that_connections_cannot_share_is_refused(path: str) -> None:
    with pytest.raises(GuardError, match="wanted the path of a database file"):
        SQLiteStore(path)


def test_a_sqlite_for_one_thread_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "threadsafety", 0)
    with pytest.raises(GuardError, match="built for one thread"):
        SQLiteStore(tmp_path / "new.db")


@pytest.mark.parametrize("what", ["no directory", "a directory", "no database"])
def test_a_path_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path, what: str) -> None:
    path = tmp_path / "missing" / "x.db" if what == "no directory" else tmp_path / "x.db"
    if what == "a directory":
        path.mkdir()
    elif what == "no database":
        path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable, match=str(path)):
        SQLiteStore(path)


def test_a_path_with_strange_characters_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "or?ders#1 %41.db"
    SQLiteStore(path)
    assert path.exists()


def test_commits_are_durable(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    granted = store.take(claim(), 1)
    assert isinstance(granted, Granted)
    granted.abandon()
    writer = store.turns.kept.writer
    assert writer is not None
    assert writer.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_on_macos_fsync_reaches_the_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        _schema.make_durable(db)
        assert db.execute("PRAGMA fullfsync").fetchone() == (1,)
        assert db.execute("PRAGMA checkpoint_fullfsync").fetchone() == (1,)


def test_closing_waits_for_nobody_and_takes_nothing_away(tmp_path: Path) -> None:
    """A closed store opens again when it is used again."""
    store = SQLiteStore(tmp_path / "store.db")
    granted = store.take(claim(), 1)
    assert isinstance(granted, Granted)
    with pytest.raises(StoreUnavailable, match="is in use"):
        store.close()
    granted.settle(ANSWER)
    assert store.look(claim().key) is not None
    store.close()
    assert store.look(claim().key) is not None


def test_readers_are_kept_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.guard.stores.sqlite._readers._MOST_KEPT", 1)
    readers = SQLiteStore(tmp_path / "store.db")._readers
    real = _claims.read
    depth = iter(range(2))

    def reads_while_another_reads(connection: sqlite3.Connection, key: bytes) -> object:
        if next(depth, None) is not None:
            readers.read(key)
        return real(connection, key)

    monkeypatch.setattr("tocsin.guard.stores.sqlite._claims.read", reads_while_another_reads)
    assert readers.read(b"no such key") is None
    assert len(readers._idle) == 1


def forked(task: Callable[[], object]) -> int:
    """Run a task in a forked child; its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            task()
            status = 0
        finally:
            os._exit(status)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(task: Callable[[], object]) -> int:
    """Run a task in a forked child; its exit status."""
    return exit_code(forked(task))


def test_a_forked_child_has_connections_and_locks_of_its_own(make_shop: MakeShop) -> None:
    """gunicorn --preload: the parent has used the store, and the children go on."""
    shop = make_shop()
    first = shop.order("parent")

    def child() -> None:
        assert shop.store.turns.kept.writer is None  # type: ignore[attr-defined]
        assert shop.order("parent").data == first.data
        assert shop.order("child").status_code == 200

    assert in_child(child) == 0
    assert shop.orders == ["parent", "child"]
    assert shop.order("child").headers["Idempotent-Replayed"] == "true"


def use_elsewhere(path: Path) -> None:
    """Another program opens the file and closes it again, as `tocsin claims` does."""
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM orders'); db.close()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_what_a_forked_child_commits_stands_though_its_parent_has_closed_the_file(make_shop: MakeShop) -> None:
    """A service that has served and becomes a daemon: whoever closes the file last removes its log."""
    shop = make_shop()
    shop.order("parent")
    hears, says = os.pipe()

    def child() -> None:
        assert shop.order("first").status_code == 200
        os.write(says, b"1")
        assert os.read(hears_parent, 1) == b"1"
        assert shop.order("second").status_code == 200

    hears_parent, says_parent = os.pipe()
    child_pid = forked(child)
    assert os.read(hears, 1) == b"1"
    shop.store.close()
    use_elsewhere(shop.path)
    os.write(says_parent, b"1")
    assert exit_code(child_pid) == 0
    use_elsewhere(shop.path)
    assert shop.orders == ["parent", "first", "second"]
    for end in (hears, says, hears_parent, says_parent):
        os.close(end)


def test_a_child_with_an_inherited_connection_is_refused_the_file_until_it_has_closed_that(
    make_shop: MakeShop,
) -> None:
    shop = make_shop()
    shop.order("parent")
    inherited = sqlite3.connect(shop.path)
    assert inherited.execute("SELECT count(*) FROM orders").fetchone() == (1,)

    def child() -> None:
        assert shop.order("child").status_code == 503
        with pytest.raises(StoreUnavailable, match="was open when this process was forked"):
            SQLiteStore(shop.path)
        SQLiteStore(shop.path.with_name("another.db")).close()
        inherited.close()
        assert shop.order("child").status_code == 200

    assert in_child(child) == 0
    inherited.close()
    assert shop.orders == ["parent", "child"]


def test_a_fork_waits_for_a_thread_that_commits_and_not_for_itself(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.order("parent")
    store = shop.store
    assert isinstance(store, SQLiteStore)
    outer = store.take(claim("outer"), 1)
    assert isinstance(outer, Unit)
    assert in_child(lambda: None) == 0
    outer.settle(ANSWER)
    assert not store.is_inside()
    assert shop.order("after").status_code == 200


def test_a_child_that_a_handler_forks_cannot_touch_the_parents_transaction(make_shop: MakeShop) -> None:
    """Not even by leaving through the guard: what it rolled back would be the parent's."""

    def forks(signed: Signed, tx: Transaction) -> object:
        answer = write_order(signed, tx)

        def child() -> None:
            with pytest.raises(sqlite3.ProgrammingError):
                tx.execute("DELETE FROM orders")

        assert in_child(child) == 0
        child_pid = os.fork()
        if child_pid == 0:
            raise SystemExit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child_pid, 0)[1]) == 3
        return answer

    shop = make_shop(handler=forks)
    parent = os.getpid()
    try:
        answer = shop.order()
    except SystemExit:
        assert os.getpid() != parent
        os._exit(3)
    assert answer.status_code == 200
    assert shop.orders == ["17"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for somebody else; run the tests as root")
def test_what_root_was_the_first_to_make_is_open_to_the_owner_of_the_database(tmp_path: Path) -> None:
    """`sudo tocsin claims prune`, before the service has served."""
    tmp_path.chmod(0o777)
    path = tmp_path / "orders.db"
    sqlite3.connect(path).close()
    os.chown(path, 65534, 65534)
    path.chmod(0o600)
    store = SQLiteStore(path)
    granted = store.take(claim(), 1)
    assert isinstance(granted, Granted)
    granted.settle(ANSWER)
    store.close()
    owners = {file.name: file.stat().st_uid for file in tmp_path.glob("orders.db-tocsin-*")}
    assert owners == {f"orders.db-tocsin-{name}": 65534 for name in ("gate", "lock", "turn")}
