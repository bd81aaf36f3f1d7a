"""The claims in PostgreSQL, over the connection of Django's own backend. psycopg 3.

Rule: what is said to the server, and what its answers mean, is PostgresStore's, but for the end: COMMIT is a message of
its own here, because Django has something to do between the answer and it.
"""

from typing import Any, Literal, TypeVar

import psycopg
from psycopg import ClientCursor
from psycopg.pq import TransactionStatus

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard._talks import performed
from tocsin.guard.stores.django._databases import Database, Trouble, Written
from tocsin.guard.stores.postgres import _claims, _sequences
from tocsin.guard.stores.postgres._phrases import Phrase
from tocsin.guard.stores.postgres._session import Session
from tocsin.guard.stores.postgres._settings import Settings
from tocsin.guard.stores.postgres._sqlstates import IDLE_TIMEOUT, LOCK_TIMEOUT, UNDEFINED_TABLE, trouble_of
from tocsin.guard.stores.postgres._talk import Results, Talk

T = TypeVar("T")

# The transaction's id tells a handler that has committed and begun again.
_SETTLE = """
    UPDATE tocsin_claims SET status = %(status)s, headers = %(headers)s, body = %(body)s
    WHERE key = %(key)s AND status IS NULL AND pg_current_xact_id()::text = %(transaction)s
"""

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


class _Session(Session):
    """What a talk wants to know of a connection: that the server knows none of its statements by a name."""

    is_alone = False


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
        if code == UNDEFINED_TABLE and "tocsin_" in (error.diag.message_primary or ""):
            return Trouble.NO_TABLE
        # A lock on the table has no such context; a lock on the key is met while its index is written.
        if code == LOCK_TIMEOUT and "tocsin_claims" in (error.diag.context or ""):
            return Trouble.IN_USE
        return Trouble[trouble_of(code).name]

    def is_lost(self, raw: Any) -> bool:  # noqa: ANN401  the driver's connection
        """See Database."""
        return bool(raw.closed)

    def says_undone(self, error: BaseException) -> bool:
        """See Database. The server had ended a handler that did nothing for too long, before COMMIT reached it."""
        return isinstance(error, psycopg.Error) and error.sqlstate == IDLE_TIMEOUT

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

    def take(self, raw: Any, claim: Claim, wait_s: float, prepared: Any) -> Written | Forgotten | None:  # noqa: ANN401
        """See Database."""
        session = _Session(raw)
        session.know(Settings(Phrase("", prepared), is_pooled=True))
        taken = _held(raw, _claims.taking(session, claim, wait_s=wait_s, savepoint=None))
        return Written(taken.transaction_id) if isinstance(taken, _claims.Written) else taken

    def read(self, raw: Any, key: bytes, *, is_alone: bool) -> Record | None:  # noqa: ANN401  likewise
        """See Database."""
        read = _claims.reading if is_alone else _claims.reading_inside
        return _held(raw, read(_Session(raw), key))

    def forget(self, raw: Any, claim: Claim, wait_s: float) -> None:  # noqa: ANN401  likewise
        """See Database."""
        _held(raw, _claims.forgetting(claim, wait_s))

    def advance(self, raw: Any, claim: Claim, wait_s: float) -> bool:  # noqa: ANN401  likewise
        """See Database."""
        return _held(raw, _sequences.moving(_Session(raw), claim, wait_s))

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
        return _held(raw, _claims.sweeping(now_unix_ms, wait_s))


def _held(raw: psycopg.Connection[Any], talk: Talk[T]) -> T:
    """Hold a talk of PostgresStore's on the connection, in the transaction that psycopg begins or is in."""

    def said(message: Any) -> Results:  # noqa: ANN401  what talks yield; here it is always a text
        cursor = _cursor(raw).execute(message)
        results = [cursor.pgresult]
        while cursor.nextset():
            results.append(cursor.pgresult)
        return [result for result in results if result is not None]

    return performed(talk, said)


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
