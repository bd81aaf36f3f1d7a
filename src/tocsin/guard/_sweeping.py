"""Lets go of what has had its time, now and then, between requests."""

import logging
from collections.abc import Callable
from time import monotonic

from tocsin.guard._errors import StoreUnavailable

_LOG = logging.getLogger("tocsin.guard")
# What is due can stay a while: expiry itself is judged when a claim is looked at.
_PAUSE_S = 60.0


class Sweeping:
    """Sweeps a store from time to time, on the thread of a request that has been answered.

    Args:
        sweep: the store's own; returns how many rows it changed.
    """

    def __init__(self, sweep: Callable[[int], int]) -> None:
        self._sweep = sweep
        self._next = monotonic() + _PAUSE_S

    def sweep_if_due(self, now_unix: float) -> None:
        """Sweep once if the last time is long enough ago."""
        if monotonic() < self._next:
            return
        self._next = monotonic() + _PAUSE_S
        try:
            swept = self._sweep(round(now_unix * 1000))
        except StoreUnavailable as unavailable:
            _LOG.info("sweeping is put off: %s", unavailable)
        else:
            if swept:
                # There may be more: a sweep is short, because everybody else waits for it.
                self._next = monotonic()
                _LOG.info("swept %d answers and claims", swept)
