"""The gate before the turn: it opens when a COMMIT has ended, and nobody waits there for ever."""

import asyncio
from pathlib import Path
from statistics import mode
from threading import Thread
from time import monotonic

import pytest

from tests.guard import task_shop
from tests.guard.task_shop import Shop, run
from tests.guard.test_sqlite_cancellation import Stalled
from tocsin.guard.stores.sqlite import _gate, _group
from tocsin.guard.stores.sqlite._gate import Gate

LONG_S = 30.0


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes here, a group is not closed for its age, and nobody loses patience."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)
    monkeypatch.setattr(_gate, "_PATIENCE_S", 60.0)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "store.db")


def test_whoever_comes_while_a_commit_is_under_way_waits_for_its_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        assert shop.store.ready_async(LONG_S) is None
        commit = Stalled(monkeypatch, "commit")
        task = asyncio.create_task(shop.order("17"))
        await commit.is_entered()
        ready = shop.store.ready_async(LONG_S)
        assert ready is not None
        waiting = asyncio.ensure_future(ready)
        await asyncio.sleep(0)
        assert not waiting.done()
        commit.leave.set()
        await waiting
        assert await task == "applied"
        assert shop.store.ready_async(LONG_S) is None

    run(shop, work())


def test_whoever_has_waited_at_the_gate_shares_a_commit(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async def order(name: str) -> object:
            ready = shop.store.ready_async(LONG_S)
            if ready is not None:
                await ready
            return await shop.order(name)

        commit = Stalled(monkeypatch, "commit")
        task = asyncio.create_task(order("first"))
        await commit.is_entered()
        others = [asyncio.create_task(order(str(number))) for number in range(20)]
        await asyncio.sleep(0)
        commit.leave.set()
        assert await asyncio.gather(task, *others) == ["applied"] * 21
        assert shop.ran == ["first", *(str(number) for number in range(20))]
        # Those who waited in two halves: as many of them are awaited again as have just been answered.
        assert len(shop.commits) == 3

    run(shop, work())


def test_half_of_all_that_are_about_commit_while_the_other_half_is_prepared(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they begin: one whose COMMIT the rest waits for."""
    shares: list[int] = []
    commit = _group.Group.commit

    def shared(group: _group.Group) -> object:
        shares.append(group.kept)
        return commit(group)

    monkeypatch.setattr(_group.Group, "commit", shared)

    async def work() -> None:
        async def client(number: int) -> None:
            for attempt in range(6):
                ready = shop.store.ready_async(LONG_S)
                if ready is not None:
                    await ready
                assert await shop.order(f"{number}-{attempt}") == "applied"

        await asyncio.gather(*[client(number) for number in range(16)])

    run(shop, work())
    assert mode(shares) == 8, shares


def test_a_gate_that_stays_shut_is_waited_at_for_a_bounded_time() -> None:
    async def main() -> None:
        gate = Gate()
        gate.shut()
        await gate.pass_through(0.01)
        assert gate.is_awaited
        gate.open()
        await asyncio.wait_for(gate.pass_through(LONG_S), LONG_S)
        while gate.is_awaited:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_commit_that_takes_long_is_not_waited_for_at_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gate, "_PATIENCE_S", 0.01)

    async def main() -> None:
        gate = Gate()
        gate.shut()
        waiting = [asyncio.create_task(gate.pass_through(60)) for _ in range(20)]
        await asyncio.wait_for(asyncio.gather(*waiting), LONG_S)

    asyncio.run(main())


def test_who_is_left_behind_by_one_commit_loses_patience_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        gate = Gate()

        async def passes(number: int) -> None:
            await gate.pass_through(60)
            if number == 1:
                gate.shut()

        gate.shut()
        tasks = [asyncio.create_task(passes(number)) for number in range(6)]
        await asyncio.sleep(0)
        gate.open(0)
        await asyncio.wait_for(tasks[1], LONG_S)
        assert not tasks[-1].done()
        monkeypatch.setattr(_gate, "_PATIENCE_S", 0.01)
        tasks.append(asyncio.create_task(gate.pass_through(60)))
        await asyncio.wait_for(asyncio.gather(*tasks), LONG_S)

    asyncio.run(main())


def test_those_who_wait_are_let_through_in_their_order_and_those_who_come_stand_behind_them() -> None:
    async def main() -> None:
        gate, order = Gate(), list[int]()

        async def passes(number: int) -> None:
            await gate.pass_through(LONG_S)
            order.append(number)

        gate.shut()
        tasks = [asyncio.create_task(passes(number)) for number in range(150)]
        await asyncio.sleep(0)
        gate.open()
        tasks += [asyncio.create_task(passes(number)) for number in range(150, 160)]
        await asyncio.gather(*tasks)
        assert order == [*range(160)]

    asyncio.run(main())


def test_a_gate_that_is_shut_again_keeps_those_who_have_not_gone_through() -> None:
    async def main() -> None:
        gate = Gate()
        gate.shut()
        waiting = asyncio.create_task(gate.pass_through(LONG_S))
        await asyncio.sleep(0)
        gate.open()
        gate.shut()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.open()
        await waiting

    asyncio.run(main())


def test_a_gate_that_is_shut_by_one_who_went_through_keeps_those_behind_the_next() -> None:
    async def main() -> None:
        gate, order = Gate(), list[int]()

        async def passes(number: int) -> None:
            await gate.pass_through(LONG_S)
            order.append(number)
            if number == 4:
                gate.shut()

        gate.shut()
        tasks = [asyncio.create_task(passes(number)) for number in range(20)]
        await asyncio.sleep(0)
        gate.open()
        for _ in range(5):
            await asyncio.sleep(0)
        # Who was next went through before it was shut.
        assert order == [*range(6)]
        gate.open()
        await asyncio.gather(*tasks)
        assert order == [*range(20)]

    asyncio.run(main())


def test_who_no_longer_waits_keeps_nobody_behind_it_from_going_through() -> None:
    async def main() -> None:
        gate = Gate()
        gate.shut()
        tasks = [asyncio.create_task(gate.pass_through(LONG_S)) for _ in range(5)]
        await asyncio.sleep(0)
        for gone in tasks[:3]:
            gone.cancel()
        gate.open()
        await asyncio.wait_for(asyncio.gather(*tasks[3:]), LONG_S)
        assert all(gone.cancelled() for gone in tasks[:3])

    asyncio.run(main())


def test_every_event_loop_is_let_through_and_a_closed_one_is_forgotten() -> None:
    gate = Gate()
    gate.shut()
    dead = asyncio.new_event_loop()
    left = dead.create_task(gate.pass_through(LONG_S))
    dead.run_until_complete(asyncio.sleep(0))
    left._log_destroy_pending = False  # type: ignore[attr-defined]
    dead.close()
    threads = [Thread(target=lambda: asyncio.run(gate.pass_through(LONG_S))) for _ in range(2)]
    for thread in threads:
        thread.start()
    until = monotonic() + task_shop.LONG_S
    while len(gate._lines) != 3:
        assert monotonic() < until
    gate.open()
    for thread in threads:
        thread.join()
    while gate.is_awaited:
        assert monotonic() < until


def test_a_loop_that_does_not_run_keeps_nobody_else_waiting() -> None:
    gate = Gate()
    gate.shut()
    stopped = asyncio.new_event_loop()
    waiting = stopped.create_task(gate.pass_through(LONG_S))
    stopped.run_until_complete(asyncio.sleep(0))
    gate.open()
    asyncio.run(asyncio.wait_for(gate.pass_through(LONG_S), LONG_S))
    stopped.run_until_complete(waiting)
    stopped.close()


def test_a_forked_child_finds_the_gate_open() -> None:
    gate = Gate()
    gate.shut()
    gate._guard.acquire()
    gate.renew_after_fork()
    asyncio.run(asyncio.wait_for(gate.pass_through(LONG_S), LONG_S))
    assert not gate.is_awaited
