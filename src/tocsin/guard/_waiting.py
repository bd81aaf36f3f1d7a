"""Requests of one process that have the same key: one goes ahead, the others wait for it and hold no connection.

Rule: waiting decides nothing. Whoever stops waiting looks into the store again. Threads and tasks of any number of
event loops wait for each other here: one service has handlers of both kinds.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock
from typing import TypeAlias

from tocsin.guard._fork import renew_in_children
from tocsin.guard._steps import Running, Waited

# A sender's retries of one message are few. More than this many at once is somebody who floods one key, and each of
# them would hold a thread of the server.
MOST_WAITERS = 64
# Of the keys that were taken last, as many as this are known for certain, and up to twice as many: a megabyte.
MET_AT_LEAST = 4096

_Wake: TypeAlias = Callable[[], object]


@dataclass(slots=True)
class _Entry:
    fingerprint: bytes | None
    waiters: int = 0
    wakes: list[_Wake] | None = None


class InFlight:
    """The keys that this process is applying now, and of those that it has met, the last ones."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._met: set[bytes] = set()
        self._met_before: set[bytes] = set()
        self._lock = Lock()
        renew_in_children(self)

    def join(self, key: bytes, fingerprint: bytes | None) -> Running | None:
        """Take the key if nobody has it. None: it is ours until `leave`; else who has it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._entries[key] = _Entry(fingerprint)
                self._meet(key)
                return None
            return Running(entry.fingerprint)

    def has_met(self, key: bytes) -> bool:
        """Whether somebody has joined the key lately. A hint: other processes have met others, and it is forgotten."""
        return key in self._met or key in self._met_before

    def wait(self, key: bytes, timeout_s: float) -> Waited:
        """Wait until the key is left."""
        ended = Event()
        entry = self._begin_to_wait(key, ended.set)
        if isinstance(entry, Waited):
            return entry
        try:
            return Waited.OVER if ended.wait(timeout_s) else Waited.TIMED_OUT
        finally:
            self._stop_waiting(entry, ended.set)

    async def wait_async(self, key: bytes, timeout_s: float, gone: "asyncio.Future[object]") -> Waited:
        """Like `wait`, for a task.

        Args:
            key: the key.
            timeout_s: how long at most, in seconds.
            gone: done as soon as nobody wants to know any more.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(_finish, ended)

        entry = self._begin_to_wait(key, wake)
        if isinstance(entry, Waited):
            return entry
        try:
            await asyncio.wait((ended, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return Waited.OVER if ended.done() else Waited.TIMED_OUT
        finally:
            self._stop_waiting(entry, wake)

    def leave(self, key: bytes) -> None:
        """Give the key back and wake everybody who waits for it."""
        with self._lock:
            # A child that was forked while a handler ran has no entry for it.
            entry = self._entries.pop(key, None)
            wakes = () if entry is None else tuple(entry.wakes or ())
        for wake in wakes:
            # A task whose event loop was closed under it waits for nothing any more.
            with suppress(RuntimeError):
                wake()

    def renew_after_fork(self) -> None:
        """The parent's requests are not ours to wait for."""
        self._entries = {}
        self._lock = Lock()

    def _meet(self, key: bytes) -> None:
        if len(self._met) >= MET_AT_LEAST:
            # Not one key at a time: a dict that is emptied at one end and filled at the other takes ever longer.
            self._met_before, self._met = self._met, set()
        self._met.add(key)

    def _begin_to_wait(self, key: bytes, wake: _Wake) -> _Entry | Waited:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return Waited.OVER
            if entry.waiters >= MOST_WAITERS:
                return Waited.CROWDED
            entry.waiters += 1
            if entry.wakes is None:
                entry.wakes = []
            entry.wakes.append(wake)
            return entry

    def _stop_waiting(self, entry: _Entry, wake: _Wake) -> None:
        with self._lock:
            entry.waiters -= 1
            if entry.wakes is not None:
                entry.wakes.remove(wake)


def _finish(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
