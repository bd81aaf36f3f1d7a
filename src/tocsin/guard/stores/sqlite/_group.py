"""Requests that share one COMMIT: they run one after the other in one transaction, each in a savepoint of its own.

Rule: nobody of them is answered before that COMMIT has succeeded, not even who wrote nothing: it has seen what the
others wrote. If it does not succeed, nobody knows whose fault that was, so each of them runs again, alone.
"""

import sqlite3
from time import monotonic

from tocsin.guard._errors import CommitUnknown, GroupBroken, StoreError
from tocsin.guard._sleepers import Sleeper
from tocsin.guard.stores.sqlite._codes import not_committed
from tocsin.guard.stores.sqlite._writer import Writer

# More members, or more time, save little of what a COMMIT costs, and the first one waits for the last one's.
MOST_MEMBERS = 64
LONGEST_S = 0.005


class Group:
    """The members of one transaction. Whoever has the turn may change it.

    Args:
        writer: the connection, its transaction begun.
        is_shared: whether others may join; if not, the only member needs no savepoint.

    Attributes:
        asleep: the members that have run, and wait for COMMIT.
        kept: how many have run, and want it.
        is_closing: whether an event loop will see to it in its next round.
        is_ending: whether it is under way.
        is_over: whether COMMIT or ROLLBACK has been done, and everybody may go.
        error: why nothing was committed.
    """

    __slots__ = ("_closes_at", "asleep", "error", "is_closing", "is_ending", "is_over", "is_shared", "kept", "writer")

    def __init__(self, writer: Writer, *, is_shared: bool) -> None:
        self.writer = writer
        self.is_shared = is_shared
        self.asleep: list[Sleeper] = []
        self.kept = 0
        self.is_closing = self.is_ending = self.is_over = False
        self.error: StoreError | None = None
        self._closes_at = monotonic() + LONGEST_S if is_shared else 0.0

    @property
    def is_open(self) -> bool:
        """Whether another one may join."""
        return self.is_shared and len(self.asleep) < MOST_MEMBERS - 1 and monotonic() < self._closes_at

    def commit(self) -> StoreError | None:
        """COMMIT; why it failed, if it did."""
        try:
            self.writer.commit()
        except sqlite3.Error as error:
            return self._failed(error)
        return None

    def learn(self, *, woken: bool) -> None:
        """How it ended, for a member that slept.

        Raises:
            StoreError: nothing was committed; or the member has slept for too long, and does not know.
        """
        if not woken and not self.is_over:
            raise CommitUnknown("a request of the same group has not ended yet")
        if self.error is not None:
            # One of its own for each: a traceback belongs to a thread.
            raise type(self.error)(*self.error.args)

    def broken(self) -> GroupBroken | None:
        """What to tell everybody if its transaction does not stand; None: nobody else is concerned."""
        return GroupBroken("a request of the same group broke the transaction") if self.asleep else None

    def _failed(self, error: sqlite3.Error) -> StoreError:
        told = not_committed(error)
        if self.asleep and not isinstance(told, CommitUnknown):
            return GroupBroken(f"COMMIT of the group: {error}")
        return told
