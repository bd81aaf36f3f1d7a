"""One granted claim, until it is settled or abandoned: what all of them have, and those that are nested in another."""

import sqlite3
from abc import abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import StoreUnavailable, TransactionBroken
from tocsin.guard._store import AsyncGranted, Claim, Forgotten, Granted, Record
from tocsin.guard.stores.sqlite import _claims, _sequences
from tocsin.guard.stores.sqlite._transaction import RowFactory, Transaction
from tocsin.guard.stores.sqlite._writer import Writer


class Desk(Protocol):
    """What a unit needs of its store."""

    row_factory: RowFactory | None
    hold_s: float

    def enter(self, unit: "Unit") -> None:
        """The unit is the innermost one of its owner from now on."""
        ...

    def leave(self, unit: "Unit") -> None:
        """The unit has ended; the one that it was nested in is the innermost one again."""
        ...


class Unit(Granted[Transaction], AsyncGranted[Transaction]):
    """A claim that is written in an open transaction, and the handler's side of that transaction.

    Args:
        desk: the store.
        writer: the connection.
        claim: the claim that is written next.
        outer: the unit that this one is nested in, or None.
        who: says who is calling: a thread or a task.
    """

    __slots__ = ("_desk", "_started", "_tx", "claim", "outer", "owner", "writer")

    def __init__(
        self, desk: Desk, writer: Writer, claim: Claim, outer: "Unit | None", who: Callable[[], object]
    ) -> None:
        self.writer = writer
        self.claim = claim
        self.outer = outer
        self.owner = who()
        self._desk = desk
        self._tx = Transaction(writer, desk.row_factory, self.owner, who)
        self._started = monotonic()
        desk.enter(self)

    @property
    def tx(self) -> Transaction:
        """The handler's side of it."""
        return self._tx

    @abstractmethod
    def open_savepoint(self) -> None:
        """What is written from here on can be undone alone. Raises sqlite3.Error."""

    def write_claim(self) -> Record | Forgotten | None:
        """Write the claim, and let the handler begin; or say what stands in its place, and then the unit is to be left.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        writer = self.writer
        authorizer = writer.authorizer
        authorizer.is_judging = False
        taken = _claims.take(writer.cursor, self.claim)
        authorizer.is_judging = taken is None
        return taken

    def advance(self, wait_s: float) -> bool:  # noqa: ARG002  whoever is here has the lock
        """See Granted."""
        writer = self.writer
        authorizer = writer.authorizer
        authorizer.is_judging = False
        try:
            is_newer = _sequences.advance(writer.cursor, self.claim)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the sequence number cannot be stored: {error}") from error
        authorizer.is_judging = True
        return is_newer

    async def advance_async(self, wait_s: float) -> bool:
        """See AsyncGranted."""
        return self.advance(wait_s)

    @abstractmethod
    def give_up(self) -> None:
        """Abandon, and do not use the connection again: something is wrong with it or with its file."""

    def _end_handler(self) -> None:
        self.writer.authorizer.is_judging = False
        self._tx.end()
        held_s = monotonic() - self._started
        if held_s > self._desk.hold_s:
            _log.write_lock_held(self.claim.operation, held_s)

    def _write(self, answer: StoredAnswer, savepoint: str | None) -> None:
        """Write the answer, if the transaction is still the one that the handler got.

        Raises:
            TransactionBroken: it is not.
            StoreUnavailable: the answer cannot be written.
        """
        writer = self.writer
        broke = writer.authorizer.broke
        if broke:
            raise TransactionBroken(f"it tried {broke}")
        if not writer.connection.in_transaction:
            raise TransactionBroken("a statement of it rolled the transaction back")
        try:
            stands = _claims.settle(writer.cursor, self.claim, answer)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the answer cannot be stored: {error}") from error
        if not stands:
            raise TransactionBroken("its claim is not there any more")
        if savepoint is not None:
            try:
                writer.release_savepoint(savepoint)
            except sqlite3.Error as error:
                raise TransactionBroken(f"its savepoint is not there any more: {error}") from error


class Nested(Unit):
    """SAVEPOINT to RELEASE inside another unit of the same thread or task.

    It has a claim and an answer of its own, and is committed when the outer one is, or undone with it.
    """

    __slots__ = ("_savepoint",)

    def __init__(self, desk: Desk, claim: Claim, outer: Unit, who: Callable[[], object]) -> None:
        self._savepoint = outer.writer.open_savepoint()
        super().__init__(desk, outer.writer, claim, outer, who)

    def open_savepoint(self) -> None:
        """See Unit. It is open: without it there would be no unit to leave."""

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        try:
            self._end_handler()
            self._write(answer, self._savepoint)
        except (TransactionBroken, StoreUnavailable):
            self._undo()
            raise
        except BaseException:
            self.give_up()
            raise
        self._desk.leave(self)
        self.writer.authorizer.is_judging = True

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        self.settle(answer)

    def abandon(self) -> None:
        """See Granted."""
        try:
            self._end_handler()
        finally:
            self._undo()

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        self.abandon()

    def give_up(self) -> None:
        """See Unit."""
        self._undo()
        self._break()

    def _undo(self) -> None:
        self._desk.leave(self)
        try:
            self.writer.undo_savepoint(self._savepoint)
        except sqlite3.Error as error:
            _log.store_notice(self.claim.operation, f"it cannot be undone alone: {error}")
            self._break()
        self.writer.authorizer.is_judging = True

    def _break(self) -> None:
        self.writer.authorizer.broke = "to go on after a nested operation that cannot be undone"
