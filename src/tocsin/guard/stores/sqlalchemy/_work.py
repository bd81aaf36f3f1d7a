"""What each database does for the store on SQLAlchemy.

Rule: a database's own store says what a claim is there: its statements, its bounds, what its errors mean. Here they are
said on a connection of the application's engine, so both stores share one table and one replay protection.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import StoreError
from tocsin.guard._store import Claim, Declares, Forgotten, Record

T = TypeVar("T")
Wait: TypeAlias = Callable[[Awaitable[Any]], Any]
"""Awaits from inside of a greenlet of SQLAlchemy's; None where the driver blocks its thread."""


class Apart(Protocol):
    """Does something on another connection of the engine, on which nothing has begun."""

    def __call__(self, do: Callable[[Connection], T], /) -> T:
        """Do it. Raises StoreUnavailable: there is no other connection."""
        ...


class Work(ABC):
    """One claim that is written, in a transaction on the application's connection or in a savepoint of it.

    Attributes:
        broke: what the handler tried that would have ended its transaction; "" if nothing.
    """

    broke: str = ""
    _is_usable: bool | None = None

    @abstractmethod
    def advance(self, deadline: float) -> bool:
        """See Granted.advance. Raises StoreUnavailable, TransactionConflict.

        Args:
            deadline: until when to wait, by the monotonic clock.
        """

    @abstractmethod
    def keep(self, answer: StoredAnswer) -> None:
        """Write the answer, if the transaction is still the claim's; of a savepoint release it too. Raises StoreError.

        What it raises has been undone.
        """

    def undo(self) -> bool:
        """Undo everything since the claim, claim too; whether the connection can be used afterwards. Never raises.

        What has been undone already, because it could not be kept, is not undone again.
        """
        if self._is_usable is None:
            self._is_usable = self._undone()
        return self._is_usable

    @abstractmethod
    def _undone(self) -> bool:
        """See undo."""

    @abstractmethod
    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted.conflicts."""

    @abstractmethod
    def not_committed(self, error: BaseException) -> StoreError:
        """What the driver's error says that came instead of the answer to COMMIT."""

    def failed(self, error: BaseException) -> None:  # noqa: B027  nothing to remember, unless transactions conflict
        """A statement of the handler's failed with this error of the driver's."""

    def made_up_for(self) -> None:  # noqa: B027  likewise
        """The handler has rolled back to a savepoint."""

    def judge(self, *, is_on: bool) -> None:  # noqa: B027  for a database that judges statements itself
        """The handler begins or ends."""

    def control_in(self, _sql: str, /) -> str:
        """The words with which a statement would begin or end the transaction, or ""."""
        return ""


class Database(ABC):
    """One kind of database.

    Args:
        wait: see Wait.

    Attributes:
        declares: see Store.
        most_writers: how many transactions of a process make sense at once; None: as many as there are connections.
    """

    declares: ClassVar[Declares]
    most_writers: ClassVar[int | None] = None

    def __init__(self, wait: Wait | None) -> None:
        self.wait = wait

    @abstractmethod
    def take(
        self, connection: Connection, claim: Claim, deadline: float, apart: Apart, *, is_nested: bool
    ) -> Work | Record | Forgotten:
        """Begin the transaction, or a savepoint in it, and write the claim. Unless it is written nothing is left open.

        Raises:
            KeyInUse: another process was applying the key until then.
            StoreUnavailable: locked, full or down.
        """

    @abstractmethod
    def look(self, connection: Connection, key: bytes) -> Record | None:
        """What is committed under a key. Raises StoreUnavailable."""

    @abstractmethod
    def sweep(self, connection: Connection, now_unix_ms: int) -> int:
        """See Store.sweep."""

    @abstractmethod
    def migrate(self, connection: Connection) -> None:
        """Create what is missing of the guard's tables. Raises StoreUnavailable."""

    @abstractmethod
    def is_down(self, error: BaseException) -> bool:
        """Whether an error of the driver's says that the database is locked, full or down."""


def driver_of(connection: Connection) -> Any:  # noqa: ANN401  each driver has a type of its own
    """The driver's own connection."""
    return connection.connection.driver_connection


def blocking_driver_of(connection: Connection) -> Any:  # noqa: ANN401  likewise
    """The driver's connection as SQLAlchemy uses it: one that blocks, or that seems to inside of a greenlet."""
    return connection.connection.dbapi_connection
