"""What the databases have in common for a store on Django: whose trouble an error is, and the table of claims.

Rule: the guard's own statements go to the driver's connection, past Django's cursors. So no stored answer stands in
`connection.queries`, and no wrapper of an application's sees, changes or refuses a claim.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Literal

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Forgotten, Record


class Trouble(Enum):
    """Whose trouble an error is."""

    CONFLICT = auto()
    """The transaction was undone for the sake of another one: it may run again."""

    UNAVAILABLE = auto()
    """Locked, full, down or read-only: the same request may succeed later."""

    IN_USE = auto()
    """Likewise; and it is this very key that others held for so long."""

    NO_TABLE = auto()
    STATEMENT = auto()
    """The statement, or the data that it met."""


@dataclass(frozen=True, slots=True)
class Written:
    """The claim is written.

    Args:
        transaction_id: in which transaction, where the database says so.
    """

    transaction_id: int | None


class Database(ABC):
    """The guard's statements in one SQL.

    Attributes:
        takes_turns: whether there is one writer at a time, so that a process had better queue for it.
    """

    takes_turns: ClassVar[bool]

    def trouble(self, error: BaseException | None) -> Trouble | None:
        """What an exception, or what it was raised from, says about the database; None: nothing."""
        while error is not None:
            found = self.trouble_with(error)
            if found is not None:
                return found
            error = error.__cause__
        return None

    @abstractmethod
    def trouble_with(self, error: BaseException) -> Trouble | None:
        """Likewise, of the exception itself."""

    @abstractmethod
    def is_lost(self, raw: Any) -> bool:  # noqa: ANN401  the driver's connection
        """Whether the connection has no server any more."""

    def says_undone(self, error: BaseException) -> bool:  # noqa: ARG002  for databases that say why they hang up
        """Whether the error with which the connection ended says that nothing was committed."""
        return False

    @abstractmethod
    def is_standing(self, raw: Any) -> bool:  # noqa: ANN401  likewise
        """Whether a transaction is open on it that can be committed."""

    @abstractmethod
    def prepare(self, raw: Any) -> object:  # noqa: ANN401  likewise
        """Once for each new connection, before the first claim on it. What it gives is handed to `take`."""

    @abstractmethod
    def bound(self, raw: Any, wait_s: float) -> object:  # noqa: ANN401  likewise
        """Bound the wait of what comes next, before a transaction has begun. What it gives is handed to `unbound`."""

    @abstractmethod
    def unbound(self, raw: Any, before: object) -> None:  # noqa: ANN401  likewise
        """Put back the application's own bound."""

    @abstractmethod
    def take(self, raw: Any, claim: Claim, wait_s: float, prepared: object) -> Written | Forgotten | None:  # noqa: ANN401
        """Write the claim in the open transaction; None: another one is there, or was there a moment ago."""

    @abstractmethod
    def read(self, raw: Any, key: bytes, *, is_alone: bool) -> Record | None:  # noqa: ANN401  likewise
        """What is stored under a key.

        Args:
            raw: the connection.
            key: the key.
            is_alone: whether no transaction is open on it, so that what is committed by now is seen.
        """

    @abstractmethod
    def forget(self, raw: Any, claim: Claim, wait_s: float) -> None:  # noqa: ANN401  likewise
        """Let go of an old claim under this one's key, in a transaction of its own."""

    @abstractmethod
    def advance(self, raw: Any, claim: Claim, wait_s: float) -> bool:  # noqa: ANN401  likewise
        """Move the claim's stream on to its number, in the open transaction; False: it is there or beyond."""

    @abstractmethod
    def settle(self, raw: Any, claim: Claim, answer: StoredAnswer, written: Written) -> bool:  # noqa: ANN401  likewise
        """Write the answer; False: the claim is not there any more, or not in this transaction."""

    @abstractmethod
    def commit(self, raw: Any) -> Literal[True] | str:  # noqa: ANN401  likewise
        """Commit; whatever else it says that it did.

        Raises:
            StoreError: where the database's own error says by itself what has become of the transaction.
        """

    @abstractmethod
    def sweep(self, raw: Any, now_unix_ms: int, wait_s: float) -> int:  # noqa: ANN401  likewise
        """Let go of what is due, a bounded number of rows, in a transaction of its own; how many those were."""

    def judge(self, prepared: Any, *, is_running: bool, is_new: bool = False) -> None:  # noqa: ANN401, B027
        """A handler begins or ends, for databases that can be asked what it does.

        Args:
            prepared: what `prepare` has given.
            is_running: which of the two.
            is_new: whether its transaction is.
        """

    def broke(self, prepared: Any) -> str:  # noqa: ANN401, ARG002  likewise
        """What the handler tried that would have ended its transaction; "" if nothing."""
        return ""


def milliseconds(wait_s: float) -> int:
    """For bounds to which 0 means for ever, or not at all."""
    return max(1, round(wait_s * 1000))
