"""One granted claim: an open transaction, or a savepoint in one, until it is settled or abandoned."""

import logging
import sqlite3
from time import monotonic
from typing import Protocol

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown, StoreUnavailable, TransactionBroken
from tocsin.guard._store import Claim, Granted
from tocsin.guard.stores.sqlite import _claims
from tocsin.guard.stores.sqlite._transaction import RowFactory, Transaction
from tocsin.guard.stores.sqlite._writer import Writer, primary_code

_LOG = logging.getLogger("tocsin.guard")
# After these, SQLite says itself that nothing has been committed.
_NOT_COMMITTED = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Desk(Protocol):
    """What a unit needs of its store."""

    row_factory: RowFactory | None
    hold_s: float

    def finish(self, unit: "Unit", *, is_usable: bool) -> None:
        """The unit has ended: its connection may be used again, or not."""
        ...


class Unit(Granted[Transaction]):
    """BEGIN IMMEDIATE to COMMIT; or, inside another unit of the same thread, SAVEPOINT to RELEASE.

    A nested unit has a claim and an answer of its own, and is committed when the outer one is, or undone with it.

    Args:
        desk: the store.
        writer: the connection, its transaction begun.
        claim: the claim that is written next.
        outer: the unit that this one is nested in, or None.
    """

    __slots__ = ("_desk", "_savepoint", "_started", "_tx", "claim", "outer", "writer")

    def __init__(self, desk: Desk, writer: Writer, claim: Claim, outer: "Unit | None") -> None:
        self.writer = writer
        self.claim = claim
        self.outer = outer
        self._desk = desk
        self._savepoint = None if outer is None else writer.open_savepoint()
        self._tx = Transaction(writer, desk.row_factory)
        self._started = monotonic()

    @property
    def tx(self) -> Transaction:
        """The handler's side of it."""
        return self._tx

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        is_usable = False
        try:
            self._end_handler()
            self._write(answer)
            self._keep()
            is_usable = True
        except (TransactionBroken, StoreUnavailable):
            is_usable = self._undo()
            raise
        finally:
            self._desk.finish(self, is_usable=is_usable)

    def abandon(self) -> None:
        """See Granted."""
        is_usable = False
        try:
            self._end_handler()
            is_usable = self._undo()
        finally:
            self._desk.finish(self, is_usable=is_usable)

    def give_up(self) -> None:
        """Abandon, and do not use the connection again: something is wrong with it or with its file."""
        try:
            self._end_handler()
            self._undo()
        finally:
            self._desk.finish(self, is_usable=False)

    def _end_handler(self) -> None:
        self.writer.authorizer.is_judging = False
        self._tx.end()
        held_s = monotonic() - self._started
        if held_s > self._desk.hold_s:
            _LOG.warning(
                "%s: its handler held the write lock for %.0f ms; every other writer waits for that long",
                self.claim.operation,
                held_s * 1000,
            )

    def _write(self, answer: StoredAnswer) -> None:
        broke = self.writer.authorizer.broke
        if broke:
            raise TransactionBroken(f"it tried {broke}")
        if not self.writer.connection.in_transaction:
            raise TransactionBroken("a statement of it rolled the transaction back")
        try:
            stands = _claims.settle(self.writer.connection, self.claim, answer)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the answer cannot be stored: {error}") from error
        if not stands:
            raise TransactionBroken("its claim is not there any more")

    def _keep(self) -> None:
        try:
            if self._savepoint is None:
                self.writer.commit()
            else:
                self.writer.release_savepoint(self._savepoint)
        except sqlite3.Error as error:
            code = primary_code(error)
            if code == sqlite3.SQLITE_CONSTRAINT:
                # A deferred constraint: what the handler wrote cannot be committed.
                raise TransactionBroken(f"COMMIT: {error}") from error
            if code in _NOT_COMMITTED:
                raise StoreUnavailable(f"COMMIT: {error}") from error
            raise CommitUnknown(f"COMMIT: {error}") from error

    def _undo(self) -> bool:
        """Whether the connection can be used again. If not, closing it undoes what is not committed."""
        try:
            if self._savepoint is None:
                self.writer.roll_back()
            else:
                self.writer.undo_savepoint(self._savepoint)
        except sqlite3.Error as error:
            _LOG.warning("%s: the connection is given up because it cannot roll back: %s", self.claim.operation, error)
            return False
        return True
