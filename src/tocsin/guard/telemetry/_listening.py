"""Hears every record of the guard's log, and lets everybody else hear what they heard before.

Rule: to count what is at DEBUG (every request that went well) the logger has to be open for it. Whoever logs the
application would then print it all; so what goes on, to the logger's own handlers and to those above it, is what its
level let through before.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Self

_LOG = logging.getLogger("tocsin.guard")


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


class _Opened(logging.Filter):
    """Stands in the open logger: tells every record to the listeners, and holds back what nobody had asked for.

    Attributes:
        listeners: who hears; the logger is open as long as there is one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[_Listener] = []
        self._level = logging.NOTSET

    def open(self) -> None:
        """Have the logger make every record."""
        self._level = _LOG.level
        _LOG.addFilter(self)
        _LOG.setLevel(logging.DEBUG)

    def close(self) -> None:
        """Leave the logger as `open` found it."""
        _LOG.removeFilter(self)
        _LOG.setLevel(self._level)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record would have been made without us."""
        for listener in tuple(self.listeners):
            listener.handle(record)
        above = _LOG.parent
        # Asked anew each time: an application may set up its logging after its telemetry.
        return record.levelno >= (self._level or (logging.NOTSET if above is None else above.getEffectiveLevel()))


_OPENED = _Opened()


class Listening:
    """A listener that is heard until it is closed. It may be used as a context.

    Args:
        hear: gets the fields of a record (`tocsin.guard._log_events.EVENTS`) and when it was made, in Unix seconds.
    """

    def __init__(self, hear: Callable[[Mapping[str, Any], float], None]) -> None:
        self._listener = _Listener(hear)
        if not _OPENED.listeners:
            _OPENED.open()
        _OPENED.listeners.append(self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more; the last one to go leaves the logger as the first one found it."""
        if self._listener in _OPENED.listeners:
            _OPENED.listeners.remove(self._listener)
            if not _OPENED.listeners:
                _OPENED.close()
