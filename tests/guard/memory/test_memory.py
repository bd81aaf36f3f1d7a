"""A keyed mutex, writes that wait for COMMIT, and everything in one process."""

import asyncio
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.guard.test_flask_concurrency import together
from tocsin.guard import GuardError, KeyInUse, StoreUnavailable, TransactionBroken, TransactionMisuse
from tocsin.guard.stores import Forgotten, Granted, Record
from tocsin.guard.stores.memory import MemoryStore, Transaction
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def granted(store: MemoryStore, name: str = "order-1") -> Granted[Transaction]:
    taken = store.take(claim(name), 30)
    assert isinstance(taken, Granted), taken
    return taken


def test_64_that_read_and_then_write_under_one_lock_lose_nothing(store: MemoryStore) -> None:
    """The second published remedy, made whole: one message once, and one piece of the stock for each."""
    stock = {"sku": 40}
    names = iter(range(64))

    def reserve() -> int:
        unit = granted(store, f"order-{next(names)}")
        unit.tx.lock("sku")
        left = unit.tx.get(stock, "sku", 0) or 0
        if left:
            unit.tx.put(stock, "sku", left - 1)
        unit.settle(ANSWER)
        return bool(left)

    assert sum(together(64, reserve)) == 40
    assert stock == {"sku": 0}
    assert not store._mutexes._entries


def test_tasks_and_threads_wait_for_each_other(store: MemoryStore) -> None:
    stock = {"sku": 64}

    async def reserve(number: int) -> None:
        unit = await store.take_async(claim(f"task-{number}"), 30)
        assert isinstance(unit, Granted)
        await unit.tx.lock_async("sku")
        left = unit.tx.get(stock, "sku", 0) or 0
        await asyncio.sleep(0)
        unit.tx.put(stock, "sku", left - 1)
        await unit.settle_async(ANSWER)

    async def tasks() -> None:
        await asyncio.gather(*[reserve(number) for number in range(32)])

    def thread(number: int) -> None:
        unit = granted(store, f"thread-{number}")
        unit.tx.lock("sku")
        unit.tx.put(stock, "sku", (unit.tx.get(stock, "sku", 0) or 0) - 1)
        unit.settle(ANSWER)

    with ThreadPoolExecutor(9) as pool:
        running = [pool.submit(asyncio.run, tasks()), *[pool.submit(thread, number) for number in range(32)]]
        for each in running:
            each.result()
    assert stock == {"sku": 0}


def test_what_a_handler_has_written_it_reads_and_nobody_else(store: MemoryStore) -> None:
    state = {"a": 1, "b": 2}
    unit = granted(store)
    unit.tx.put(state, "a", 7)
    unit.tx.remove(state, "b")
    assert (unit.tx.get(state, "a"), unit.tx.get(state, "b", 0), state) == (7, 0, {"a": 1, "b": 2})
    unit.settle(ANSWER)
    assert state == {"a": 7}


def test_a_savepoint_undoes_what_it_holds(store: MemoryStore) -> None:
    state: dict[str, int] = {}
    unit = granted(store)
    unit.tx.put(state, "kept", 1)
    with suppress(ValueError), unit.tx.savepoint():
        unit.tx.put(state, "undone", 1)
        raise ValueError
    unit.settle(ANSWER)
    assert state == {"kept": 1}


class Refusing(dict[str, int]):
    def __setitem__(self, key: str, value: int) -> None:
        if value < 0:
            raise ValueError("below 0")
        super().__setitem__(key, value)


def test_where_one_write_is_refused_all_are_taken_back_and_the_claim_is_free(store: MemoryStore) -> None:
    state = Refusing(a=1, b=2)
    unit = granted(store)
    unit.tx.put(state, "a", 7)
    unit.tx.put(state, "new", 7)
    unit.tx.put(state, "b", -1)
    with pytest.raises(TransactionBroken, match="ValueError"):
        unit.settle(ANSWER)
    assert state == {"a": 1, "b": 2}
    granted(store).abandon()


