"""Whoever has the turn to write passes it on, whatever happens to it: nobody waits for a store that nobody uses."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.guard.shop import Shop
from tests.guard.task_shop import LONG_S
from tests.guard.test_sqlite_faults import Committing, assert_unavailable, error
from tocsin.guard import StoreError, StoreUnavailable
from tocsin.guard._errors import CommitUnknown
from tocsin.guard._sweeping import Sweeping
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.sqlite import SQLiteStore, _group, _side_thread
from tocsin.guard.stores.sqlite._file_turn import FileTurn
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.stores.sqlite._writer import Writer
from tocsin.guard.testing import ANSWER, claim

MakeShop = Callable[..., Shop]

ANOTHER_PROCESS = """
import sys
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.testing import claim
SQLiteStore(sys.argv[1]).take(claim("elsewhere"), 5).abandon()
"""


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes here, a group is not closed for its age."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """A store whose file is open."""
    made = SQLiteStore(tmp_path / "store.db")
    apply(made, "first")
    return made


def apply(store: SQLiteStore, name: str) -> None:
    granted = store.take(claim(name), LONG_S)
    assert isinstance(granted, Granted)
    granted.settle(ANSWER)


async def apply_async(store: SQLiteStore, name: str) -> None:
    granted = await store.take_async(claim(name), LONG_S)
    assert isinstance(granted, Granted)
    await granted.settle_async(ANSWER)


def goes_on(store: SQLiteStore) -> bool:
    """Whether a thread, and a task of another event loop, get the turn at once."""

    async def task() -> None:
        granted = await store.take_async(claim("task"), 0.0)
        assert isinstance(granted, Granted)
        await granted.settle_async(ANSWER)

    try:
        granted = store.take(claim("thread"), 0.0)
    except StoreUnavailable as unavailable:
        pytest.fail(f"nobody has passed the turn on: {unavailable}")
    assert isinstance(granted, Granted)
    granted.settle(ANSWER)
    asyncio.run(asyncio.wait_for(task(), LONG_S))
    return True


def cannot_start(*_: object, **__: object) -> None:
    raise RuntimeError("can't start new thread")


class Held:
    """Stands in front of a method, and lets nobody in until a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.entered, self.leave = Event(), Event()
        real = getattr(owner, name)

        def held(*arguments: Any) -> object:
            self.entered.set()
            assert self.leave.wait(LONG_S)
            result: object = real(*arguments)
            return result

        monkeypatch.setattr(owner, name, held)


def closed_during(loop: asyncio.AbstractEventLoop, held: Held) -> None:
    """Run the loop until that is under way, close it, and let it end."""
    loop.run_until_complete(asyncio.to_thread(held.entered.wait, LONG_S))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    held.leave.set()


def side_thread_is_idle(store: SQLiteStore) -> None:
    """Wait until what it was given has been done."""
    done = Event()
    store.turns._off_loop.start(done.set)
    assert done.wait(LONG_S), "the thread that commits for tasks has died"


