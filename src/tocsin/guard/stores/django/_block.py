"""One atomic block of Django's, entered and left by the guard.

Rule: Django's own Atomic begins and ends, so what an application builds on it (on_commit, nested blocks, durable ones)
means what it says. Where a handler has left the connection in another state than it got it in, nothing of that state
is believed: the connection is closed, and the database rolls back.
"""

import os
from contextlib import suppress
from typing import Any

from django.db import Error, transaction

from tocsin.guard import _log


class _UndoneError(Exception):
    """Makes Atomic roll back."""


class Block:
    """An open transaction; or, inside another one, a savepoint.

    Args:
        connection: of Django.

    Attributes:
        raw: the driver's connection.
        is_whole: whether it is the whole transaction.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  Django has no types
        self.connection = connection
        self.is_whole = not connection.in_atomic_block
        self._pid = os.getpid()
        self._atomic = transaction.Atomic(connection.alias, savepoint=True, durable=False)
        self._atomic.__enter__()
        self.raw: Any = connection.connection
        self._depth = len(connection.atomic_blocks), len(connection.savepoint_ids)

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked since, and the connection is its parent's."""
        return self._pid != os.getpid()

    @property
    def fault(self) -> str:
        """What a handler has done to it, or ""."""
        connection = self.connection
        if connection.closed_in_transaction or connection.connection is not self.raw:
            return "it closed the connection"
        if not self._is_innermost:
            return "it began or ended a transaction by itself, or left an atomic block open"
        if connection.needs_rollback:
            return "it asked for a rollback, or a statement of it failed in a block without a savepoint"
        return ""

    def leave(self) -> None:
        """After COMMIT: run what waits for it. Or release the savepoint. Raises django.db.Error."""
        if not self.is_whole:
            self._atomic.__exit__(None, None, None)
            return
        # It is committed, whatever happens now: Django logs what its callbacks raise, and runs the others.
        connection = self.connection
        connection.run_on_commit = [
            (savepoints, callback, True) for savepoints, callback, _ in connection.run_on_commit
        ]
        try:
            self._atomic.__exit__(None, None, None)
        except Error as error:
            _log.store_notice(connection.alias, f"the connection was lost after COMMIT: {error}")
            self._hang_up()

    def undo(self) -> None:
        """Roll back, and leave the connection as it was before. Never raises."""
        if self.is_inherited:
            return
        connection = self.connection
        depth, savepoints = self._depth
        if connection.connection is not self.raw or connection.atomic_blocks[depth - 1 : depth] != [self._atomic]:
            self._hang_up()
            return
        del connection.atomic_blocks[depth:]
        del connection.savepoint_ids[savepoints:]
        try:
            self._atomic.__exit__(_UndoneError, _UndoneError(), None)
        except Error:
            self._hang_up()

    @property
    def _is_innermost(self) -> bool:
        connection = self.connection
        depth = len(connection.atomic_blocks), len(connection.savepoint_ids)
        return bool(
            connection.in_atomic_block and depth == self._depth and connection.atomic_blocks[-1] is self._atomic
        )

    def _hang_up(self) -> None:
        hang_up(self.connection)


def hang_up(connection: Any) -> None:  # noqa: ANN401  Django has no types
    """Close the connection, whatever its state; Django opens another one when it is used again."""
    with suppress(Exception):
        connection._close()  # noqa: SLF001  `close` would keep the state for a block that nobody leaves
    connection.connection = None
    connection.in_atomic_block = connection.closed_in_transaction = connection.needs_rollback = False
    connection.atomic_blocks, connection.savepoint_ids, connection.run_on_commit = [], [], []
