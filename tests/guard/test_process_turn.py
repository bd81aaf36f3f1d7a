"""The turn among processes. Each ProcessTurn opens the lock files for itself, as a process does."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from tocsin.guard import StoreUnavailable
from tocsin.guard.stores import Granted
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.stores.sqlite._process_turn import ProcessTurn, _Locks
from tocsin.guard.testing import ANSWER, claim

LONG_S = 30.0


pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists who waits for a lock")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "store.db"
    file.touch()
    return file


@pytest.fixture
def turns(path: Path) -> Iterator[list[ProcessTurn]]:
    made = [ProcessTurn(path) for _ in range(4)]
    yield made
    for turn in made:
        turn.close()


def blocked(path: Path, name: str) -> int:
    """How many wait for a lock, by the kernel's own list."""
    inode = f":{path.with_name(f'{path.name}-tocsin-{name}').stat().st_ino} "
    locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return sum("->" in line and inode in line for line in locks)


def spin_until_blocked(path: Path, *, gate: int = 0, turn: int = 0) -> None:
    while (blocked(path, "gate"), blocked(path, "turn")) != (gate, turn):
        pass


def taking(turn: ProcessTurn, order: list[ProcessTurn], *, passes_on: bool = True) -> Thread:
    """A thread that waits for the turn, and notes when it has it."""

    def take() -> None:
        turn.take(monotonic() + LONG_S)
        order.append(turn)
        if passes_on:
            turn.pass_on()

    thread = Thread(target=take)
    thread.start()
    return thread


def test_one_process_has_the_turn_at_a_time(turns: list[ProcessTurn]) -> None:
    first, second, *_ = turns
    assert first.try_take()
    assert not second.try_take()
    first.pass_on()
    assert second.try_take()


def test_who_has_just_had_the_turn_cannot_come_back_before_who_waits(turns: list[ProcessTurn], path: Path) -> None:
    """A file lock alone goes to whoever asks first after it was let go: to who runs, not to who sleeps."""
    first, second, *_ = turns
    order: list[ProcessTurn] = []
    assert first.try_take()
    thread = taking(second, order, passes_on=False)
    spin_until_blocked(path, turn=1)
    first.pass_on()
    assert not first.try_take()
    thread.join()
    assert order == [second]
    second.pass_on()


def test_the_turn_goes_round_in_the_order_of_arrival(turns: list[ProcessTurn], path: Path) -> None:
    first, *others = turns
    order: list[ProcessTurn] = []
    assert first.try_take()
    threads = []
    for number, other in enumerate(others):
        threads.append(taking(other, order))
        spin_until_blocked(path, turn=1, gate=number)
    first.pass_on()
    for thread in threads:
        thread.join()
    assert order == others
    assert first.try_take()


def test_a_wait_that_is_too_long_ends_and_the_place_is_kept_for_the_next(turns: list[ProcessTurn], path: Path) -> None:
    first, second, *_ = turns
    order: list[ProcessTurn] = []
    assert first.try_take()
    with pytest.raises(StoreUnavailable, match="other processes"):
        second.take(monotonic())
    spin_until_blocked(path, turn=1)
    thread = taking(second, order, passes_on=False)
    first.pass_on()
    thread.join()
    assert order == [second]
    second.pass_on()


def test_a_turn_that_comes_when_nobody_wants_it_any_more_is_passed_on(turns: list[ProcessTurn], path: Path) -> None:
    first, second, third, _ = turns
    assert first.try_take()
    with pytest.raises(StoreUnavailable):
        second.take(monotonic())
    spin_until_blocked(path, turn=1)
    first.pass_on()
    third.take(monotonic() + LONG_S)
    third.pass_on()


