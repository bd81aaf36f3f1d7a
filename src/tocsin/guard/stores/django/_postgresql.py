"""The claims in PostgreSQL, over the connection of Django's own backend. psycopg 3.

Rule: the statements mean what those of PostgresStore mean, because both write the same table. The wait for whoever
holds the key is bounded by lock_timeout, and the row that is granted puts the application's own value back.
"""

from typing import Any, Literal

import psycopg
from psycopg import ClientCursor
from psycopg.pq import TransactionStatus

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._keys import KEY_VERSION
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.django._databases import Database, Trouble, Written, claim_values, milliseconds, stream_values

_BOUND = """
    set_config('lock_timeout', %(wait)s,
               set_config('tocsin.lock_timeout', current_setting('lock_timeout'), true) IS NOT NULL)
"""
_TAKE = f"""
    INSERT INTO tocsin_claims
        (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms,
         due_unix_ms)
    SELECT %(key)s, {KEY_VERSION}, %(tenant)s, %(operation)s, %(fingerprint)s, %(taken)s, %(answer_until)s,
           %(claim_until)s, %(due)s
    WHERE {_BOUND} IS NOT NULL
    ON CONFLICT (key) DO NOTHING
    RETURNING pg_current_xact_id()::text, set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)
"""
# How many rows of the key this transaction sees: two, if the old one was let go after its snapshot was taken.
_FORGOTTEN = """
    SELECT (SELECT taken_unix_ms FROM tocsin_forgotten WHERE tenant = %(tenant)s AND operation = %(operation)s),
           (SELECT count(*) FROM tocsin_claims WHERE key = %(key)s)
"""
_READ = """
    SELECT fingerprint, status, headers, body, answer_until_unix_ms, claim_until_unix_ms
    FROM tocsin_claims WHERE key = %(key)s
"""
_ADVANCE = f"""
    INSERT INTO tocsin_sequences AS s (stream, number, tenant, operation, moved_unix_ms)
    SELECT %(stream)s, %(number)s, %(tenant)s, %(operation)s, %(moved)s WHERE {_BOUND} IS NOT NULL
    ON CONFLICT (stream) DO UPDATE SET number = excluded.number, moved_unix_ms = excluded.moved_unix_ms
    WHERE s.number < excluded.number
    RETURNING s.number;
    SELECT set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)
"""
# The transaction's id tells a handler that has committed and begun again.
_SETTLE = """
    UPDATE tocsin_claims SET status = %(status)s, headers = %(headers)s, body = %(body)s
    WHERE key = %(key)s AND status IS NULL AND pg_current_xact_id()::text = %(transaction)s
"""
_REMEMBER = """
    INSERT INTO tocsin_forgotten AS f (tenant, operation, taken_unix_ms)
    SELECT tenant, operation, max(taken_unix_ms) FROM gone GROUP BY tenant, operation
    ON CONFLICT (tenant, operation) DO UPDATE SET taken_unix_ms = greatest(f.taken_unix_ms, excluded.taken_unix_ms)
"""
_FORGET = f"""
    WITH gone AS (
        DELETE FROM tocsin_claims WHERE key = %(key)s AND status IS NOT NULL AND claim_until_unix_ms <= %(now)s
        RETURNING tenant, operation, taken_unix_ms
    ) {_REMEMBER}
"""  # noqa: S608  constants only
_SWEPT_AT_ONCE = 500
_SWEEP = f"""
    WITH due AS (
        SELECT key, coalesce(claim_until_unix_ms <= %(now)s, false) AS is_over FROM tocsin_claims
        WHERE due_unix_ms <= %(now)s AND status IS NOT NULL
        ORDER BY due_unix_ms LIMIT {_SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM tocsin_claims AS c USING due WHERE c.key = due.key AND due.is_over
        RETURNING c.tenant, c.operation, c.taken_unix_ms
    ), stripped AS (
        UPDATE tocsin_claims AS c SET headers = NULL, body = NULL, due_unix_ms = c.claim_until_unix_ms
        FROM due WHERE c.key = due.key AND NOT due.is_over
        RETURNING 1
    ), remembered AS ({_REMEMBER})
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM stripped)
"""  # noqa: S608  constants only
# What is read and let go outside of handlers' transactions cannot conflict, whatever the application's default.
_APART = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {bound}; {statement}; COMMIT"
_READ_APART = f"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {_READ}; COMMIT"

