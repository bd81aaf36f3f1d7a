"""Lets go of what has had its time, now and then, between requests."""

from collections.abc import Awaitable, Callable
from time import monotonic

from tocsin.guard import _log
from tocsin.guard._errors import StoreError

# What is due can stay a while: expiry itself is judged when a claim is looked at.
_PAUSE_S = 60.0


class Sweeping:
    """Sweeps a store from time to time, on the thread or the task of a request whose answer is committed.

    Whatever becomes of it, that answer is sent.

    Args:
        sweep: the store's own, for threads; returns how many rows it changed.
        sweep_async: likewise, for tasks.
    """

    def __init__(
        self, sweep: Callable[[int], int] | None, sweep_async: Callable[[int], Awaitable[int]] | None = None
    ) -> None:
        self._sweep = sweep
        self._sweep_async = sweep_async
        self._next = monotonic() + _PAUSE_S

    def sweep_if_due(self, now_unix: float) -> None:
        """Sweep once if the last time is long enough ago."""
        if not self._is_due() or self._sweep is None:
            return
        try:
            self._swept(self._sweep(round(now_unix * 1000)))
        except StoreError as error:
            _log.sweep_put_off(error)

    async def sweep_if_due_async(self, now_unix: float) -> None:
        """See sweep_if_due."""
        if not self._is_due() or self._sweep_async is None:
            return
        try:
            self._swept(await self._sweep_async(round(now_unix * 1000)))
        except StoreError as error:
            _log.sweep_put_off(error)

    def _is_due(self) -> bool:
        now = monotonic()
        if now < self._next:
            return False
        self._next = now + _PAUSE_S
        return True

    def _swept(self, rows: int) -> None:
        if rows:
            # There may be more: a sweep is short, because everybody else waits for it.
            self._next = monotonic()
            _log.swept(rows)
