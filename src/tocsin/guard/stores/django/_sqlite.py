"""The claims in SQLite, over the connection of Django's own backend.

Rule: the claim is the first thing that the transaction writes, so from then on it holds SQLite's write lock, and
whatever the handler reads is still true when it is committed. The statements mean what those of SQLiteStore mean,
because both write the same table.
"""

import sqlite3
from contextlib import suppress
from typing import Any, Literal

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._keys import KEY_VERSION
from tocsin.guard._retention import is_forgettable
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.django._databases import Database, Trouble, Written, claim_values, milliseconds, stream_values

# A claim whose message may be as old as one that was forgotten is not taken: only when a clock has gone back can a
# message be within its tolerance and that old.
_TAKE = f"""
    INSERT INTO tocsin_claims
        (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms)
    SELECT :key, {KEY_VERSION}, :tenant, :operation, :fingerprint, :taken, :answer_until, :claim_until
    WHERE NOT EXISTS (
        SELECT 1 FROM tocsin_forgotten
        WHERE tenant = :tenant AND operation = :operation AND taken_unix_ms >= :earliest
    )
    ON CONFLICT (key) DO NOTHING
"""  # noqa: S608  constants only
_READ = """
    SELECT fingerprint, status, headers, body, answer_until_unix_ms, claim_until_unix_ms
    FROM tocsin_claims WHERE key = :key
"""
_ADVANCE = """
    INSERT INTO tocsin_sequences (stream, number, tenant, operation, moved_unix_ms)
    VALUES (:stream, :number, :tenant, :operation, :moved)
    ON CONFLICT (stream) DO UPDATE SET number = excluded.number, moved_unix_ms = excluded.moved_unix_ms
    WHERE number < excluded.number
"""
_SETTLE = """
    UPDATE tocsin_claims
    SET status = :status, headers = :headers, body = :body,
        due_unix_ms = coalesce(answer_until_unix_ms, claim_until_unix_ms)
    WHERE key = :key AND status IS NULL
"""
_REMEMBER = """
    INSERT INTO tocsin_forgotten (tenant, operation, taken_unix_ms)
    SELECT tenant, operation, max(taken_unix_ms) FROM tocsin_claims WHERE {rows} GROUP BY tenant, operation
    ON CONFLICT (tenant, operation) DO UPDATE SET taken_unix_ms = max(taken_unix_ms, excluded.taken_unix_ms)
"""
# A bounded number of rows at a time: whoever sweeps holds the write lock.
_DUE = "id IN (SELECT id FROM tocsin_claims WHERE due_unix_ms <= :now ORDER BY due_unix_ms LIMIT 500)"
_OVER = f"{_DUE} AND claim_until_unix_ms <= :now"
_STRIP = f"UPDATE tocsin_claims SET headers = NULL, body = NULL, due_unix_ms = claim_until_unix_ms WHERE {_DUE}"  # noqa: S608  constants only

_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
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
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
        return Trouble.UNAVAILABLE if code in _UNAVAILABLE else Trouble.STATEMENT

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
        values = claim_values(claim)
        if raw.execute(_TAKE, values).rowcount == 1:
            return Written(None)
        found = self.read(raw, claim.key, is_alone=False)
        if found is None:
            return Forgotten()
        if not is_forgettable(found, claim.taken_unix_ms):
            return None
        raw.execute(_REMEMBER.format(rows="key = :key"), values)
        raw.execute("DELETE FROM tocsin_claims WHERE key = :key", values)
        return Written(None) if raw.execute(_TAKE, values).rowcount == 1 else Forgotten()

    def read(self, raw: Any, key: bytes, *, is_alone: bool) -> Record | None:  # noqa: ANN401, ARG002  one view for all
        """See Database."""
        row = raw.execute(_READ, {"key": key}).fetchone()
        return None if row is None else Record(*row)

    def forget(self, raw: Any, claim: Claim, wait_s: float) -> None:  # noqa: ANN401  likewise
        """See Database. `take` has done so."""

    def advance(self, raw: Any, claim: Claim, wait_s: float) -> bool:  # noqa: ANN401, ARG002  whoever is here has the lock
        """See Database."""
        return bool(raw.execute(_ADVANCE, stream_values(claim)).rowcount == 1)

    def settle(self, raw: Any, claim: Claim, answer: StoredAnswer, written: Written) -> bool:  # noqa: ANN401, ARG002
        """See Database."""
        values = {"status": answer.status, "headers": answer.headers, "body": answer.body, "key": claim.key}
        return bool(raw.execute(_SETTLE, values).rowcount == 1)

    def commit(self, raw: Any) -> Literal[True] | str:  # noqa: ANN401  likewise
        """See Database."""
        raw.execute("COMMIT")
        return True

    def sweep(self, raw: Any, now_unix_ms: int, wait_s: float) -> int:  # noqa: ANN401  likewise
        """See Database."""
        due = {"now": now_unix_ms}
        before = self.bound(raw, wait_s)
        try:
            raw.execute("BEGIN IMMEDIATE")
            try:
                raw.execute(_REMEMBER.format(rows=_OVER), due)
                gone = raw.execute(f"DELETE FROM tocsin_claims WHERE {_OVER}", due).rowcount  # noqa: S608  constants only
                stripped = raw.execute(_STRIP, due).rowcount
                raw.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    raw.execute("ROLLBACK")
                raise
        finally:
            self.unbound(raw, before)
        return int(gone + stripped)

    def judge(self, prepared: Any, *, is_running: bool, is_new: bool = False) -> None:  # noqa: ANN401  a _Judge
        """See Database."""
        prepared.is_judging = is_running
        if is_new:
            prepared.broke = ""

    def broke(self, prepared: Any) -> str:  # noqa: ANN401  likewise
        """See Database."""
        broke: str = prepared.broke
        return broke
