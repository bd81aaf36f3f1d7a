"""Tasks of a process that shares its file with others: prepared first, and then it is their turn."""

import asyncio
from pathlib import Path

import pytest

from tests.guard.task_shop import Shop, run
from tests.guard.test_process_turn import spin_until_blocked
from tocsin.guard.stores.sqlite import _file_turn, _gate, _group, _process_turn
from tocsin.guard.stores.sqlite._process_turn import ProcessTurn

ROUNDS = 20

pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists who waits for a lock")


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes here, no time decides."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)
    monkeypatch.setattr(_gate, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(_process_turn, "_CONTENDED_S", 60.0)
    monkeypatch.setattr(_file_turn, "_FILLING_S", 60.0)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "store.db")


async def contend(shop: Shop, count: int) -> ProcessTurn:
    """Another process had the turn when as many tasks as that wanted it; they have shared a COMMIT since."""
    other = ProcessTurn(shop.path)
    assert other.try_take()
    tasks = shop.line_up(*((f"contended {number}", None) for number in range(count)))
    await shop.queued(count - 1)
    spin_until_blocked(shop.path, turn=1)
    other.pass_on()
    assert await asyncio.gather(*tasks) == ["applied"] * count
    assert len(shop.commits) == 1
    return other


async def rounds() -> None:
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


def nobody_else(shop: Shop) -> None:
    shop.store.turns._file_turn._process_turn._contended_until = 0.0


def test_a_task_keeps_other_processes_waiting_only_when_its_group_is_ready(shop: Shop) -> None:
    async def work() -> None:
        other = await contend(shop, 5)
        first = shop.line_up(("first", None))
        await rounds()
        assert other.try_take()
        other.pass_on()
        rest = shop.line_up(*((str(number), None) for number in range(4)))
        assert await asyncio.gather(*first, *rest) == ["applied"] * 5
        assert len(shop.commits) == 2
        nobody_else(shop)
        other.close()

    run(shop, work())


def test_who_does_not_come_is_not_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        other = await contend(shop, 3)
        monkeypatch.setattr(_file_turn, "_FILLING_S", 0.001)
        assert await shop.order("alone") == "applied"
        nobody_else(shop)
        other.close()

    run(shop, work())


def test_without_other_processes_nobody_waits_for_a_group(shop: Shop) -> None:
    async def work() -> None:
        other = await contend(shop, 3)
        nobody_else(shop)
        assert await shop.order("alone") == "applied"
        other.close()

    run(shop, work())


def test_a_task_that_is_cancelled_while_it_waits_for_its_group_hands_the_turn_on(shop: Shop) -> None:
    async def work() -> None:
        other = await contend(shop, 3)
        first, second = shop.line_up(("first", None), ("second", None))
        await rounds()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        others = shop.line_up(("third", None), ("fourth", None))
        assert await asyncio.gather(second, *others) == ["applied"] * 3
        nobody_else(shop)
        other.close()

    run(shop, work())


def test_a_task_that_is_cancelled_while_another_process_writes_hands_the_turn_on(shop: Shop) -> None:
    async def work() -> None:
        other = ProcessTurn(shop.path)
        assert other.try_take()
        first, second = shop.line_up(("first", None), ("second", None))
        await shop.queued(1)
        spin_until_blocked(shop.path, turn=1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        other.pass_on()
        assert await second == "applied"
        nobody_else(shop)
        other.close()

    run(shop, work())
