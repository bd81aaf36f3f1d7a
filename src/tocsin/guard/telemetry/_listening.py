"""Hears every record of the guard's log, and lets other handlers hear what they heard before.

Rule: to count what is at DEBUG (every request that went well) the logger has to be open for it. Whoever logs the
application would then print it all; so what goes on to the other loggers stays at the level that they had.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Self

_LOG = logging.getLogger("tocsin.guard")


class _Onward(logging.Handler):
    """What propagation did, for records that would have been made without us."""

    def __init__(self, level: int, parent: logging.Logger) -> None:
        super().__init__(level)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record on."""
        self._parent.callHandlers(record)


class _Listener(logging.Handler):
    """Calls back with the fields of each record that has some."""

    def __init__(self, hear: Callable[[Mapping[str, Any], float], None]) -> None:
        super().__init__(logging.DEBUG)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        """Tell what it says; an error of telemetry must not become one of the request."""
        try:
            if hasattr(record, "event"):
                self._hear(record.__dict__, record.created)
        except Exception:  # noqa: BLE001  as every handler of logging does
            self.handleError(record)


class Listening:
    """A listener that is heard until it is closed. It may be used as a context.

    Args:
        hear: gets the fields of a record (`tocsin.guard._log_events.EVENTS`) and when it was made, in Unix seconds.
    """

    def __init__(self, hear: Callable[[Mapping[str, Any], float], None]) -> None:
        self._listener = _Listener(hear)
        if _LOG.propagate and _LOG.parent is not None:
            _LOG.addHandler(_Onward(_LOG.getEffectiveLevel(), _LOG.parent))
            _LOG.propagate = False
        _LOG.setLevel(logging.DEBUG)
        _LOG.addHandler(self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more; the last one to go leaves the logger as the first one found it."""
        _LOG.removeHandler(self._listener)
        if any(isinstance(handler, _Listener) for handler in _LOG.handlers):
            return
        for handler in list(_LOG.handlers):
            if isinstance(handler, _Onward):
                _LOG.removeHandler(handler)
                _LOG.propagate = True
        _LOG.setLevel(logging.NOTSET)
