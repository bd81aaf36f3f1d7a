"""One granted claim: a block of Django's in which the claim is written, until it is settled or abandoned."""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import django.db

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import (
    CommitUnknown,
    StoreError,
    StoreUnavailable,
    TransactionBroken,
    TransactionConflict,
)
from tocsin.guard._store import Claim, Granted
from tocsin.guard.stores.django._block import Block
from tocsin.guard.stores.django._databases import Database, Trouble, Written
from tocsin.guard.stores.django._transaction import Transaction
from tocsin.guard.stores.django._watch import Watch, watching_others


@dataclass(frozen=True, slots=True)
class Desk:
    """What a unit needs of its store, for one connection.

    Args:
        database: what the connection speaks.
        prepared: the connection's own, of Database.prepare.
        uncovered: other databases that handlers may write to.
        finish: called when a unit has ended.
    """

    database: Database
    prepared: object
    uncovered: Collection[str]
    finish: "Callable[[Unit], None]"


class Unit(Granted[Transaction]):
    """BEGIN to COMMIT; or, inside another unit of the same thread or a test case of Django's, a savepoint.

    Args:
        desk: of the store.
        block: in which the claim is written.
        claim: what was written.
        written: in which transaction.
        outer: the unit that this one is nested in, or None.
    """

    __slots__ = ("_block", "_desk", "_running", "_tx", "_watch", "_written", "claim", "outer")

    def __init__(self, desk: Desk, block: Block, claim: Claim, written: Written, outer: "Unit | None") -> None:
        self.claim = claim
        self.outer = outer
        self._desk = desk
        self._block = block
        self._written = written
        self._tx = Transaction(block.connection)
        self._running = ExitStack()
        if outer is None:
            self._watch = Watch(desk.database)
            self._running.enter_context(block.connection.execute_wrapper(self._watch))
            self._running.enter_context(watching_others(block.connection.alias, desk.uncovered))
        else:
            self._watch = outer._watch  # noqa: SLF001  another unit's
        desk.database.judge(desk.prepared, is_running=True, is_new=outer is None)

    @property
    def tx(self) -> Transaction:
        """See Granted."""
        return self._tx

    @property
    def connection(self) -> Any:  # noqa: ANN401  Django has no types
        """Django's."""
        return self._block.connection

    def advance(self, wait_s: float) -> bool:
        """See Granted."""
        database = self._desk.database
        database.judge(self._desk.prepared, is_running=False)
        try:
            return database.advance(self._block.raw, self.claim, wait_s)
        except Exception as error:
            trouble = database.trouble(error)
            if trouble is None:
                raise
            if trouble is Trouble.CONFLICT:
                raise self._conflict(text_of(error)) from error
            raise StoreUnavailable(f"the sequence number cannot be stored: {text_of(error)}") from error
        finally:
            database.judge(self._desk.prepared, is_running=True)

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        try:
            self._end_handler()
            self._check()
            self._keep(answer)
        except BaseException:
            self._block.undo()
            raise
        finally:
            self._finish()
        if self._block.is_whole:
            # Only now, with nothing of the guard's around them: callbacks may send messages that are guarded too.
            self._block.leave()

    def abandon(self) -> None:
        """See Granted."""
        try:
            self._end_handler()
        finally:
            self._block.undo()
            self._finish()

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted. A nested unit's transaction is the outer one's to run again."""
        if self.outer is not None:
            return False
        return self._watch.is_conflict or self._desk.database.trouble(error) is Trouble.CONFLICT

    def has_conflict(self) -> None:
        """The transaction conflicts with another one, as has shown in a unit that is nested in this one."""
        self._watch.is_conflict = True

    def _end_handler(self) -> None:
        self._desk.database.judge(self._desk.prepared, is_running=False)
        self._tx.end()

    def _finish(self) -> None:
        self._running.close()
        if not self._block.is_inherited:
            # The store of a forked child has begun anew.
            self._desk.finish(self)
        if self.outer is not None:
            self._desk.database.judge(self._desk.prepared, is_running=True)

    def _check(self) -> None:
        """Whether the handler left a transaction that can be committed."""
        block, database = self._block, self._desk.database
        if block.is_inherited:
            raise StoreUnavailable("this process was forked while the handler ran; the transaction is its parent's")
        broke = self._watch.broke or database.broke(self._desk.prepared)
        if broke:
            raise TransactionBroken(f"it tried {broke}")
        if database.is_lost(block.raw) and not block.connection.closed_in_transaction:
            raise StoreUnavailable("the connection was lost while the handler ran; nothing was committed")
        fault = block.fault
        if not fault and not database.is_standing(block.raw):
            fault = "a statement of it failed outside of any atomic block, or ended the transaction"
        if fault:
            raise self._conflict(fault) if self._watch.is_conflict else TransactionBroken(fault)

    def _keep(self, answer: StoredAnswer) -> None:
        database, raw = self._desk.database, self._block.raw
        try:
            stands = database.settle(raw, self.claim, answer, self._written)
            done = stands and self._kept()
        except StoreError:
            raise
        except Exception as error:
            if database.trouble(error) is None:
                raise
            raise self._not_kept(error) from error
        if not stands:
            raise TransactionBroken("its claim is not there any more, or not in this transaction")
        # COMMIT of a transaction that was aborted raises nothing.
        if done is not True:
            raise TransactionBroken(f"the database answered {done!r} to COMMIT")

    def _kept(self) -> Literal[True] | str:
        if self._block.is_whole:
            return self._desk.database.commit(self._block.raw)
        self._block.leave()
        return True

    def _not_kept(self, error: Exception) -> StoreError:
        """What an error says that came instead of the answer to COMMIT, or to releasing the savepoint."""
        database = self._desk.database
        text = text_of(error)
        if database.is_lost(self._block.raw):
            if self._block.is_whole and not database.says_undone(error):
                return CommitUnknown(text)
            return StoreUnavailable(f"the connection was lost: {text}")
        trouble = database.trouble(error)
        if trouble is Trouble.CONFLICT:
            return self._conflict(text)
        # What is left is a deferred constraint: what the handler wrote cannot be committed.
        return TransactionBroken(text) if trouble is Trouble.STATEMENT else StoreUnavailable(text)

    def _conflict(self, text: str) -> StoreError:
        if self.outer is None:
            return TransactionConflict(text)
        # Only the whole transaction can run again: the outermost unit asks for this when its handler has ended.
        self.has_conflict()
        return StoreUnavailable(text)


def text_of(error: BaseException) -> str:
    """Without the statement and its values, and without what drivers add on further lines."""
    cause = error.__cause__ if isinstance(error, django.db.Error) and error.__cause__ is not None else error
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    return primary or str(cause).partition("\n")[0]
