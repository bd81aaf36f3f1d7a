"""A mutex for every name that somebody holds or waits for, and for no other.

Rule: a name that nobody uses any more costs nothing, so whoever makes up names fills no memory. The wait is fair and
bounded; threads and tasks wait for each other.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import Lock

from tocsin.guard._fork import renew_in_children
from tocsin.guard._turn import Turn


@dataclass(slots=True)
class _Entry:
    turn: Turn = field(default_factory=Turn)
    users: int = 0


class Mutexes:
    """Mutexes by name."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: dict[Hashable, _Entry] = {}
        renew_in_children(self)

    def take(self, name: Hashable, timeout_s: float) -> bool:
        """Wait for the mutex; False: not within that many seconds."""
        entry = self._entered(name)
        taken = False
        try:
            taken = entry.turn.take(timeout_s)
        finally:
            if not taken:
                self._left(name, entry)
        return taken

    async def take_async(self, name: Hashable, timeout_s: float) -> bool:
        """Like `take`, for a task. A task that is cancelled has not taken it."""
        entry = self._entered(name)
        taken = False
        try:
            taken = await entry.turn.take_async(timeout_s)
        finally:
            if not taken:
                self._left(name, entry)
        return taken

    def give_back(self, name: Hashable) -> None:
        """Hand the mutex to whoever has waited longest."""
        with self._lock:
            entry = self._entries.get(name)
        # A child that was forked while a handler ran has no entry for it.
        if entry is not None:
            entry.turn.pass_on()
            self._left(name, entry)

    def renew_after_fork(self) -> None:
        """The threads that hold them do not exist here."""
        self._lock = Lock()
        self._entries = {}

    def _entered(self, name: Hashable) -> _Entry:
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                entry = self._entries[name] = _Entry()
            entry.users += 1
            return entry

    def _left(self, name: Hashable, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            if not entry.users and self._entries.get(name) is entry:
                del self._entries[name]