@pytest.mark.parametrize(
    "use",
    [
        lambda tx: tx.put({}, "a", 1),
        lambda tx: tx.get({}, "a"),
        lambda tx: tx.remove({}, "a"),
        lambda tx: tx.lock("a"),
        lambda tx: tx.savepoint().__enter__(),
    ],
    ids=["put", "get", "remove", "lock", "savepoint"],
)
def test_the_transaction_ends_with_its_handler(store: MemoryStore, use: Callable[[Transaction], object]) -> None:
    unit = granted(store)
    unit.settle(ANSWER)
    with pytest.raises(TransactionMisuse, match="after its handler had ended"):
        use(unit.tx)


def test_locks_are_taken_at_once_and_in_one_order(store: MemoryStore) -> None:
    """Or two handlers would wait for each other."""

    def both(number: int) -> None:
        unit = granted(store, f"{number}")
        unit.tx.lock(*(["a", 1, "b"] if number % 2 else ["b", "a", 1]))
        unit.settle(ANSWER)

    numbers = iter(range(32))
    together(32, lambda: both(next(numbers)))
    unit = granted(store)
    unit.tx.lock("a")
    with pytest.raises(TransactionMisuse, match="all names in one call"):
        unit.tx.lock("b")
    unit.abandon()


def test_a_lock_that_others_hold_for_too_long_is_503_and_a_blocking_one_is_refused_on_a_loop(
    store: MemoryStore,
) -> None:
    first = granted(store, "1")
    first.tx.lock("sku")

    def second() -> None:
        unit = store.take(claim("2"), 0.01)
        assert isinstance(unit, Granted)
        with pytest.raises(StoreUnavailable) as raised:
            unit.tx.lock("sku")
        assert store.is_own_failure(raised.value)
        unit.abandon()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(second).result()

    async def on_a_loop() -> None:
        with pytest.raises(TransactionMisuse, match=r"await tx.lock_async\(\)"):
            first.tx.lock("other")

    asyncio.run(on_a_loop())
    first.abandon()
    assert not store._mutexes._entries


def test_what_is_read_while_nothing_is_committed_belongs_together(store: MemoryStore) -> None:
    state = {"a": 0, "b": 0}
    seen: list[bool] = []
    unit = granted(store)
    unit.tx.put(state, "a", 1)
    unit.tx.put(state, "b", 1)
    with ThreadPoolExecutor(1) as pool:
        with store.reading():
            settling = pool.submit(unit.settle, ANSWER)
            seen.append(state["a"] == state["b"] == 0)
        settling.result()
    assert seen == [True]
    assert state == {"a": 1, "b": 1}


def test_a_nested_operation_is_committed_with_the_outer_one_or_undone_with_it(store: MemoryStore) -> None:
    state: dict[str, int] = {}
    for ending, left in (("abandon", {}), ("settle", {"outer": 1, "inner": 2})):
        outer = granted(store, "outer")
        outer.tx.put(state, "outer", 1)
        inner = granted(store, "inner")
        assert store.is_inside()
        assert inner.tx.get(state, "outer") == 1
        inner.tx.lock("sku")
        inner.tx.put(state, "inner", 2)
        inner.settle(ANSWER)
        assert isinstance(store.take(claim("inner"), 0), Record)
        with pytest.raises(GuardError, match="called itself again under its own key"):
            store.take(claim("outer"), 0)
        assert store.look(claim("inner").key) is None
        outer.settle(ANSWER) if ending == "settle" else outer.abandon()
        assert (state, store.is_inside(), store._mutexes._entries) == (left, False, {})
    assert store.look(claim("inner").key) is not None


def test_a_nested_operation_of_a_task_is_committed_with_the_outer_one(store: MemoryStore) -> None:
    state: dict[str, int] = {}

    async def main() -> None:
        outer = await store.take_async(claim("outer"), 0)
        assert isinstance(outer, Granted)
        inner = await store.take_async(claim("inner"), 0)
        assert isinstance(inner, Granted)
        assert store.is_inside_async()
        await inner.tx.lock_async("sku")
        inner.tx.put(state, "inner", 1)
        await inner.settle_async(ANSWER)
        assert state == {}
        assert isinstance(await store.take_async(claim("inner"), 0), Record)
        with pytest.raises(GuardError, match="called itself again under its own key"):
            await store.take_async(claim("outer"), 0)
        elsewhere = asyncio.create_task(store.take_async(claim("inner"), 0))
        with pytest.raises(KeyInUse, match="another request"):
            await elsewhere
        await outer.settle_async(ANSWER)
        assert not store.is_inside_async()

    asyncio.run(main())
    assert state == {"inner": 1}
    assert not store._mutexes._entries


