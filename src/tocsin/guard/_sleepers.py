"""A thread or a task that waits until somebody wakes it, and whoever wakes it does not care which of them it is.

Rule: an event loop is woken once for all of its tasks, and from its own thread not at all: each wake-up costs a system
call and a switch of threads.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import TIMEOUT_MAX, Lock
from typing import TypeAlias
from weakref import WeakKeyDictionary, ref

# How anyio marks its own cancellations, in its versions 4.0 and later.
_OF_A_SCOPE = ("Cancelled via cancel scope ", "Cancelled by cancel scope ")


class SleepingThread:
    """The calling thread, before it sleeps."""

    __slots__ = ("_awake",)

    def __init__(self) -> None:
        self._awake = Lock()
        self._awake.acquire()

    def sleep(self, timeout_s: float) -> bool:
        """Sleep until `wake` is called, which may have been before; False: not within that many seconds."""
        return self._awake.acquire(timeout=min(max(timeout_s, 0.0), TIMEOUT_MAX))

    def wake(self) -> None:
        """End the sleep, from any thread; once."""
        self._awake.release()


class SleepingTask:
    """The running task, before it sleeps."""

    __slots__ = ("_awake", "_woken", "ends_at", "is_roused", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ends_at = 0.0
        self.is_roused = False
        self._awake: asyncio.Future[None] = self.loop.create_future()
        self._woken: bool | None = None

    async def sleep(self, timeout_s: float) -> bool:
        """See SleepingThread. The time may be up to a fiftieth of a second longer."""
        alarm = _alarm(self.loop)
        alarm.add(self, timeout_s)
        try:
            while self._woken is None:
                await self._awake
                if self._woken is None:
                    # Roused too early: whoever was before it is not over yet.
                    self.is_roused = False
                    self._awake = self.loop.create_future()
        finally:
            alarm.sleeping.discard(self)
        return self._woken

    async def sleep_on(self, timeout_s: float | None = None) -> bool:
        """Like `sleep`, and not ended by a cancellation, which is raised by the task's next await instead."""
        alarm = _alarm(self.loop)
        if timeout_s is not None:
            alarm.add(self, timeout_s)
        put_off: asyncio.CancelledError | None = None
        while self._woken is None:
            try:
                with shielded_from(put_off):
                    await self._awake
            except asyncio.CancelledError as cancelled:
                put_off = cancelled
                # The cancellation went to what was awaited.
                self._awake = self.loop.create_future()
        alarm.sleeping.discard(self)
        if put_off is not None:
            cancel_later(put_off)
        return self._woken

    def wake(self) -> None:
        """End the sleep, from any thread; once. Raises RuntimeError: its event loop is closed."""
        wake_in(self.loop, (self,))

    def rouse(self) -> None:
        """Have it ready to run, from the thread of its loop: it sleeps on unless it is woken before it gets to run."""
        self.is_roused = True
        if not self._awake.done():
            self._awake.set_result(None)

    def end(self, *, woken: bool) -> None:
        """End the sleep, from the thread of its loop."""
        if self._woken is None:
            self._woken = woken
            if not self._awake.done():
                self._awake.set_result(None)


class _Alarm:
    """Ends the sleeps of one event loop when their time is over.

    A timer of its own for each sleep would cost a fifth of what a group of tasks costs in all.
    """

    __slots__ = ("_is_set", "sleeping")

    def __init__(self) -> None:
        self.sleeping: set[SleepingTask] = set()
        self._is_set = False

    def add(self, task: SleepingTask, timeout_s: float) -> None:
        """End this one's sleep in so many seconds."""
        task.ends_at = task.loop.time() + timeout_s
        self.sleeping.add(task)
        if not self._is_set:
            self._is_set = True
            task.loop.call_later(min(timeout_s, _TICK_S), self._ring, task.loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task in self.sleeping if task.ends_at <= now]:
            self.sleeping.discard(task)
            task.end(woken=False)
        self._is_set = bool(self.sleeping)
        if self._is_set:
            loop.call_later(_TICK_S, self._ring, loop)


_TICK_S = 0.02
_alarms: WeakKeyDictionary[asyncio.AbstractEventLoop, _Alarm] = WeakKeyDictionary()


# The loop that was asked for last, which nearly always is the only one.
_last: tuple["ref[asyncio.AbstractEventLoop]", _Alarm] | None = None


def _alarm(loop: asyncio.AbstractEventLoop) -> _Alarm:
    global _last  # noqa: PLW0603  one reference, replaced as a whole
    last = _last
    if last is not None and last[0]() is loop:
        return last[1]
    alarm = _alarms.get(loop) or _alarms.setdefault(loop, _Alarm())
    _last = ref(loop), alarm
    return alarm


Sleeper: TypeAlias = SleepingThread | SleepingTask


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the calling thread is running that loop now."""
    return asyncio._get_running_loop() is loop  # noqa: SLF001  documented, for libraries


def is_woken(sleeper: Sleeper) -> bool:
    """Wake it, unless it is a task whose event loop was closed under it."""
    try:
        sleeper.wake()
    except RuntimeError:
        return False
    return True


def wake_in(loop: asyncio.AbstractEventLoop, tasks: Sequence[SleepingTask]) -> None:
    """Wake tasks of one loop. Raises RuntimeError: it is closed."""
    if runs_here(loop):
        _end_all(tasks)
    else:
        loop.call_soon_threadsafe(_end_all, tasks)


def wake_all(sleepers: Iterable[Sleeper]) -> None:
    """Wake each of them; tasks whose event loop is closed are waited for by nobody."""
    of_loop: dict[asyncio.AbstractEventLoop, list[SleepingTask]] = {}
    for sleeper in sleepers:
        if isinstance(sleeper, SleepingTask):
            of_loop.setdefault(sleeper.loop, []).append(sleeper)
        else:
            sleeper.wake()
    for loop, tasks in of_loop.items():
        try:
            wake_in(loop, tasks)
        except RuntimeError:
            continue


def _end_all(tasks: Sequence[SleepingTask]) -> None:
    for task in tasks:
        task.end(woken=True)


def shielded_from(cancelled: asyncio.CancelledError | None) -> AbstractContextManager[object]:
    """Around what a task awaits to its end all the same, after that cancellation of it, if there was one.

    Scopes of anyio cancel their tasks again at every turn of the event loop: it would turn without a rest until then.
    """
    if cancelled is None or not _is_of_a_scope(cancelled):
        return nullcontext()
    from anyio import CancelScope  # noqa: PLC0415  who has no anyio has no scopes of it

    return CancelScope(shield=True)


def _is_of_a_scope(cancelled: asyncio.CancelledError) -> bool:
    return str(cancelled).startswith(_OF_A_SCOPE)


def cancel_later(cancelled: asyncio.CancelledError) -> None:
    """Cancel the running task at its next await, in place of a cancellation that came when it could not be followed.

    Args:
        cancelled: that cancellation. One of anyio's is left to its scope, which cancels whatever its task awaits next,
            for as long as the task is inside of it and no longer.
    """
    if _is_of_a_scope(cancelled):
        return
    task = asyncio.current_task()
    assert task is not None, "awaited outside of a task"
    task.uncancel()
    task.cancel(*cancelled.args)
