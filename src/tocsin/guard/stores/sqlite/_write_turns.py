"""Whose turn it is to write, and the one connection that goes round with it."""

import sqlite3
from pathlib import Path
from time import monotonic

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._turn import Turn
from tocsin.guard.stores.sqlite._schema import file_identity, prepare
from tocsin.guard.stores.sqlite._writer import OnConnect, Writer


class WriteTurns:
    """Threads of this process take turns on one connection; processes take turns on SQLite's write lock.

    Args:
        path: the database file.
        on_connect: see Writer.
    """

    def __init__(self, path: Path, on_connect: OnConnect | None) -> None:
        self._path = path
        self._on_connect = on_connect
        self._turn = Turn()
        self._writer: Writer | None = None
        self._file: tuple[int, int] | None = None

    def begin(self, wait_s: float) -> Writer:
        """Wait for the turn and begin a transaction.

        Raises:
            StoreUnavailable: not within that many seconds, or the file cannot be opened or locked.
        """
        deadline = monotonic() + wait_s
        if not self._turn.take(wait_s):
            raise StoreUnavailable(f"{self._path}: other requests of this process wrote for {wait_s:.3g} s")
        try:
            writer = self._open()
            writer.begin(deadline)
        except StoreUnavailable:
            self.end(is_usable=True)
            raise
        except (OSError, sqlite3.Error) as error:
            self.end(is_usable=False)
            raise StoreUnavailable(f"{self._path} cannot be written: {error}") from error
        except BaseException:
            self.end(is_usable=False)
            raise
        return writer

    def end(self, *, is_usable: bool) -> None:
        """Pass the turn on, with the connection or, if that cannot be used any more, without."""
        try:
            if not is_usable:
                self._close()
        finally:
            self._turn.pass_on()

    def close(self, wait_s: float) -> None:
        """Close the connection as soon as nobody uses it.

        Raises:
            StoreUnavailable: somebody does, for longer than that.
        """
        if not self._turn.take(wait_s):
            raise StoreUnavailable(f"{self._path} is in use; close it when no handler is running")
        self.end(is_usable=False)

    def disown(self) -> object:
        """In a forked child: forget the parent's connection; returns what must be kept from being closed."""
        writer, self._writer = self._writer, None
        return None if writer is None else writer.disown()

    def _open(self) -> Writer:
        file = file_identity(self._path)
        if self._writer is None or file != self._file:
            self._close()
            prepare(self._path, mode="rw")
            self._writer = Writer(self._path, self._on_connect)
            self._file = file
        return self._writer

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.connection.close()