def test_an_interrupted_waiter_leaves_the_turn_to_others(
    turns: list[ProcessTurn], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = turns
    assert first.try_take()

    def interrupted(_sleeper: object, _timeout_s: float) -> bool:
        spin_until_blocked(path, turn=1)
        first.pass_on()
        while second._wanted is not None:
            pass
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tocsin.guard.stores.sqlite._process_turn.SleepingThread.sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            second.take(monotonic() + LONG_S)
    assert first.try_take()


def test_locks_that_cannot_be_taken_are_an_error_and_not_a_wait(
    turns: list[ProcessTurn], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = turns
    assert first.try_take()

    def cannot(_: _Locks) -> None:
        raise OSError("no locks available")

    with monkeypatch.context() as patch:
        patch.setattr(_Locks, "take", cannot)
        with pytest.raises(OSError, match="no locks available"):
            second.take(monotonic() + LONG_S)
    first.pass_on()
    assert second.try_take()


async def waits_behind(first: ProcessTurn, second: ProcessTurn, path: Path) -> "asyncio.Task[None]":
    """A task that wants the turn while another process has it, which passes it on then."""
    assert first.try_take()
    task = asyncio.create_task(second.take_async(monotonic() + LONG_S))
    await asyncio.sleep(0)
    spin_until_blocked(path, turn=1)
    first.pass_on()
    return task


def test_a_task_is_handed_the_turn_while_its_loop_goes_on(turns: list[ProcessTurn], path: Path) -> None:
    first, second, *_ = turns

    async def work() -> None:
        await (await waits_behind(first, second, path))
        assert not first.try_take()
        second.pass_on()
        assert first.try_take()

    asyncio.run(work())


def test_a_task_waits_for_no_longer_than_it_may(turns: list[ProcessTurn]) -> None:
    first, second, *_ = turns
    assert first.try_take()
    with pytest.raises(StoreUnavailable, match="other processes"):
        asyncio.run(second.take_async(monotonic()))
    first.pass_on()


def test_a_task_that_is_cancelled_as_it_is_handed_the_turn_passes_it_on(turns: list[ProcessTurn], path: Path) -> None:
    first, second, *_ = turns

    async def work() -> None:
        waits = await waits_behind(first, second, path)
        while second._wanted is not None:
            pass
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert first.try_take()

    asyncio.run(work())


def test_a_turn_for_a_task_whose_loop_was_closed_is_passed_on(turns: list[ProcessTurn], path: Path) -> None:
    first, second, third, _ = turns
    assert first.try_take()
    loop = asyncio.new_event_loop()
    waits = loop.create_task(second.take_async(monotonic() + LONG_S))
    loop.run_until_complete(asyncio.sleep(0))
    spin_until_blocked(path, turn=1)
    loop.close()
    first.pass_on()
    third.take(monotonic() + LONG_S)
    third.pass_on()
    with suppress(RuntimeError):
        waits.get_coro().close()


def test_who_passes_the_turn_on_learns_whether_somebody_waits_and_lets_nobody_past_him(
    turns: list[ProcessTurn], path: Path
) -> None:
    first, second, third, _ = turns
    order: list[ProcessTurn] = []
    assert first.try_take()
    first.pass_on()
    was_contended = first.is_contended
    assert first.try_take()
    thread = taking(second, order, passes_on=False)
    spin_until_blocked(path, turn=1)
    assert second.is_contended
    # As after a wait that was too long: what is passed on is not ours, and the place in the gate stays.
    second.pass_on()
    assert not third.try_take()
    first.pass_on()
    assert (was_contended, first.is_contended) == (False, True)
    thread.join()
    assert order == [second]
    second.pass_on()


def test_a_forked_child_neither_has_nor_keeps_its_parents_turn(path: Path) -> None:
    """It would keep the lock after the parent's death: a lock belongs to the open file, which it inherited."""
    turn, other = ProcessTurn(path), ProcessTurn(path)
    assert turn.try_take()
    (hears, says), (child_hears, child_says) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(says)
        os.write(child_says, b".")
        os.read(hears, 1)
        os._exit(0)
    assert os.read(child_hears, 1) == b"."
    turn.close()
    try:
        assert other.try_take()
    finally:
        os.write(says, b".")
        os.waitpid(child, 0)
        other.close()


def held_by_a_child(path: Path) -> int:
    """A process that has the turn and an open transaction, until it is killed."""
    hears, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            granted = SQLiteStore(path).take(claim("dies"), LONG_S)
            assert isinstance(granted, Granted)
            os.write(says, b".")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(hears, 1) == b"."
    return child


def test_kill_9_of_who_has_the_turn_lets_the_next_one_in(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    child = held_by_a_child(store.path)
    settled: list[str] = []

    def settle() -> None:
        with suppress(StoreUnavailable):
            granted = store.take(claim("dies"), LONG_S)
            assert isinstance(granted, Granted)
            granted.settle(ANSWER)
            settled.append("dies")

    waits = Thread(target=settle)
    waits.start()
    while store.turns._file_turn._process_turn._wanted is None:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    waits.join()
    assert settled == ["dies"]
    store.close()


def test_the_files_of_the_turn_are_there_for_whoever_may_use_the_database(path: Path) -> None:
    path.chmod(0o600)
    turn = ProcessTurn(path)
    assert turn.try_take()
    for name in ("gate", "turn"):
        lock = path.with_name(f"{path.name}-tocsin-{name}")
        assert lock.stat().st_mode & 0o777 == 0o600
        with lock.open("rb") as file, pytest.raises(BlockingIOError) if name == "turn" else file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    turn.close()
