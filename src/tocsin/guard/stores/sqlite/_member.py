"""One granted claim in a group: from the moment the turn comes to it until its COMMIT."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GroupBroken, StoreUnavailable, TransactionBroken
from tocsin.guard._store import Claim
from tocsin.guard.stores.sqlite._group import Group
from tocsin.guard.stores.sqlite._unit import Desk, Unit
from tocsin.guard.stores.sqlite._write_turns import WriteTurns


class MemberDesk(Desk, Protocol):
    """What a member needs of its store besides."""

    turns: WriteTurns

    def will_run_alone(self, key: bytes) -> None:
        """The group was broken: the next transaction that takes this key is shared with nobody."""
        ...


class Member(Unit):
    """SAVEPOINT to RELEASE in a group's transaction; or, where nobody shares it, BEGIN to COMMIT.

    Args:
        desk: the store.
        group: its group.
        claim: the claim that is written next.
        wait_s: how long to wait for the other members.
        who: says who is calling: a thread or a task.
    """

    _desk: MemberDesk
    __slots__ = ("_group", "_savepoint", "_turns", "_wait_s")

    def __init__(self, desk: MemberDesk, group: Group, claim: Claim, wait_s: float, who: Callable[[], object]) -> None:
        self._turns = desk.turns
        self._group = group
        self._wait_s = wait_s
        self._savepoint: str | None = None
        super().__init__(desk, group.writer, claim, None, who)

    def open_savepoint(self) -> None:
        """What this member writes can be undone without what the others wrote. Raises sqlite3.Error."""
        self.writer.authorizer.broke = ""
        if self._group.is_shared:
            self._savepoint = self.writer.open_savepoint()

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        try:
            try:
                self._finish(answer)
            except (TransactionBroken, StoreUnavailable):
                self._turns.drop(self._group, self._savepoint, self._wait_s)
                raise
            self._turns.keep(self._group, self._wait_s)
        except GroupBroken:
            self._desk.will_run_alone(self.claim.key)
            raise

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        try:
            try:
                self._finish(answer)
            except (TransactionBroken, StoreUnavailable):
                await self._turns.drop_async(self._group, self._savepoint, self._wait_s)
                raise
            await self._turns.keep_async(self._group, self._wait_s)
        except GroupBroken:
            self._desk.will_run_alone(self.claim.key)
            raise

    def abandon(self) -> None:
        """See Granted."""
        self._leave()
        try:
            self._turns.drop(self._group, self._savepoint, self._wait_s)
        except GroupBroken:
            self._desk.will_run_alone(self.claim.key)
            raise

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        self._leave()
        try:
            await self._turns.drop_async(self._group, self._savepoint, self._wait_s)
        except GroupBroken:
            self._desk.will_run_alone(self.claim.key)
            raise

    def give_up(self) -> None:
        """See Unit. Raises GroupBroken: others were concerned."""
        self._leave()
        self._turns.undo(self._group, is_usable=False)

    def _finish(self, answer: StoredAnswer) -> None:
        self._leave()
        try:
            self._write(answer, self._savepoint)
        except (TransactionBroken, StoreUnavailable):
            raise
        except BaseException:
            with suppress(GroupBroken):
                self._turns.undo(self._group, is_usable=False)
            raise

    def _leave(self) -> None:
        """The handler has ended. Whatever interrupts this, its transaction does not stay open."""
        try:
            self._end_handler()
        except BaseException:
            with suppress(GroupBroken):
                self._turns.undo(self._group, is_usable=False)
            raise
        finally:
            self._desk.leave(self)