def test_a_task_that_is_cancelled_while_it_waits_has_taken_nothing(store: MemoryStore) -> None:
    async def main() -> None:
        held = await store.take_async(claim(), 30)
        assert isinstance(held, Granted)
        waiting = asyncio.create_task(store.take_async(claim(), 30))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await held.abandon_async()
        again = await store.take_async(claim(), 0)
        assert isinstance(again, Granted)
        await again.abandon_async()

    asyncio.run(main())
    assert not store._mutexes._entries


def settle(store: MemoryStore, name: str, **options: Any) -> None:
    taken = store.take(claim(name, **options), 30)
    assert isinstance(taken, Granted)
    taken.settle(ANSWER)


def test_what_is_full_applies_nothing_new_until_something_has_gone() -> None:
    store = MemoryStore(max_bytes=2500)
    settle(store, "short", kept_ms=1000)
    settle(store, "for ever")
    settle(store, "for ever too")
    with pytest.raises(StoreUnavailable, match="max_bytes = 2500"):
        store.take(claim("new"), 0)
    assert isinstance(store.take(claim("new", taken_unix_ms=NOW_UNIX_MS + 1000), 0), Granted)
    with pytest.raises(GuardError, match="wanted a positive number"):
        MemoryStore(max_bytes=0)


def test_answers_go_before_their_claims_and_forgotten_messages_are_rejected(store: MemoryStore) -> None:
    wanted = claim(kept_ms=2000)
    wanted.answer_until_unix_ms = NOW_UNIX_MS + 1000
    taken = store.take(wanted, 0)
    assert isinstance(taken, Granted)
    taken.settle(ANSWER)
    before = store._records.size
    assert [store.sweep(NOW_UNIX_MS + at) for at in (999, 1000, 1001)] == [0, 1, 0]
    tombstone = store.look(wanted.key)
    assert tombstone is not None
    assert (tombstone.status, tombstone.body) == (ANSWER.status, None)
    assert 0 < store._records.size < before
    assert [store.sweep(NOW_UNIX_MS + at) for at in (1999, 2000)] == [0, 1]
    assert store._records.size == 0
    late = claim("another")
    late.earliest_unix_ms = NOW_UNIX_MS
    assert isinstance(store.take(late, 0), Forgotten)


def test_a_forked_child_is_not_held_up_by_its_parents_handlers(store: MemoryStore) -> None:
    unit = granted(store)

    def child() -> None:
        sys.exit(0 if isinstance(store.take(claim(), 0), Granted) else 1)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    unit.abandon()


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    return tmp_path / "shop.lock"


def test_with_a_lock_file_a_second_process_applies_nothing(lock_file: Path) -> None:
    first, second = MemoryStore(lock_file=lock_file), MemoryStore(lock_file=lock_file)
    granted(first).settle(ANSWER)
    with pytest.raises(StoreUnavailable, match="held by another process"):
        second.take(claim(), 0)
    first.close()
    granted(second).settle(ANSWER)
    second.close()


def test_workers_that_were_forked_from_one_master_are_told_apart(lock_file: Path) -> None:
    """As with gunicorn --preload: the first one that applies anything holds the file, until it ends."""
    store = MemoryStore(lock_file=lock_file)
    context = multiprocessing.get_context("fork")
    holds, leave = context.Event(), context.Event()

    def worker(*, stays: bool) -> None:
        try:
            granted(store).settle(ANSWER)
        except StoreUnavailable:
            sys.exit(3)
        if stays:
            holds.set()
            leave.wait(30)
        sys.exit(0)

    def ended() -> int | None:
        process = context.Process(target=worker, kwargs={"stays": False})
        process.start()
        process.join()
        return process.exitcode

    first = context.Process(target=worker, kwargs={"stays": True})
    first.start()
    assert holds.wait(30)
    assert ended() == 3
    leave.set()
    first.join()
    assert first.exitcode == 0
    assert ended() == 0


def test_a_lock_file_that_cannot_be_opened_is_503(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        MemoryStore(lock_file=tmp_path / "missing" / "shop.lock").take(claim(), 0)
