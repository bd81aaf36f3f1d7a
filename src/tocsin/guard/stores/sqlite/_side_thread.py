"""What waits for the disk, or for other processes, off the event loop and beside whoever is writing.

Rule: what has been begun is waited for. A task that is cancelled meanwhile learns how it ended, and is cancelled at its
next await: nobody may lose sight of a transaction.
"""

import logging
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeAlias, TypeVar

from tocsin.guard import _log
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._fork import renew_in_children
from tocsin.guard._sleepers import SleepingTask, is_woken

T = TypeVar("T")
_Acts: TypeAlias = SimpleQueue[Callable[[], object] | None]


class SideThread:
    """One thread, started when it is first needed, that does one thing after the other.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._acts: _Acts | None = None
        self._starting = Lock()
        renew_in_children(self)

    def ensure(self) -> None:
        """Start the thread if that is still to be done. Raises StoreUnavailable: it cannot be started."""
        if self._acts is not None:
            return
        with self._starting:
            if self._acts is None:
                acts: _Acts = SimpleQueue()
                try:
                    Thread(target=_serve, args=(acts, self._name), name=self._name, daemon=True).start()
                except RuntimeError as error:
                    # There are too many threads, or the interpreter ends.
                    raise StoreUnavailable(f"no thread can be started: {error}") from error
                self._acts = acts

    async def run(self, act: Callable[[], T], *, if_forsaken: Callable[[T], object] | None = None) -> T:
        """Run it on the thread; returns and raises what it does, even to a task that is cancelled.

        Args:
            act: what to do.
            if_forsaken: what to do with its result if the event loop was closed meanwhile: nobody else will.

        Raises:
            StoreUnavailable: the thread cannot be started.
        """
        mine = SleepingTask()
        done: list[T] = []
        raised: list[BaseException] = []

        def tell() -> None:
            try:
                done.append(act())
            except BaseException as error:  # noqa: BLE001  raised where it is awaited
                raised.append(error)
            if not is_woken(mine) and done and if_forsaken is not None:
                if_forsaken(done[0])

        self.start(tell)
        await mine.sleep_on()
        if raised:
            raise raised[0]
        return done[0]

    def start(self, act: Callable[[], object]) -> None:
        """Run it on the thread, and wait for nothing. Raises StoreUnavailable: the thread cannot be started."""
        self.ensure()
        assert self._acts is not None, "a thread that was started has what to do"
        self._acts.put(act)

    def close(self) -> None:
        """End the thread when it has done what was begun."""
        acts, self._acts = self._acts, None
        if acts is not None:
            acts.put(None)

    def renew_after_fork(self) -> None:
        """The parent's thread does not exist here."""
        self._acts = None
        self._starting = Lock()

    def __del__(self) -> None:
        self.close()


def _serve(acts: _Acts, name: str) -> None:
    while (act := acts.get()) is not None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  without this thread there is no COMMIT
            _log.store_notice(name, f"it goes on after {error!r}", level=logging.ERROR)
        # Not kept until the next one comes: it holds the store.
        del act
