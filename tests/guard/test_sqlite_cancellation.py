"""A task of the SQLite store that is cancelled, at each of its steps."""

import asyncio
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.guard import task_shop
from tests.guard.task_shop import Gate, Shop, run
from tocsin.guard import Transaction
from tocsin.guard.stores.sqlite import _group
from tocsin.guard.stores.sqlite._writer import Writer


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes here, a group is not closed for its age."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "store.db")


def test_a_task_that_is_cancelled_while_it_waits_for_the_turn_has_taken_nothing(shop: Shop) -> None:
    async def work() -> None:
        gate = Gate()
        first, gone, last = shop.line_up(("first", gate), ("gone", None), ("last", None))
        await gate.entered.wait()
        await shop.queued(2)
        gone.cancel()
        await shop.queued(1)
        gate.leave.set()
        await asyncio.wait((first, gone, last))
        assert gone.cancelled()
        assert shop.orders == ["first", "last"]

    run(shop, work())


@pytest.mark.parametrize("after", [(), ("after",)], ids=["the last", "not the last"])
def test_a_task_that_is_cancelled_as_the_turn_comes_to_it_hands_it_on(shop: Shop, after: tuple[str, ...]) -> None:
    """In an open group: whoever waits for its COMMIT still gets it."""

    async def work() -> None:
        gate, tasks = Gate(), list[asyncio.Task[Any]]()

        async def cancels(_tx: Transaction) -> None:
            # Before the loop comes round, the turn is handed to the task that this cancels.
            tasks[2].cancel()

        names = ("gone", *after)
        tasks += shop.line_up(("first", gate), ("before", cancels), *((name, None) for name in names))
        await gate.entered.wait()
        await shop.queued(1 + len(names))
        gate.leave.set()
        await asyncio.wait(tasks)
        assert tasks[2].cancelled()
        assert shop.orders == ["first", "before", *after]
        assert shop.ran == ["first", "before", *after]

    run(shop, work())


def test_a_task_that_is_cancelled_in_its_handler_is_rolled_back_and_its_neighbours_are_not(shop: Shop) -> None:
    async def work() -> None:
        first, gone = Gate(), Gate()
        tasks = shop.line_up(("first", first), ("before", None), ("gone", gone))
        await first.entered.wait()
        await shop.queued(2)
        first.leave.set()
        await gone.entered.wait()
        tasks[2].cancel()
        await asyncio.wait(tasks)
        assert tasks[2].cancelled()
        assert tasks[1].result() == "applied"
        assert shop.orders == ["first", "before"]

    run(shop, work())


def test_a_task_that_is_cancelled_while_its_group_goes_on_is_still_told_how_it_ended(shop: Shop) -> None:
    async def work() -> None:
        first, last, told = Gate(), Gate(), list[str]()

        async def tells() -> None:
            told.append(str(await shop.order("told")))
            await asyncio.sleep(0)
            told.append("not cancelled")

        task, other = shop.line_up(("first", first))[0], asyncio.create_task(tells())
        await first.entered.wait()
        await shop.queued(1)
        end = asyncio.create_task(shop.order("last", last))
        await shop.queued(2)
        first.leave.set()
        await last.entered.wait()
        other.cancel()
        await asyncio.sleep(0)
        assert not other.done()
        last.leave.set()
        await asyncio.wait((task, other, end))
        assert other.cancelled()
        assert told == ["applied"]
        assert shop.orders == ["first", "told", "last"]

    run(shop, work())


class Stalled:
    """Keeps a method of Writer from going on until a test lets it."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self.entered, self.leave = Event(), Event()
        real = getattr(Writer, name)

        def stalled(writer: Writer, *arguments: Any) -> Any:
            self.entered.set()
            assert self.leave.wait(task_shop.LONG_S)
            return real(writer, *arguments)

        patch.setattr(Writer, name, stalled)

    async def is_entered(self) -> None:
        await asyncio.to_thread(self.entered.wait, task_shop.LONG_S)


def test_a_task_that_is_cancelled_during_commit_is_told_how_it_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        told: list[str] = []

        async def tells() -> None:
            told.append(str(await shop.order("told")))
            await asyncio.sleep(0)
            told.append("not cancelled")

        commit = Stalled(monkeypatch, "commit")
        task = asyncio.create_task(tells())
        await commit.is_entered()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        commit.leave.set()
        await asyncio.wait((task,))
        assert (task.cancelled(), told) == (True, ["applied"])

    run(shop, work())


def test_a_task_that_is_cancelled_during_begin_has_begun_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        # A file that has to be opened is one of the things that are waited for off the loop.
        await shop.store.close_async()
        begin = Stalled(monkeypatch, "begin")
        task = asyncio.create_task(shop.order("gone"))
        await begin.is_entered()
        task.cancel()
        await asyncio.sleep(0)
        begin.leave.set()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert shop.orders == []

    run(shop, work())


def test_a_group_whose_last_task_was_cancelled_is_committed_without_it(shop: Shop) -> None:
    async def work() -> None:
        first, last = Gate(), Gate()
        tasks = shop.line_up(("first", first), ("a", None), ("b", None), ("last", last))
        await first.entered.wait()
        await shop.queued(3)
        first.leave.set()
        await last.entered.wait()
        tasks[3].cancel()
        assert await asyncio.gather(*tasks[:3]) == ["applied"] * 3
        assert shop.orders == ["first", "a", "b"]

    run(shop, work())
