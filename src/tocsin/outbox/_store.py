"""What every outbox does, whatever database it is in.

Rule: `put` only writes, in the caller's transaction; it opens none and ends none. Everything a runner says is one
statement and one transaction, so that a runner that dies has said it or has not.
"""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from tocsin.outbox import _sql
from tocsin.outbox._errors import OutboxError
from tocsin.outbox._message import (
    MAX_ERROR_CHARACTERS,
    Kept,
    Payload,
    State,
    Taken,
    body_of,
    checked_content_type,
    checked_id,
    checked_name,
)

# 31 years: whatever is longer is no delay, and may be no number that a database keeps.
_MOST_DELAY_S = 10**9


class Executes(Protocol):
    """The caller's transaction: a guard's `tx`, a connection or cursor of the database's driver."""

    def execute(self, statement: str, values: Mapping[str, object], /) -> Any:  # noqa: ANN401  drivers differ
        """Run one statement."""
        ...


class AwaitedExecutes(Protocol):
    """The same, of a task."""

    async def execute(self, statement: str, values: Mapping[str, object], /) -> Any:  # noqa: ANN401  drivers differ
        """Run one statement."""
        ...


class Session:
    """A runner's connection. It is for one thread at a time.

    Every method raises OutboxUnavailable where the same call may succeed later.

    Args:
        run: runs one statement with named values, in a transaction of its own; returns rows, and how many changed.
        locking: what keeps two takers from waiting for one row.
    """

    def __init__(self, run: Callable[[str, Mapping[str, object]], tuple[Sequence[Any], int]], locking: str) -> None:
        self._run = run
        self._take = _sql.take(locking=locking)

    def take(self, destination: str, *, now_s: float, lease_s: float) -> Taken | None:
        """The message that has been due for longest, now this caller's for `lease_s`; None: nothing is due."""
        now = _ms(now_s)
        # Reading costs no write lock; most of the time nothing is due.
        if not self._run(_sql.IS_DUE, {"destination": destination, "now": now})[0]:
            return None
        values = {"destination": destination, "now": now, "again": _ms(now_s + lease_s)}
        rows, _ = self._run(self._take, values)
        if not rows:
            return None
        message_id, name, content_type, body, attempt, failures = rows[0]
        return Taken(message_id, name, content_type, bytes(body), attempt, failures)

    def delivered(self, taken: Taken, *, now_s: float) -> bool:
        """It has been delivered; False: somebody else has taken it since."""
        return self._settle(taken, State.DELIVERED, failures=taken.failures, due=None, now_s=now_s, error=None)

    def failed(self, taken: Taken, *, now_s: float, wait_s: float | None, error: str) -> bool:
        """It is due again after `wait_s`, or dead if that is None; False as for `delivered`."""
        state = State.DEAD if wait_s is None else State.WAITING
        due = None if wait_s is None else _ms(now_s + wait_s)
        return self._settle(taken, state, failures=taken.failures + 1, due=due, now_s=now_s, error=error)

    def list(self, *, state: State | None = None, destination: str | None = None, most: int = 20) -> list[Kept]:
        """The messages that were put last, the newest first."""
        wanted = {"state": None if state is None else state.value, "destination": destination, "most": most}
        return [Kept(row[0], row[1], State(row[2]), *row[3:]) for row in self._run(_sql.LIST, wanted)[0]]

    def counts(self) -> dict[tuple[str, State], int]:
        """How many messages there are, by destination and state."""
        return {(name, State(state)): number for name, state, number in self._run(_sql.COUNT, {})[0]}

    def resend(self, message_id: str, *, now_s: float) -> bool:
        """Make a dead or delivered message due, under the same id; False: there is none of that id, or it waits."""
        return self._run(_sql.RESEND, {"id": message_id, "now": _ms(now_s)})[1] == 1

    def resend_dead(self, destination: str | None, *, now_s: float) -> int:
        """Make every dead message due, or every one for that destination; returns how many."""
        return self._run(_sql.RESEND_DEAD, {"destination": destination, "now": _ms(now_s)})[1]

    def prune(self, *, before_s: float) -> int:
        """Let go of up to 500 messages that were delivered before that time (Unix seconds); returns how many."""
        return self._run(_sql.PRUNE, {"before": _ms(before_s)})[1]

    def _settle(
        self, taken: Taken, state: State, *, failures: int, due: int | None, now_s: float, error: str | None
    ) -> bool:
        values = {
            "id": taken.id,
            "attempt": taken.attempt,
            "state": state.value,
            "failures": failures,
            "due": due,
            "ended": None if state is State.WAITING else _ms(now_s),
            "error": None if error is None else error[:MAX_ERROR_CHARACTERS],
        }
        return self._run(_sql.SETTLE, values)[1] == 1


class Outbox(ABC):
    """Messages that wait in the application's own database until they have been delivered."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The database in words, without a password."""

    @abstractmethod
    def migrate(self) -> None:
        """Create the table where it is missing. Raises OutboxUnavailable."""

    @abstractmethod
    @contextmanager
    def connected(self) -> Iterator[Session]:
        """A connection for a runner, closed afterwards.

        Raises:
            OutboxError: the database has no outbox.
            OutboxUnavailable: it cannot be reached.
        """

    @staticmethod
    @abstractmethod
    def spelled(statement: str) -> str:
        """A statement of `_sql` as the database's driver spells it."""

    def put(
        self,
        tx: Executes,
        destination: str,
        payload: Payload,
        *,
        content_type: str = "application/json",
        message_id: str | None = None,
        delay_s: float = 0.0,
    ) -> str:
        """Write a message in the caller's transaction: it will be sent if that commits, and never if it does not.

        Args:
            tx: what has `execute(statement, values)`: a guard's transaction, a connection or cursor of the driver.
            destination: the name of a [destination] table of the runner.
            payload: bytes are sent as they are, anything else as JSON; at most 1 MiB.
            content_type: of the body.
            message_id: by which the receiver knows a repetition; by default a new one. A second message under one id
                is refused by the database.
            delay_s: not before so many seconds have passed; at most a billion.

        Returns:
            The message id.

        Raises:
            OutboxError: one of these is wrong; nothing was written.
        """
        statement, values = self._row(destination, payload, content_type, message_id, delay_s)
        tx.execute(statement, values)
        return str(values["id"])

    def _row(
        self, destination: str, payload: Payload, content_type: str, message_id: str | None, delay_s: float
    ) -> tuple[str, dict[str, object]]:
        if not 0 <= delay_s <= _MOST_DELAY_S:
            raise OutboxError(f"delay_s = {delay_s}: wanted seconds from 0 to {_MOST_DELAY_S}")
        now_s = time.time()
        return self.spelled(_sql.PUT), {
            "id": new_id() if message_id is None else checked_id(message_id),
            "destination": checked_name(destination),
            "content_type": checked_content_type(content_type),
            "body": body_of(payload),
            "put": _ms(now_s),
            "due": _ms(now_s + delay_s),
        }


def new_id() -> str:
    """A message id that nobody has used: 128 random bits."""
    return f"msg_{secrets.token_hex(16)}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
