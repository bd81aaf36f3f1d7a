"""What waits for the disk, or for other processes, off the event loop and beside whoever is writing.

Rule: what has been begun is waited for. A task that is cancelled meanwhile learns how it ended, and is cancelled at its
next await: nobody may lose sight of a transaction.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias, TypeVar

from tocsin.guard._fork import renew_in_children
from tocsin.guard._sleepers import SleepingTask

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
        renew_in_children(self)

    async def run(self, act: Callable[[], T]) -> T:
        """Run it on the thread; returns and raises what it does, even to a task that is cancelled."""
        mine = SleepingTask()
        done: list[T] = []
        raised: list[BaseException] = []

        def tell() -> None:
            try:
                done.append(act())
            except BaseException as error:  # noqa: BLE001  raised where it is awaited
                raised.append(error)
            mine.wake()

        self.start(tell)
        await mine.sleep_on()
        if raised:
            raise raised[0]
        return done[0]

    def start(self, act: Callable[[], object]) -> None:
        """Run it on the thread, and wait for nothing. Raises RuntimeError: the thread cannot be started."""
        acts = self._acts
        if acts is None:
            acts = SimpleQueue()
            Thread(target=_serve, args=(acts,), name=self._name, daemon=True).start()
            self._acts = acts
        acts.put(act)

    def close(self) -> None:
        """End the thread when it has done what was begun."""
        acts, self._acts = self._acts, None
        if acts is not None:
            acts.put(None)

    def renew_after_fork(self) -> None:
        """The parent's thread does not exist here."""
        self._acts = None

    def __del__(self) -> None:
        self.close()


def _serve(acts: _Acts) -> None:
    while (act := acts.get()) is not None:
        act()
        # Not kept until the next one comes: it holds the store.
        del act
