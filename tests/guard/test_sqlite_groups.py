"""Requests that share one COMMIT, through the whole guard: one of them in trouble, and what becomes of the others."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.guard.line import Blocking, Line
from tests.guard.shop import Shop, write_order
from tocsin.guard import Signed, Transaction, claim_key
from tocsin.guard.stores.sqlite import SQLiteStore, _group, _store

MakeShop = Callable[..., Shop]
WAIT = {"wait_s": 30}


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes here, a group is not closed for its age."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)


class Statements:
    """Set-up of a connection: notes its statements, without the names of savepoints and without marks."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(lambda sql: self.seen.append(" ".join(sql.split()[:1])))

    def control(self) -> list[str]:
        """Those that begin and end something."""
        return [word for word in self.seen if word in {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"}]


def breaks(signed: Signed, tx: Transaction) -> Any:
    """A handler whose statement rolls back the whole transaction, and which goes on as if nothing had happened."""
    answer = write_order(signed, tx)
    with suppress(sqlite3.Error):
        tx.executemany("INSERT OR ROLLBACK INTO once VALUES (?)", [(1,), (1,)])
    return answer


def raises(signed: Signed, tx: Transaction) -> Any:
    write_order(signed, tx)
    raise RuntimeError("no")


def shop_with(make_shop: MakeShop, schema: str, **options: Any) -> Shop:
    shop = make_shop(guard=WAIT, **options)
    with closing(sqlite3.connect(shop.path)) as db:
        db.executescript(schema)
    return shop


def line_up(shop: Shop, count: int, **handlers: Any) -> Line:
    """So many orders, "0" and on; an argument `o5` is the handler of order "5"."""
    with Line(shop, {name[1:]: handler for name, handler in handlers.items()}) as line:
        for number in range(count):
            line.add(str(number))
    return line


def all_but(count: int, *missing: int) -> list[str]:
    """What is in the table of orders in the end, in order."""
    return sorted(["first", *(str(number) for number in range(count) if number not in missing)])


def test_an_idle_store_begins_and_commits_without_a_savepoint(make_shop: MakeShop, tmp_path: Path) -> None:
    statements = Statements()
    shop = make_shop(store=SQLiteStore(tmp_path / "orders.db", on_connect=statements))
    shop.order()
    assert statements.control() == ["BEGIN", "COMMIT"]


def test_requests_that_wait_share_one_commit(make_shop: MakeShop, tmp_path: Path) -> None:
    statements = Statements()
    shop = make_shop(guard=WAIT, store=SQLiteStore(tmp_path / "orders.db", on_connect=statements))
    line = line_up(shop, 3)
    assert set(line.statuses().values()) == {200}
    assert statements.control() == ["BEGIN", "COMMIT", "BEGIN", *["SAVEPOINT", "RELEASE"] * 3, "COMMIT"]


def test_handlers_run_in_the_order_of_arrival(make_shop: MakeShop) -> None:
    line = line_up(make_shop(guard=WAIT), 64)
    assert line.orders.ran == ["first", *map(str, range(64))]


@pytest.mark.parametrize(("limit", "commits"), [({"MOST_MEMBERS": 3}, 3), ({"LONGEST_S": 0}, 7)], ids=str)
def test_a_group_closes_when_it_is_large_or_old(
    make_shop: MakeShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: dict[str, int], commits: int
) -> None:
    for name, value in limit.items():
        monkeypatch.setattr(_group, name, value)
    statements = Statements()
    shop = make_shop(guard=WAIT, store=SQLiteStore(tmp_path / "orders.db", on_connect=statements))
    line = line_up(shop, 6)
    assert set(line.statuses().values()) == {200}
    assert statements.control().count("COMMIT") == commits


def test_64_threads_of_which_one_breaks_the_transaction_are_applied_once_and_answered(make_shop: MakeShop) -> None:
    """Those that ran before it run again, alone; its own second run shows that the fault is its own."""
    shop = shop_with(make_shop, "CREATE TABLE once (id INTEGER PRIMARY KEY)")
    line = line_up(shop, 64, o40=breaks)
    assert line.statuses() == {str(number): 500 if number == 40 else 200 for number in range(64)}
    assert sorted(shop.orders) == all_but(64, 40)
    ran_twice = {order_id for order_id in line.orders.ran if line.orders.ran.count(order_id) == 2}
    assert ran_twice == {str(number) for number in range(41)}


def test_what_runs_again_shares_its_transaction_with_nobody(make_shop: MakeShop, tmp_path: Path) -> None:
    """Neither with those before it, who are committed first, nor with those after it."""
    statements = Statements()
    store = SQLiteStore(tmp_path / "orders.db", on_connect=statements)
    store.will_run_alone(claim_key("main", "/order", "string", b"1"))
    line = line_up(make_shop(guard=WAIT, store=store), 4)
    assert set(line.statuses().values()) == {200}
    of_one, of_two = ([*["SAVEPOINT", "RELEASE"] * members, "COMMIT"] for members in (1, 2))
    transactions = " ".join(statements.control()).split("BEGIN")[1:]
    assert [control.split() for control in transactions] == [["COMMIT"], of_one, ["COMMIT"], of_two]


def test_what_was_never_taken_again_is_forgotten_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "_MOST_ALONE", 2)
    store = SQLiteStore(tmp_path / "store.db")
    for key in (b"1", b"2", b"3"):
        store.will_run_alone(key)
    assert [store._runs_alone(key) for key in (b"1", b"2", b"3", b"3")] == [False, True, True, False]


def test_a_handler_that_raises_undoes_its_own_writes_and_nobody_elses(make_shop: MakeShop) -> None:
    shop = make_shop(guard=WAIT)
    line = line_up(shop, 8, o3=raises, o7=raises)
    for order_id in ("3", "7"):
        with pytest.raises(RuntimeError, match="no"):
            line.answers.pop(order_id).result()
    assert set(line.statuses().values()) == {200}
    assert sorted(shop.orders) == all_but(8, 3, 7)
    assert sorted(line.orders.ran) == sorted(["first", *map(str, range(8))])


def test_a_deferred_constraint_that_fails_the_shared_commit_is_500_for_its_own_request_alone(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    def dangles(signed: Signed, tx: Transaction) -> Any:
        tx.execute("INSERT INTO lines VALUES (99)")
        return write_order(signed, tx)

    schema = (
        "CREATE TABLE parents (id INTEGER PRIMARY KEY);"
        "CREATE TABLE lines (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED);"
    )
    store = SQLiteStore(tmp_path / "orders.db", on_connect=lambda db: db.execute("PRAGMA foreign_keys = ON"))
    shop = shop_with(make_shop, schema, store=store)
    line = line_up(shop, 8, o2=dangles)
    assert line.statuses() == {str(number): 500 if number == 2 else 200 for number in range(8)}
    assert sorted(shop.orders) == all_but(8, 2)


def test_a_disk_that_is_full_for_one_of_a_group_is_503_for_that_one_alone(make_shop: MakeShop, tmp_path: Path) -> None:
    def fills(signed: Signed, tx: Transaction) -> Any:
        tx.execute("INSERT INTO orders VALUES (?)", ("x" * 1_000_000,))
        return write_order(signed, tx)

    store = SQLiteStore(tmp_path / "orders.db", on_connect=lambda db: db.execute("PRAGMA max_page_count = 20"))
    shop = make_shop(guard=WAIT, store=store)
    line = line_up(shop, 8, o5=fills)
    assert line.statuses() == {str(number): 503 if number == 5 else 200 for number in range(8)}
    assert sorted(shop.orders) == all_but(8, 5)


def test_nobody_is_answered_before_the_shared_commit(make_shop: MakeShop) -> None:
    """Not even who raised, and wrote nothing: its handler has seen what the others wrote."""
    shop = make_shop(guard=WAIT)
    last = Blocking()
    with Line(shop, {"1": raises, "2": last}) as line:
        for order_id in ("0", "1", "2"):
            line.add(order_id)
        line.go()
        last.entered.wait()
        assert shop.orders == ["first"]
        assert not any(answer.done() for answer in line.answers.values())
        last.leave.set()
    assert isinstance(line.answers["1"].exception(), RuntimeError)
    assert shop.orders == ["first", "0", "2"]


def test_who_raised_in_a_group_that_broke_runs_again(make_shop: MakeShop) -> None:
    """What it saw may never have happened: here, an order that is undone once and not there the second time."""
    shop = shop_with(make_shop, "CREATE TABLE once (id INTEGER PRIMARY KEY)")
    seen: list[int] = []

    def counts(_signed: Signed, tx: Transaction) -> Any:
        seen.append(tx.execute("SELECT count(*) FROM orders").fetchone()[0])
        raise RuntimeError("seen")

    line = line_up(shop, 3, o1=counts, o2=breaks)
    assert isinstance(line.answers["1"].exception(), RuntimeError)
    assert len(seen) == 2


def test_a_duplicate_in_the_same_group_is_answered_after_the_commit_of_what_it_saw(make_shop: MakeShop) -> None:
    """Two guards over one store have no queue for a key in common."""
    shop = make_shop(guard=WAIT)
    other = make_shop(store=shop.store, guard=WAIT)
    last = Blocking()
    with Line(shop, {"last": last}) as line:
        line.add("17")
        line.add("again", send=lambda _: other.order("17"))
        line.add("last")
        line.go()
        last.entered.wait()
        assert not line.answers["again"].done()
        last.leave.set()
    first, again = line.answers["17"].result(), line.answers["again"].result()
    assert (again.status_code, again.data) == (200, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.runs, sorted(shop.orders)) == (0, ["17", "first", "last"])


def test_a_duplicate_in_a_group_that_broke_gets_the_answer_that_was_committed(make_shop: MakeShop) -> None:
    shop = shop_with(make_shop, "CREATE TABLE once (id INTEGER PRIMARY KEY)")
    other = make_shop(store=shop.store, guard=WAIT)
    with Line(shop, {"last": breaks}) as line:
        line.add("17")
        line.add("again", send=lambda _: other.order("17"))
        line.add("last")
    first, again = line.answers["17"].result(), line.answers["again"].result()
    assert first.data == again.data
    assert shop.orders.count("17") == 1


def test_a_member_that_waits_longer_than_wait_s_for_its_group_is_503_and_then_replayed(make_shop: MakeShop) -> None:
    """A handler that waits for the answer of another one in its group would wait for ever."""
    shop = make_shop(guard=WAIT)
    hasty = make_shop(store=shop.store, guard={"wait_s": 2})
    last = Blocking()
    with Line(shop, {"last": last}) as line:
        line.add("17", send=hasty.order)
        line.add("last")
        line.go()
        last.entered.wait()
        assert line.answers["17"].result().status_code == 503
        last.leave.set()
    assert hasty.order("17").headers["Idempotent-Replayed"] == "true"
    assert sorted(shop.orders) == ["17", "first", "last"]


def test_a_savepoint_that_a_handler_leaves_open_is_out_of_its_neighbours_reach(make_shop: MakeShop) -> None:
    def leaves_open(signed: Signed, tx: Transaction) -> Any:
        tx.execute("SAVEPOINT mine")
        return write_order(signed, tx)

    def goes_back(signed: Signed, tx: Transaction) -> Any:
        with pytest.raises(sqlite3.OperationalError, match="no such savepoint"):
            tx.execute("ROLLBACK TO mine")
        return write_order(signed, tx)

    shop = make_shop(guard=WAIT)
    line = line_up(shop, 3, o0=leaves_open, o2=goes_back)
    assert set(line.statuses().values()) == {200}
    assert sorted(shop.orders) == all_but(3)


def test_a_child_that_is_forked_in_a_group_leaves_the_group_alone(make_shop: MakeShop) -> None:
    shop = make_shop(guard=WAIT)
    hasty = make_shop(store=shop.store, guard={"wait_s": 0.01})

    def forks(signed: Signed, tx: Transaction) -> Any:
        answer = write_order(signed, tx)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                # With a connection of its own it waits for its parent, as any process does.
                assert hasty.order("child").status_code == 503
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return answer

    line = line_up(shop, 4, o2=forks)
    assert set(line.statuses().values()) == {200}
    assert sorted(shop.orders) == all_but(4)
