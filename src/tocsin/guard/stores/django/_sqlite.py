"""The claims in SQLite, over the connection of Django's own backend.

Rule: the claim is the first thing that the transaction writes, so from then on it holds SQLite's write lock, and
whatever the handler reads is still true when it is committed. What is written is what SQLiteStore writes; here is when,
and on which connection.
"""

import sqlite3
from contextlib import suppress
from typing import Any, Literal

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.django._databases import Database, Trouble, Written, milliseconds
from tocsin.guard.stores.sqlite import _claims, _sequences
from tocsin.guard.stores.sqlite._codes import is_down, not_committed

_FULL = 2


class _Judge:
    """Asked by SQLite about every statement that it compiles: whatever its text, none may end the transaction."""

    def __init__(self) -> None:
        self.is_judging = False
        self.broke = ""

    def __call__(self, action: int, first: str | None, *_: str | None) -> int:
        if not self.is_judging or action != sqlite3.SQLITE_TRANSACTION:
            return sqlite3.SQLITE_OK
        self.broke = first or "to end its transaction"
        return sqlite3.SQLITE_DENY


class SQLite(Database):
    """See Database."""

    takes_turns = True

    def trouble_with(self, error: BaseException) -> Trouble | None:
        """See Database."""
        if not isinstance(error, sqlite3.Error):
            return None
        if str(error).startswith("no such table: tocsin_"):
            return Trouble.NO_TABLE
        return Trouble.UNAVAILABLE if is_down(error) else Trouble.STATEMENT

    def is_lost(self, raw: Any) -> bool:  # noqa: ANN401, ARG002  there is no server
        """See Database."""
        return False

    def is_standing(self, raw: Any) -> bool:  # noqa: ANN401  the driver's connection
        """See Database."""
        return bool(raw.in_transaction)

    def prepare(self, raw: Any) -> _Judge:  # noqa: ANN401  likewise
        """See Database."""
        judge = _Judge()
        raw.set_authorizer(judge)
        if raw.execute("PRAGMA synchronous").fetchone()[0] < _FULL:
            raw.execute("PRAGMA synchronous = FULL")
            _log.store_notice("SQLite", "synchronous = FULL: what was answered has to survive the loss of power")
        return judge

    def bound(self, raw: Any, wait_s: float) -> int:  # noqa: ANN401  likewise
        """See Database."""
        before = int(raw.execute("PRAGMA busy_timeout").fetchone()[0])
        raw.execute(f"PRAGMA busy_timeout = {milliseconds(wait_s)}")
        return before

    def unbound(self, raw: Any, before: object) -> None:  # noqa: ANN401  likewise
        """See Database."""
        raw.execute(f"PRAGMA busy_timeout = {before}")

    def take(self, raw: Any, claim: Claim, wait_s: float, prepared: object) -> Written | Forgotten | None:  # noqa: ANN401, ARG002
        """See Database. An old claim that has had its time is replaced: nobody else writes meanwhile."""
        found = _claims.take(raw, claim)
        if found is None:
            return Written(None)
        return found if isinstance(found, Forgotten) else None

    def read(self, raw: Any, key: bytes, *, is_alone: bool) -> Record | None:  # noqa: ANN401, ARG002  one view for all
        """See Database."""
        return _claims.read(raw, key)

    def forget(self, raw: Any, claim: Claim, wait_s: float) -> None:  # noqa: ANN401  likewise
        """See Database. `take` has done so."""

    def advance(self, raw: Any, claim: Claim, wait_s: float) -> bool:  # noqa: ANN401, ARG002  whoever is here has the lock
        """See Database."""
        return _sequences.advance(raw, claim)

    def settle(self, raw: Any, claim: Claim, answer: StoredAnswer, written: Written) -> bool:  # noqa: ANN401, ARG002
        """See Database."""
        return _claims.settle(raw, claim, answer)

    def commit(self, raw: Any) -> Literal[True] | str:  # noqa: ANN401  likewise
        """See Database."""
        try:
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            raise not_committed(error) from error
        return True

    def sweep(self, raw: Any, now_unix_ms: int, wait_s: float) -> int:  # noqa: ANN401  likewise
        """See Database."""
        before = self.bound(raw, wait_s)
        try:
            raw.execute("BEGIN IMMEDIATE")
            try:
                swept = _claims.sweep(raw, now_unix_ms)
                raw.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    raw.execute("ROLLBACK")
                raise
        finally:
            self.unbound(raw, before)
        return swept

    def judge(self, prepared: Any, *, is_running: bool, is_new: bool = False) -> None:  # noqa: ANN401  a _Judge
        """See Database."""
        prepared.is_judging = is_running
        if is_new:
            prepared.broke = ""

    def broke(self, prepared: Any) -> str:  # noqa: ANN401  likewise
        """See Database."""
        broke: str = prepared.broke
        return broke
