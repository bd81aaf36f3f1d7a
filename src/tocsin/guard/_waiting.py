"""Requests of one process that have the same key: one goes ahead, the others wait for it and hold no connection.

Rule: waiting decides nothing. Whoever stops waiting looks into the store again.
"""

from dataclasses import dataclass, field
from threading import Event, Lock

from tocsin.guard._fork import renew_in_children
from tocsin.guard._steps import Running, Waited

# A sender's retries of one message are few. More than this many at once is somebody who floods one key, and each of
# them would hold a thread of the server.
MOST_WAITERS = 64


@dataclass(slots=True)
class _Entry:
    fingerprint: bytes | None
    waiters: int = 0
    ended: Event | None = field(default=None)


class InFlight:
    """The keys that this process is applying now."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._lock = Lock()
        renew_in_children(self)

    def join(self, key: bytes, fingerprint: bytes | None) -> Running | None:
        """Take the key if nobody has it. None: it is ours until `leave`; else who has it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._entries[key] = _Entry(fingerprint)
                return None
            return Running(entry.fingerprint)

    def wait(self, key: bytes, timeout_s: float) -> Waited:
        """Wait until the key is left."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return Waited.OVER
            if entry.waiters >= MOST_WAITERS:
                return Waited.CROWDED
            entry.waiters += 1
            if entry.ended is None:
                entry.ended = Event()
            ended = entry.ended
        try:
            return Waited.OVER if ended.wait(timeout_s) else Waited.TIMED_OUT
        finally:
            with self._lock:
                entry.waiters -= 1

    def leave(self, key: bytes) -> None:
        """Give the key back and wake everybody who waits for it."""
        with self._lock:
            # A child that was forked while a handler ran has no entry for it.
            entry = self._entries.pop(key, None)
        if entry is not None and entry.ended is not None:
            entry.ended.set()

    def renew_after_fork(self) -> None:
        """The parent's requests are not ours to wait for."""
        self._entries = {}
        self._lock = Lock()