def test_an_event_loop_that_is_closed_during_its_commit_costs_nobody_the_turn(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.new_event_loop()
    with monkeypatch.context() as patch:
        held = Held(patch, Writer, "commit")
        task = loop.create_task(apply_async(store, "lost"))
        closed_during(loop, held)
        side_thread_is_idle(store)
    assert goes_on(store)
    assert isinstance(store.look(claim("lost").key), Record)
    del task


def test_an_event_loop_that_is_closed_while_it_begins_does_not_keep_other_processes_waiting(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    loop = asyncio.new_event_loop()
    with monkeypatch.context() as patch:
        held = Held(patch, FileTurn, "begin")
        task = loop.create_task(apply_async(store, "lost"))
        closed_during(loop, held)
        side_thread_is_idle(store)
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(store.path)]
    subprocess.run(command, check=True, capture_output=True, timeout=LONG_S)
    del task


def test_a_loop_that_is_closed_while_others_are_committed_for_it_costs_nobody_the_turn(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that is to be shared with nobody finds an open one, and ends that first."""
    store.turns._is_busy = True
    open_group = store.take(claim("open"), LONG_S)
    assert isinstance(open_group, Unit)
    asleep = Thread(target=open_group.settle, args=(ANSWER,))
    loop = asyncio.new_event_loop()

    async def alone() -> None:
        await store.turns.begin_async(LONG_S, is_alone=True)

    with monkeypatch.context() as patch:
        held = Held(patch, Writer, "commit")
        task = loop.create_task(alone())
        loop.run_until_complete(asyncio.sleep(0))
        asleep.start()
        closed_during(loop, held)
        side_thread_is_idle(store)
    asleep.join()
    assert goes_on(store)
    del task


def test_what_cannot_be_committed_off_the_loop_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    apply(store, "first")

    async def work() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(_side_thread, "Thread", cannot_start)
            with pytest.raises(StoreUnavailable, match="no thread can be started: can't start new thread"):
                await store.take_async(claim("lost"), LONG_S)

    asyncio.run(work())
    assert store.look(claim("lost").key) is None
    assert goes_on(store)


def test_what_fails_on_the_thread_that_commits_does_not_end_it(
    store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise MemoryError

    store.turns._off_loop.start(fails)
    side_thread_is_idle(store)
    assert "tocsin-sqlite: it goes on after MemoryError()" in caplog.text
    assert goes_on(store)


class Interrupted(logging.Filter):
    """A signal that comes while the log is written."""

    def filter(self, _record: logging.LogRecord) -> bool:
        raise KeyboardInterrupt


@pytest.mark.parametrize("end", ["abandon", "settle", "abandon_async", "settle_async"])
def test_an_interrupt_at_the_end_of_a_handler_passes_the_turn_on(store: SQLiteStore, end: str) -> None:
    logger, interrupted = logging.getLogger("tocsin.guard"), Interrupted()
    store.hold_s = 0.0
    arguments = (ANSWER,) if end.startswith("settle") else ()

    def as_thread() -> None:
        getattr(store.take(claim("interrupted"), LONG_S), end)(*arguments)

    async def as_task() -> None:
        granted = await store.take_async(claim("interrupted"), LONG_S)
        await getattr(granted, end)(*arguments)

    work = partial(asyncio.run, as_task()) if end.endswith("_async") else as_thread
    logger.addFilter(interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        logger.removeFilter(interrupted)
    store.hold_s = 60.0
    assert not store.is_inside()
    assert goes_on(store)
    assert store.look(claim("interrupted").key) is None


def interrupt_the_commit_of_others(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, ends: Callable[[], object]
) -> None:
    """What ends an open transaction before its own is interrupted in that COMMIT; who waits for it is told."""

    async def work() -> None:
        store.turns._is_busy = True
        granted = await store.take_async(claim("open"), LONG_S)
        assert isinstance(granted, Unit)
        settling = asyncio.ensure_future(granted.settle_async(ANSWER))
        await asyncio.sleep(0)

        def interrupted(_writer: Writer) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Writer, "commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                ends()
        with pytest.raises(CommitUnknown):
            await settling

    asyncio.run(work())


def test_an_interrupt_while_others_are_committed_passes_the_turn_on(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep, and whoever runs again after its group was broken, ends the open transaction before its own."""
    interrupt_the_commit_of_others(store, monkeypatch, partial(store.turns.begin, LONG_S, is_alone=True))
    assert goes_on(store)


def test_a_store_whose_last_commit_is_interrupted_when_it_closes_has_one_turn(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_the_commit_of_others(store, monkeypatch, store.close)
    assert store.turns._turn.try_take()
    assert not store.turns._turn.try_take()
    store.turns._turn.pass_on()
    assert goes_on(store)


def test_a_duplicate_in_a_group_whose_commit_is_unknown_is_looked_for_again(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it found may be of that very group; it is no store error to who only wanted to know."""
    apply(store, "known")
    store.turns._is_busy = True
    first = store.take(claim("open"), LONG_S)
    assert isinstance(first, Unit)
    found: list[object] = []
    duplicate = Thread(target=lambda: found.append(store.take(claim("known"), LONG_S)))
    Committing(monkeypatch, sqlite3.SQLITE_IOERR, lands=False)
    duplicate.start()
    while not store.turns._turn.waiting:
        pass
    with pytest.raises(CommitUnknown):
        first.settle(ANSWER)
    duplicate.join()
    assert isinstance(found[0], Record)


def test_a_duplicate_task_in_a_group_whose_commit_is_unknown_is_looked_for_again(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(store, "known")
    store.turns._is_busy = True

    async def work() -> None:
        first = await store.take_async(claim("open"), LONG_S)
        assert isinstance(first, Unit)
        duplicate = asyncio.ensure_future(store.take_async(claim("known"), LONG_S))
        while not store.turns._turn.waiting:  # noqa: ASYNC110  what it waits for tells nobody
            await asyncio.sleep(0)
        Committing(monkeypatch, sqlite3.SQLITE_IOERR, lands=False)
        with pytest.raises(CommitUnknown):
            await first.settle_async(ANSWER)
        assert isinstance(await duplicate, Record)

    asyncio.run(work())


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL])
def test_a_sweep_that_cannot_be_committed_leaves_the_answer_as_it_is(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    shop = make_shop()
    shop.order("warm")
    commits: list[object] = []
    real = Writer.commit

    def second_fails(writer: Writer) -> None:
        commits.append(writer)
        if len(commits) == 2:
            raise error(code)
        real(writer)

    monkeypatch.setattr(Writer, "commit", second_fails)
    caplog.set_level(logging.INFO, "tocsin.guard")
    shop.guard._sweeping._next = 0
    assert shop.order().status_code == 200
    assert "sweeping is put off: COMMIT: made by a test" in caplog.text
    assert shop.orders == ["warm", "17"]


def test_a_sweep_of_a_task_that_cannot_be_committed_raises_nothing(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Committing(monkeypatch, sqlite3.SQLITE_IOERR, lands=False)
    sweeping = Sweeping(None, store.sweep_async)
    sweeping._next = 0
    try:
        asyncio.run(sweeping.sweep_if_due_async(0.0))
    except StoreError as raised:
        pytest.fail(f"it would have taken an answer that is committed with it: {raised}")
    assert goes_on(store)


def test_a_process_turn_whose_helper_cannot_be_started_is_503(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process is writing, and there is no thread that could wait for it."""
    shop = make_shop()
    shop.order("warm")
    held = SQLiteStore(shop.path).take(claim("held"), LONG_S)
    assert isinstance(held, Granted)

    with monkeypatch.context() as patch:
        patch.setattr(_side_thread, "Thread", cannot_start)
        assert_unavailable(shop.order("18"))
    held.abandon()
    assert shop.order("18").status_code == 200
