"""A store that is locked, full, gone or unsure: 503, nothing half-done, and the handler never runs unguarded."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.guard.shop import Shop, write_order
from tocsin.guard import Signed, StoreUnavailable, Transaction, TransactionBroken
from tocsin.guard.stores import Granted
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.stores.sqlite._authorizer import Authorizer
from tocsin.guard.stores.sqlite._process_turn import ProcessTurn
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.stores.sqlite._writer import Writer
from tocsin.guard.testing import ANSWER, claim

MakeShop = Callable[..., Shop]


def error(code: int, message: str = "made by a test") -> sqlite3.OperationalError:
    made = sqlite3.OperationalError(message)
    made.sqlite_errorcode = code
    return made


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody who does not use the guard holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


def assert_unavailable(answer: Any) -> None:
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_locked_by_another_program_is_503_and_the_handler_does_not_run(make_shop: MakeShop) -> None:
    shop = make_shop(guard={"wait_s": 0.05})
    with locked(shop.path):
        assert_unavailable(shop.order())
    assert (shop.runs, shop.orders) == (0, [])
    assert shop.order().status_code == 200


def test_a_lock_that_is_let_go_in_time_is_waited_for(make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = make_shop(guard={"wait_s": 30})
    lock = locked(shop.path)
    lock.__enter__()
    pauses: list[float] = []

    def let_go_at_the_fifth(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 5:
            lock.__exit__(None, None, None)

    monkeypatch.setattr("tocsin.guard.stores.sqlite._writer.sleep", let_go_at_the_fifth)
    assert shop.order().status_code == 200
    assert pauses == [0.0002, 0.0004, 0.0008, 0.0016, 0.002]


def test_a_duplicate_is_answered_while_another_program_holds_the_lock(shop: Shop) -> None:
    first = shop.order()
    with locked(shop.path):
        assert shop.order().data == first.data


def test_a_duplicate_of_before_a_restart_is_answered_too_as_soon_as_it_has_waited(make_shop: MakeShop) -> None:
    first = make_shop().order()
    restarted = make_shop(guard={"wait_s": 0.05})
    with locked(restarted.path):
        assert restarted.order().data == first.data
    assert restarted.runs == 0


def full(path: Path) -> SQLiteStore:
    """A store whose disk has room for the tables and hardly more."""
    return SQLiteStore(path, on_connect=lambda db: db.execute("PRAGMA max_page_count = 12"))


@pytest.mark.parametrize("where", ["the handler's writes", "the answer"])
def test_a_full_disk_is_503_and_nothing_is_kept(make_shop: MakeShop, tmp_path: Path, where: str) -> None:
    def fills(signed: Signed, tx: Transaction) -> Any:
        answer = write_order(signed, tx)
        if where == "the answer":
            return "x" * 100_000
        tx.execute("INSERT INTO orders VALUES (?)", ("x" * 100_000,))
        return answer

    shop = make_shop(store=full(tmp_path / "orders.db"), handler=fills)
    assert_unavailable(shop.order())
    assert (shop.orders, shop.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status_code == 200


def test_a_full_disk_that_the_handler_swallows_is_not_committed_half(make_shop: MakeShop, tmp_path: Path) -> None:
    """SQLite has rolled the whole transaction back by then, the claim with it."""

    def swallows(signed: Signed, tx: Transaction) -> Any:
        write_order(signed, tx)
        with suppress(sqlite3.OperationalError):
            tx.execute("INSERT INTO orders VALUES (?)", ("x" * 100_000,))
        return "done"

    shop = make_shop(store=full(tmp_path / "orders.db"), handler=swallows)
    assert shop.order().status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)


def test_a_file_that_vanished_is_503_and_is_not_replaced_by_an_empty_one(shop: Shop) -> None:
    """An empty one would know no claims, and apply everything again."""
    shop.order()
    shop.path.unlink()
    assert_unavailable(shop.order())
    assert_unavailable(shop.order("18"))
    assert not shop.path.exists()


def test_a_file_that_was_replaced_is_used_at_once(make_shop: MakeShop, tmp_path: Path) -> None:
    """Restored from a backup: writing on to the old file would lose what is acknowledged."""
    backup = make_shop(path=tmp_path / "backup.db")
    restored = backup.order("restored")
    backup.store.close()
    shop = make_shop()
    shop.order()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{shop.path}{suffix}").unlink(missing_ok=True)
    backup.path.rename(shop.path)
    assert shop.order("restored").data == restored.data
    assert shop.order("18").status_code == 200
    assert shop.orders == ["restored", "18"]


def test_a_missing_table_is_503_until_it_is_there_again(shop: Shop) -> None:
    shop.order()
    with closing(sqlite3.connect(shop.path)) as db:
        db.execute("DROP TABLE tocsin_claims")
    assert_unavailable(shop.order())
    assert shop.runs == 1


def test_a_table_that_is_missing_for_a_writer_is_made_again_for_the_next(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    first = store.take(claim(), 1)
    assert isinstance(first, Granted)
    first.abandon()
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("DROP TABLE tocsin_claims")
    with pytest.raises(Exception, match="the claim cannot be written"):
        store.take(claim(), 1)
    again = store.take(claim(), 1)
    assert isinstance(again, Granted)
    again.abandon()


class Committing:
    """Stands in for Writer.commit: fails in a given way, for a number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int, *, lands: bool, times: int = 1) -> None:
        self.code = code
        self.lands = lands
        self.left = times
        real = Writer.commit

        def commit(writer: Writer) -> None:
            self.left -= 1
            if self.left < 0 or self.lands:
                real(writer)
            if self.left >= 0:
                raise error(self.code)

        monkeypatch.setattr(Writer, "commit", commit)


