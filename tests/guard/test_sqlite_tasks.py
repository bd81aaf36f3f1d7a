"""The SQLite store as tasks of an event loop use it: groups, and whose transaction it is."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import get_ident

import pytest

from tests.guard import task_shop
from tests.guard.task_shop import Gate, Shop, breaks, fails, run
from tocsin.guard import GuardError, StoreUnavailable, Transaction, TransactionBroken, TransactionMisuse
from tocsin.guard.stores import Record
from tocsin.guard.stores.sqlite import _group
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.testing import ANSWER, claim


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes here, a group is not closed for its age."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "store.db")


def test_one_task_begins_on_the_loop_and_commits_off_it(shop: Shop) -> None:
    async def work() -> None:
        assert await shop.order("17") == "applied"
        assert len(shop.commits) == 1
        assert get_ident() not in shop.commits

    run(shop, work())


def test_64_tasks_share_commits_and_run_in_the_order_of_arrival(shop: Shop) -> None:
    async def work() -> None:
        gate = Gate()
        names = [str(number) for number in range(63)]
        tasks = shop.line_up(("first", gate), *((name, None) for name in names))
        await gate.entered.wait()
        await shop.queued(63)
        gate.leave.set()
        assert set(await asyncio.gather(*tasks)) == {"applied"}
        assert shop.ran == ["first", *names]
        assert len(shop.commits) == 2

    run(shop, work())


def test_64_tasks_of_which_one_breaks_the_transaction_are_applied_once(shop: Shop) -> None:
    async def work() -> None:
        gate = Gate()
        orders = [(str(number), breaks if number == 40 else None) for number in range(63)]
        tasks = shop.line_up(("first", gate), *orders)
        await gate.entered.wait()
        await shop.queued(63)
        gate.leave.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(41), TransactionBroken)
        assert results == ["applied"] * 63
        assert sorted(shop.orders) == sorted(["first", *(str(number) for number in range(63) if number != 40)])

    run(shop, work())


def test_a_handler_that_fails_undoes_its_own_writes_and_nobody_elses(shop: Shop) -> None:
    async def work() -> None:
        gate = Gate()
        tasks = shop.line_up(("first", gate), ("a", None), ("b", fails), ("c", None), ("d", fails))
        await gate.entered.wait()
        await shop.queued(4)
        gate.leave.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(result) for result in results] == ["applied", "applied", "no", "applied", "no"]
        assert shop.orders == ["first", "a", "c"]

    run(shop, work())


def test_the_turn_is_kept_across_awaits_and_nobody_is_answered_before_the_commit(shop: Shop) -> None:
    async def work() -> None:
        first, last = Gate(), Gate()
        tasks = shop.line_up(("first", first), ("a", None), ("b", fails), ("last", last))
        await first.entered.wait()
        await shop.queued(3)
        first.leave.set()
        await last.entered.wait()
        assert shop.orders == ["first"]
        assert [task.done() for task in tasks] == [True, False, False, False]
        last.leave.set()
        await asyncio.wait(tasks)
        assert shop.orders == ["first", "a", "last"]
        assert isinstance(tasks[2].exception(), RuntimeError)

    run(shop, work())


def test_tasks_and_threads_share_a_group(shop: Shop) -> None:
    def in_thread() -> None:
        taken = shop.store.take(claim("thread"), task_shop.LONG_S)
        assert isinstance(taken, Unit)
        taken.tx.execute("INSERT INTO orders VALUES ('thread')")
        taken.settle(ANSWER)

    async def work() -> None:
        gate = Gate()
        first, before = shop.line_up(("first", gate), ("before", None))
        await gate.entered.wait()
        await shop.queued(1)
        thread = asyncio.create_task(asyncio.to_thread(in_thread))
        await shop.queued(2)
        after = asyncio.create_task(shop.order("after"))
        await shop.queued(3)
        gate.leave.set()
        await asyncio.gather(first, before, thread, after)
        assert shop.orders == ["first", "before", "thread", "after"]
        assert len(shop.commits) == 2

    run(shop, work())


def test_two_event_loops_share_a_group(shop: Shop) -> None:
    async def work() -> None:
        gate = Gate()
        first, second = shop.line_up(("first", gate), ("second", None))
        await gate.entered.wait()
        await shop.queued(1)
        other = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(shop.order("other loop"))))
        await shop.queued(2)
        gate.leave.set()
        await asyncio.gather(first, second, other)
        assert shop.orders == ["first", "second", "other loop"]

    run(shop, work())


def test_a_duplicate_in_the_same_group_waits_for_the_commit_of_what_it_saw(shop: Shop) -> None:
    async def work() -> None:
        first, last = Gate(), Gate()
        tasks = shop.line_up(("first", first), ("17", None), ("17", None), ("last", last))
        await first.entered.wait()
        await shop.queued(3)
        first.leave.set()
        await last.entered.wait()
        assert not tasks[2].done()
        last.leave.set()
        assert isinstance((await asyncio.gather(*tasks))[2], Record)
        assert shop.orders == ["first", "17", "last"]

    run(shop, work())


def test_a_transaction_is_for_the_task_of_its_handler(shop: Shop) -> None:
    async def work() -> None:
        async def starts_another(tx: Transaction) -> None:
            async def meddle() -> None:
                assert not shop.store.is_inside_async()
                tx.execute("DELETE FROM orders")

            with pytest.raises(TransactionMisuse, match="belongs to the thread of its handler, or to its task"):
                await asyncio.create_task(meddle())
            with pytest.raises(TransactionMisuse, match="belongs to the thread of its handler, or to its task"):
                await asyncio.to_thread(tx.execute, "DELETE FROM orders")

        assert await shop.order("17", starts_another) == "applied"
        assert shop.orders == ["17"]

    run(shop, work())


def test_a_nested_operation_joins_the_transaction_of_its_task(shop: Shop) -> None:
    async def work() -> None:
        async def nests(_tx: Transaction) -> None:
            assert shop.store.is_inside_async()
            assert await shop.order("inner") == "applied"
            with pytest.raises(RuntimeError, match="no"):
                await shop.order("undone", fails)
            with pytest.raises(GuardError, match="under its own key"):
                await shop.order("outer")

        assert await shop.order("outer", nests) == "applied"
        assert shop.orders == ["outer", "inner"]
        assert not shop.store.is_inside_async()

    run(shop, work())


def test_a_task_waits_for_another_program_off_the_loop_and_in_bounded_time(shop: Shop) -> None:
    async def work() -> None:
        with closing(sqlite3.connect(shop.path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="does not use the guard"):
                await shop.order("17", wait_s=0.02)
            waiting = asyncio.create_task(shop.order("18"))
            await asyncio.sleep(0)
            db.execute("COMMIT")
            assert await waiting == "applied"

    run(shop, work())


def test_a_turn_that_would_go_to_a_closed_loop_goes_to_the_next(shop: Shop) -> None:
    """A loop that was stopped with tasks in it: nobody will ever run them."""

    async def work() -> None:
        gate = Gate()
        (first,) = shop.line_up(("first", gate))
        await gate.entered.wait()
        dead = asyncio.new_event_loop()
        waits = shop.order("dead")

        def stops() -> None:
            task = dead.create_task(waits)
            while len(shop.store.turns._turn._queue) != 1:
                dead.run_until_complete(asyncio.sleep(0))
            # Only its end is silent: what it was waiting for is still in the queue.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            dead.close()

        await asyncio.to_thread(stops)
        gate.leave.set()
        assert await first == "applied"

    run(shop, work())


async def busy(shop: Shop) -> None:
    """Two have shared a transaction, so the next one may be shared as well."""
    gate = Gate()
    tasks = shop.line_up(("first", gate), ("a", None), ("b", None))
    await gate.entered.wait()
    await shop.queued(2)
    gate.leave.set()
    await asyncio.gather(*tasks)
    shop.commits.clear()
    shop.ran.clear()


def test_tasks_that_are_ready_together_share_a_commit_and_do_not_wait_for_the_turn(shop: Shop) -> None:
    async def work() -> None:
        await busy(shop)
        waited: list[int] = []

        async def looks(_tx: Transaction) -> None:
            waited.append(len(shop.store.turns._turn._queue))

        names = [str(number) for number in range(20)]
        assert await asyncio.gather(*shop.line_up(*((name, looks) for name in names))) == ["applied"] * 20
        assert (shop.ran, waited) == (names, [0] * 20)
        assert len(shop.commits) == 1
        assert get_ident() not in shop.commits

    run(shop, work())


def test_what_is_not_committed_yet_is_not_found(shop: Shop) -> None:
    """A look takes the connection that writes, if nobody uses it."""

    async def work() -> None:
        await busy(shop)
        key = claim("17").key
        (task,) = shop.line_up(("17", None))
        looked = asyncio.create_task(shop.store.look_async(key))
        assert await looked is None
        assert not task.done()
        assert await task == "applied"
        assert await shop.store.look_async(key) is not None

    run(shop, work())


def test_a_transaction_that_was_left_open_is_committed_after_who_has_the_turn(shop: Shop) -> None:
    async def work() -> None:
        await busy(shop)
        last = Gate()
        tasks = shop.line_up(("17", None), ("18", last))
        await last.entered.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not tasks[0].done()
        last.leave.set()
        assert await asyncio.gather(*tasks, return_exceptions=True) == ["applied"] * 2
        assert len(shop.commits) == 1

    run(shop, work())


def test_a_transaction_that_was_left_open_outlives_the_cancellation_of_who_has_the_turn(shop: Shop) -> None:
    async def work() -> None:
        await busy(shop)
        last = Gate()
        tasks = shop.line_up(("17", None), ("18", last))
        await last.entered.wait()
        await shop.queued(1)
        tasks[1].cancel()
        assert await tasks[0] == "applied"
        assert shop.orders == ["first", "a", "b", "17"]

    run(shop, work())


def test_a_transaction_that_was_left_open_is_committed_once_if_somebody_else_does_it(shop: Shop) -> None:
    """The claim of the other one is to be written alone, so it ends what is open first."""

    async def work() -> None:
        await busy(shop)
        shop.store.will_run_alone(claim("18").key)
        assert await asyncio.gather(*shop.line_up(("17", None), ("18", None))) == ["applied"] * 2
        assert len(shop.commits) == 2

    run(shop, work())


def test_a_sweep_by_a_task_is_a_transaction_of_its_own(shop: Shop) -> None:
    async def work() -> None:
        assert await shop.order("kept for ever") == "applied"
        assert await shop.store.sweep_async(2**50) == 0

    run(shop, work())


def test_a_commit_that_comes_too_late_for_its_group_is_made_for_the_next_one(shop: Shop) -> None:
    """The last one of that group was told that somebody stands in the queue, and sleeps."""

    async def work() -> None:
        gate = Gate()
        shop.store.turns._is_busy = True
        tasks = shop.line_up(("first", None), ("slow", gate), ("next", None), ("last", None))
        await gate.entered.wait()
        # Two tasks, and behind them the COMMIT for "first", which the loop wanted when "slow" was inside already.
        await shop.queued(3)
        group = shop.store.turns._group
        assert group is not None
        assert group.is_closing
        group._closes_at = 0.0
        gate.leave.set()
        done, late = await asyncio.wait(tasks, timeout=task_shop.LONG_S / 3)
        assert not late, "nobody commits what they wrote"
        assert {task.result() for task in done} == {"applied"}

    run(shop, work())
