"""One connection of a process, for one thread at a time.

Rule: only the guard's own statements go through `send`, several of them as one message, unprepared and with their
values in the text. So a message is one round trip, and any connection of a pooler will do for it.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from select import POLLIN, poll
from typing import Any

import psycopg
from psycopg import ClientCursor, Connection
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from tocsin.guard.stores.postgres._settings import Settings
from tocsin.guard.stores.postgres._sqlstates import Trouble, trouble_of

SAVEPOINT_PREFIX = "tocsin_"


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement of a message gave.

    Args:
        tag: what the server says that it did: "COMMIT", "INSERT 0 1".
        rows: what it returned.
    """

    tag: str
    rows: list[tuple[Any, ...]]


def trouble_with(error: BaseException) -> Trouble | None:
    """What an exception says about the database; None: nothing."""
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is not None:
        return trouble_of(error.sqlstate)
    # Without a code it does not come from the server: the connection failed, or the call was wrong.
    return Trouble.UNAVAILABLE if isinstance(error, psycopg.OperationalError) else Trouble.STATEMENT


class Session:
    """A connection, and what has become of the transaction on it.

    Args:
        connection: in autocommit: BEGIN and COMMIT are the guard's own messages.
        settings: how its transactions begin.

    Attributes:
        broke: what the handler tried that would have ended its transaction; "" if nothing.
        conflict: the transaction was undone for the sake of another one, and nothing has made up for it.
    """

    def __init__(self, connection: Connection[Any], settings: Settings) -> None:
        self.connection = connection
        self.settings = settings
        self.broke = ""
        self.conflict = False
        self._cursor = ClientCursor(connection, row_factory=tuple_row)
        self._mark = secrets.token_hex(8)
        self._savepoints = 0
        self._pid = os.getpid()

    @property
    def status(self) -> TransactionStatus:
        """What the connection knows of its transaction, from the last thing that the server said."""
        return TransactionStatus(self.connection.pgconn.transaction_status)

    @property
    def is_idle(self) -> bool:
        """Whether it can be used for something new."""
        return self.status is TransactionStatus.IDLE

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked after the connection was opened, which is therefore its parent's."""
        return self._pid != os.getpid()

    @property
    def has_gone(self) -> bool:
        """Whether the server has said something while nobody asked: nearly always that it ends the connection."""
        if self.connection.closed:
            return True
        told = poll()
        told.register(self.connection.fileno(), POLLIN)
        return bool(told.poll(0))

    def begin(self) -> None:
        """Forget the transaction before."""
        self.broke = ""
        self.conflict = False

    def send(self, message: str, values: Mapping[str, object] | None = None) -> list[Result]:
        """Send statements as one message and read all of their results.

        Args:
            message: statements, separated by semicolons, with placeholders as %(name)s.
            values: for the placeholders; None: there are none, and % is a character like any other.

        Raises:
            psycopg.Error: one of them failed, and those after it were not run.
        """
        cursor = self._cursor
        cursor.execute(message.encode(), values)
        results = []
        while True:
            rows = [] if cursor.description is None else cursor.fetchall()
            results.append(Result(cursor.statusmessage or "", rows))
            if not cursor.nextset():
                return results

    def savepoint(self) -> str:
        """A name that no handler knows. Names are not used twice, so nobody has to keep count of what is open."""
        self._savepoints += 1
        return f"{SAVEPOINT_PREFIX}{self._mark}_{self._savepoints}"

    def undo(self, savepoint: str | None) -> bool:
        """Roll back to the savepoint and release it, or all of the transaction; whether that worked. Never raises."""
        if self.is_inherited or self.connection.closed:
            return False
        try:
            self.send(undoing(savepoint))
        except psycopg.Error:
            return False
        return True


def undoing(savepoint: str | None) -> str:
    """The statements that undo everything since a savepoint, or since BEGIN."""
    return "ROLLBACK" if savepoint is None else f"ROLLBACK TO {savepoint}; RELEASE {savepoint}"