def test_a_lost_commit_that_landed_is_answered_from_what_it_stored(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by taking the claim again; the handler does not run twice."""
    Committing(monkeypatch, sqlite3.SQLITE_IOERR, lands=True)
    answer = shop.order()
    assert answer.status_code == 200
    assert (shop.runs, shop.orders) == (1, ["17"])
    assert shop.order().data == answer.data


def test_a_lost_commit_that_did_not_land_runs_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    Committing(monkeypatch, sqlite3.SQLITE_IOERR, lands=False)
    assert shop.order().status_code == 200
    assert (shop.runs, shop.orders) == (2, ["17"])


def test_a_commit_that_stays_unknown_is_503(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    Committing(monkeypatch, sqlite3.SQLITE_IOERR, lands=False, times=2)
    assert_unavailable(shop.order())
    assert (shop.runs, shop.orders) == (2, [])
    assert shop.order().status_code == 200


def test_a_commit_that_found_the_disk_full_is_known_not_to_have_landed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    Committing(monkeypatch, sqlite3.SQLITE_FULL, lands=False)
    assert_unavailable(shop.order())
    assert (shop.runs, shop.orders) == (1, [])


def test_a_connection_that_cannot_roll_back_is_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing it undoes what was not committed; the next request gets a new one."""

    def fails(signed: Signed, tx: Transaction) -> Any:
        write_order(signed, tx)
        raise RuntimeError

    def cannot(_writer: Writer) -> None:
        raise error(sqlite3.SQLITE_IOERR)

    shop.handler = fails
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "roll_back", cannot)
        with pytest.raises(RuntimeError):
            shop.order()
    assert "cannot roll back" in caplog.text
    shop.handler = write_order
    assert shop.order().status_code == 200
    assert shop.orders == ["17"]


