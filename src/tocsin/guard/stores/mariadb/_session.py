"""One connection of a process, for one thread or task at a time, and what has become of the transaction on it.

Rule: what the server last said of the transaction is in each of its answers (SERVER_STATUS_IN_TRANS). An error says
nothing of it, so after one the server is asked.
"""

import secrets
from typing import Any, Protocol

import pymysql
from pymysql.constants import CLIENT, SERVER_STATUS

from tocsin.guard._fork import process_here
from tocsin.guard.stores.mariadb._errnos import Trouble, trouble_of

_IN_TRANSACTION = int(SERVER_STATUS.SERVER_STATUS_IN_TRANS)


class Driver(Protocol):
    """What a connection of PyMySQL and one of aiomysql have in common."""

    server_status: int
    client_flag: int

    def close(self) -> object:
        """End it."""
        ...


def errno_of(error: BaseException) -> int:
    """The number of an error; 0 where it has none."""
    number = error.args[0] if error.args else 0
    return number if isinstance(number, int) else 0


def text_of(error: BaseException) -> str:
    """What the server, or the driver, said."""
    return str(error.args[1]) if len(error.args) > 1 and error.args[1] else str(error) or type(error).__name__


def trouble_with(error: BaseException) -> Trouble | None:
    """What an exception says about the database; None: nothing."""
    if not isinstance(error, pymysql.Error):
        return None
    number = errno_of(error)
    # The driver's own errors have words in place of a number: the call was wrong.
    if number == 0 and not isinstance(error, pymysql.InterfaceError):
        return Trouble.STATEMENT
    return trouble_of(number)


class Session:
    """A connection, with autocommit switched off: whatever is written outlives no failed COMMIT.

    Args:
        connection: of PyMySQL, or of aiomysql.

    Attributes:
        most_octets: of one message, as the server wants it.
        has_answered: whether the server has, since the connection was taken out of those that nobody used.
        broke: what the handler tried that would have ended its transaction; "" if nothing.
        undone: the server has undone the transaction, for this reason.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  the two drivers share no type
        self.connection: Any = connection
        self.most_octets = 0
        self.has_answered = False
        self.broke = ""
        self.undone: Trouble | None = None
        self._mark = secrets.token_hex(8)
        self._savepoints = 0
        self._process = process_here()

    @property
    def is_lost(self) -> bool:
        """Whether the connection is known to be closed."""
        connection = self.connection
        # PyMySQL says whether it is open, aiomysql whether it is closed.
        return bool(connection.closed if hasattr(connection, "closed") else not connection.open)

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open, by the last answer of the server."""
        return bool(self.connection.server_status & _IN_TRANSACTION)

    @property
    def is_idle(self) -> bool:
        """Whether it can be used for something new."""
        return not self.is_lost and not self.is_in_transaction

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked after the connection was opened, which is therefore its parent's."""
        return self._process is not process_here()

    @property
    def is_stale(self) -> bool:
        """Whether it turned out to be lost at its first use, and might have been for long: another one may do."""
        return self.is_lost and not self.has_answered

    @property
    def takes_many(self) -> bool:
        """Whether several statements may be one message."""
        return bool(self.connection.client_flag & CLIENT.MULTI_STATEMENTS)

    def begin(self) -> None:
        """Forget the transaction before."""
        self.has_answered = False
        self.broke = ""
        self.undone = None

    def savepoint(self) -> str:
        """A name that no handler knows. Names are not used twice, so nobody has to keep count of what is open."""
        self._savepoints += 1
        return f"tocsin_{self._mark}_{self._savepoints}"

    def hang_up(self) -> None:
        """Close the connection: the server rolls back whatever is on it."""
        if not self.is_lost and not self.is_inherited:
            self.connection.close()
