"""The one connection that goes round with the turn, and the file that it is to.

Rule: who has the turn uses it, and nobody else. A file that was replaced under it is opened anew: writing on to the old
one would lose what is acknowledged.
"""

from pathlib import Path
from time import monotonic

from tocsin.guard.stores.sqlite._schema import STILL_THERE_S, file_identity, prepare
from tocsin.guard.stores.sqlite._writer import OnConnect, Writer


class KeptWriter:
    """A connection that is opened when it is needed.

    Args:
        path: the database file.
        on_connect: see Writer.

    Attributes:
        writer: the connection; None: it is not open.
    """

    __slots__ = ("_file", "_name", "_on_connect", "_path", "_seen_at", "writer")

    def __init__(self, path: Path, on_connect: OnConnect | None) -> None:
        self.writer: Writer | None = None
        self._path = path
        self._name = str(path)
        self._on_connect = on_connect
        self._file: tuple[int, int] | None = None
        self._seen_at = 0.0

    def opened(self) -> Writer:
        """The connection, to the file that is there now.

        Raises:
            OSError: there is none.
            sqlite3.Error: it cannot be opened.
            StoreUnavailable: it cannot be made ready.
        """
        # `current`, written out for the many times that it has been asked a moment ago.
        current = self.writer
        if current is not None and monotonic() - self._seen_at < STILL_THERE_S:
            return current
        current = self.current()
        if current is not None:
            return current
        self.close()
        file = file_identity(self._name)
        prepare(self._path, mode="rw")
        self.writer = Writer(self._path, self._on_connect)
        self._file, self._seen_at = file, monotonic()
        return self.writer

    def current(self) -> Writer | None:
        """The connection, if it is open and to the file that is there now. Raises OSError: there is none."""
        if self.writer is None:
            return None
        now = monotonic()
        if now - self._seen_at >= STILL_THERE_S:
            if file_identity(self._name) != self._file:
                return None
            self._seen_at = now
        return self.writer

    def close(self) -> None:
        """Close it. What it has not committed is undone."""
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.close()

    def disown(self) -> object:
        """In a forked child: forget the parent's connection; returns what must be kept from being closed."""
        writer, self.writer = self.writer, None
        return None if writer is None else writer.disown()