def test_an_interrupt_while_the_claim_is_taken_leaves_the_store_usable(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("stores.sqlite._claims.take", "stores.sqlite._claims.settle", "stores.sqlite._writer.Writer.begin"):

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(f"tocsin.guard.{place}", interrupt)
            with pytest.raises(KeyboardInterrupt):
                shop.order()
        assert (shop.orders, shop.claims) == ([], 0)
    assert shop.order().status_code == 200


def test_an_interrupt_while_a_transaction_ends_leaves_the_file_to_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = SQLiteStore(tmp_path / "store.db"), ProcessTurn(tmp_path / "store.db")
    granted = store.take(claim("interrupted"), 2.0)
    assert isinstance(granted, Granted)

    def interrupted(_writer: Writer) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "roll_back", interrupted)
        with pytest.raises(KeyboardInterrupt):
            granted.abandon()
    assert other.try_take()
    other.close()
    assert isinstance(store.take(claim("interrupted"), 2.0), Granted)


def test_an_error_of_sqlites_own_is_told_from_one_of_the_statements() -> None:
    own = SQLiteStore.is_own_failure
    assert own(SQLiteStore, error(sqlite3.SQLITE_FULL))  # type: ignore[arg-type]
    assert own(SQLiteStore, error(sqlite3.SQLITE_IOERR | 0x0A00))  # type: ignore[arg-type]
    assert not own(SQLiteStore, error(sqlite3.SQLITE_CONSTRAINT))  # type: ignore[arg-type]
    assert not own(SQLiteStore, sqlite3.ProgrammingError("closed"))  # type: ignore[arg-type]
    assert not own(SQLiteStore, RuntimeError())  # type: ignore[arg-type]


def test_a_claim_that_a_handler_got_rid_of_all_the_same_is_500(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of defence, shown with the first one down."""
    monkeypatch.setattr(Authorizer, "__call__", lambda *_: sqlite3.SQLITE_OK)

    def forgets(signed: Signed, tx: Transaction) -> Any:
        tx.execute("DELETE FROM tocsin_claims")
        return write_order(signed, tx)

    shop = make_shop(handler=forgets)
    assert shop.order().status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)


@pytest.fixture
def outer(tmp_path: Path) -> Unit:
    unit = SQLiteStore(tmp_path / "store.db").take(claim("outer"), 1)
    assert isinstance(unit, Unit)
    return unit


@pytest.mark.parametrize("place", ["_claims.take", "_writer.Writer.open_savepoint"], ids=["claim", "savepoint"])
def test_a_nested_claim_that_cannot_be_taken_is_unavailable(
    outer: Unit, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def cannot(*_: object) -> None:
        raise error(sqlite3.SQLITE_IOERR)

    store = outer._desk
    assert isinstance(store, SQLiteStore)
    with monkeypatch.context() as patch:
        patch.setattr(f"tocsin.guard.stores.sqlite.{place}", cannot)
        with pytest.raises(StoreUnavailable):
            store.take(claim("inner"), 1)
    if place == "_claims.take":
        # Nobody knows what it left, so the outer one is not committed either.
        with pytest.raises(TransactionBroken, match="to go on after a nested operation"):
            outer.settle(ANSWER)
    else:
        outer.settle(ANSWER)
    assert not store.is_inside()


@pytest.mark.parametrize("fault", [OSError("no such file"), error(sqlite3.SQLITE_IOERR), KeyboardInterrupt()])
def test_a_writer_that_cannot_be_opened_passes_its_turn_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    store = SQLiteStore(tmp_path / "store.db")

    def cannot(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr("tocsin.guard.stores.sqlite._kept_writer.Writer", cannot)
        with pytest.raises((StoreUnavailable, KeyboardInterrupt)):
            store.take(claim(), 1)
    granted = store.take(claim(), 1)
    assert isinstance(granted, Granted)
    granted.abandon()


def test_an_error_other_than_busy_is_not_waited_for(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    first = store.take(claim(), 1)
    assert isinstance(first, Unit)
    first.abandon()
    first.writer._begin = "BEGIN NONSENSE"
    with pytest.raises(StoreUnavailable, match="syntax error"):
        store.take(claim(), 1)
    again = store.take(claim(), 1)
    assert isinstance(again, Granted)
    again.abandon()