_CONFLICTS = frozenset({"40001", "40P01"})
_LOCK_TIMEOUT, _UNDEFINED_TABLE, _IDLE_TIMEOUT = "55P03", "42P01", "25P03"
# A standby; time-outs of idle and of long transactions; object_in_use. Then connection, resources, operator, system,
# internal: by appendix A of PostgreSQL's manual.
_UNAVAILABLE = frozenset({"25006", _IDLE_TIMEOUT, "25P04", "55P03", "55006"})
_UNAVAILABLE_CLASSES = frozenset({"08", "53", "57", "58", "XX"})

# For the guard's transactions alone: a killed client frees its key within 50 ms and not within seconds, one whose
# machine vanished within half a minute and not within hours, and a handler that hangs is rolled back.
_LOCAL = {
    "client_connection_check_interval": "50",
    "idle_in_transaction_session_timeout": "30000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_FOUND = "SELECT name, setting, source FROM pg_settings WHERE name = ANY(%(names)s)"


class PostgreSQL(Database):
    """See Database."""

    takes_turns = False

    def trouble_with(self, error: BaseException) -> Trouble | None:
        """See Database."""
        if not isinstance(error, psycopg.Error):
            return None
        code = error.sqlstate
        if code is None:
            # Not from the server: the connection failed, or the call was wrong.
            lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            return Trouble.UNAVAILABLE if lost else Trouble.STATEMENT
        if code in _CONFLICTS:
            return Trouble.CONFLICT
        if code == _UNDEFINED_TABLE and "tocsin_" in (error.diag.message_primary or ""):
            return Trouble.NO_TABLE
        # A lock on the table has no such context; a lock on the key is met while its index is written.
        if code == _LOCK_TIMEOUT and "tocsin_claims" in (error.diag.context or ""):
            return Trouble.IN_USE
        return Trouble.UNAVAILABLE if code in _UNAVAILABLE or code[:2] in _UNAVAILABLE_CLASSES else Trouble.STATEMENT

    def is_lost(self, raw: Any) -> bool:  # noqa: ANN401  the driver's connection
        """See Database."""
        return bool(raw.closed)

    def says_undone(self, error: BaseException) -> bool:
        """See Database. The server had ended a handler that did nothing for too long, before COMMIT reached it."""
        return isinstance(error, psycopg.Error) and error.sqlstate == _IDLE_TIMEOUT

    def is_standing(self, raw: Any) -> bool:  # noqa: ANN401  likewise
        """See Database."""
        return bool(raw.info.transaction_status == TransactionStatus.INTRANS)

    def prepare(self, raw: Any) -> str:  # noqa: ANN401  likewise
        """What a transaction of the guard's begins with: settings that nobody else has made, until its end."""
        names = [*_LOCAL, "synchronous_commit", "fsync"]
        found = {name: (value, source) for name, value, source in _cursor(raw).execute(_FOUND, {"names": names})}
        local = {name: value for name, value in _LOCAL.items() if found.get(name, ("", ""))[1] == "default"}
        if found.get("synchronous_commit", ("", ""))[0] == "off":
            # What was answered would be lost with the power.
            local["synchronous_commit"] = "on"
        if found.get("fsync", ("", ""))[0] == "off":
            _log.store_notice("PostgreSQL", "fsync = off: what was answered does not survive the loss of power")
        items = [item for item in local.items() if _is_permitted(raw, item)]
        return f"SELECT {', '.join(map(_local, items))};" if items else ""

    def bound(self, raw: Any, wait_s: float) -> None:  # noqa: ANN401  likewise
        """See Database. Beginning waits for nothing here."""

    def unbound(self, raw: Any, before: object) -> None:  # noqa: ANN401  likewise
        """See Database."""

    def take(self, raw: Any, claim: Claim, wait_s: float, prepared: object) -> Written | Forgotten | None:  # noqa: ANN401
        """See Database."""
        values = claim_values(claim) | {"wait": str(milliseconds(wait_s))}
        statements = [_TAKE] if claim.earliest_unix_ms is None else [_TAKE, _FORGOTTEN]
        cursor = _cursor(raw).execute(f"{prepared}{';'.join(statements)}", values)
        if prepared:
            cursor.nextset()
        inserted = cursor.fetchone()
        if inserted is None:
            return None
        if claim.earliest_unix_ms is not None:
            cursor.nextset()
            [(forgotten_unix_ms, rows)] = cursor.fetchall()
            if rows > 1:
                return None
            # Only when a clock has gone back is a message within its tolerance, and as old as a claim that was let go.
            if forgotten_unix_ms is not None and forgotten_unix_ms >= claim.earliest_unix_ms:
                return Forgotten()
        return Written(int(inserted[0]))

    def read(self, raw: Any, key: bytes, *, is_alone: bool) -> Record | None:  # noqa: ANN401  likewise
        """See Database."""
        cursor = _cursor(raw).execute(_READ_APART if is_alone else _READ, {"key": key})
        if is_alone:
            cursor.nextset()
        row = cursor.fetchone()
        return None if row is None else Record(*row)

    def forget(self, raw: Any, claim: Claim, wait_s: float) -> None:  # noqa: ANN401  likewise
        """See Database."""
        values = {"key": claim.key, "now": claim.taken_unix_ms, "wait": str(milliseconds(wait_s))}
        _cursor(raw).execute(_APART.format(bound=_BOUND, statement=_FORGET), values)

    def advance(self, raw: Any, claim: Claim, wait_s: float) -> bool:  # noqa: ANN401  likewise
        """See Database."""
        values = stream_values(claim) | {"wait": str(milliseconds(wait_s))}
        return _cursor(raw).execute(_ADVANCE, values).fetchone() is not None

    def settle(self, raw: Any, claim: Claim, answer: StoredAnswer, written: Written) -> bool:  # noqa: ANN401  likewise
        """See Database."""
        values = {
            "status": answer.status,
            "headers": answer.headers,
            "body": answer.body,
            "key": claim.key,
            "transaction": str(written.transaction_id),
        }
        return _cursor(raw).execute(_SETTLE, values).rowcount == 1

    def commit(self, raw: Any) -> Literal[True] | str:  # noqa: ANN401  likewise
        """See Database. COMMIT of a transaction that was aborted raises nothing: it says ROLLBACK."""
        tag = _cursor(raw).execute("COMMIT").statusmessage
        return True if tag == "COMMIT" else str(tag)

    def sweep(self, raw: Any, now_unix_ms: int, wait_s: float) -> int:  # noqa: ANN401  likewise
        """See Database."""
        values = {"now": now_unix_ms, "wait": str(milliseconds(wait_s))}
        cursor = _cursor(raw).execute(_APART.format(bound=_BOUND, statement=_SWEEP), values)
        cursor.nextset()
        cursor.nextset()
        [(swept,)] = cursor.fetchall()
        return int(swept)


def _local(item: tuple[str, str]) -> str:
    """Names and values are this module's own."""
    return f"set_config('{item[0]}', '{item[1]}', true)"


def _is_permitted(raw: psycopg.Connection[Any], item: tuple[str, str]) -> bool:
    """Each by itself, because a platform may refuse one."""
    try:
        _cursor(raw).execute(f"SELECT {_local(item)}")
    except psycopg.Error as error:
        if raw.closed:
            raise
        _log.store_notice("PostgreSQL", f"{item[0]} = {item[1]} is refused: {error}")
        return False
    return True


def _cursor(raw: psycopg.Connection[Any]) -> ClientCursor[tuple[Any, ...]]:
    """One that sends several statements, with their values, as one message, and prepares none."""
    return ClientCursor(raw)
