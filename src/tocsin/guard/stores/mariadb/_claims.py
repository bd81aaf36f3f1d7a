"""The table of claims, in SQL: the one place where a claim is unique.

Rule: a claim is a plain INSERT. INSERT IGNORE would swallow every other error with the duplicate key, and to look
before (FOR UPDATE) locks the gap in which the key is missing, for every other key in it. The wait for whoever holds the
key is bounded for that one statement (SET STATEMENT), so the handler finds the application's own time-outs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._keys import KEY_VERSION
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.mariadb import _sequences
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._talk import Said, Say, Talk, said
from tocsin.guard.stores.mariadb._values import number, octets, seconds

_COLUMNS = (
    "`key`, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms, "
    "due_unix_ms"
)
_READ = "SELECT fingerprint, status, headers, `body`, answer_until_unix_ms, claim_until_unix_ms FROM tocsin_claims"
# An UPDATE that finds nothing is no error, and COMMIT, which is in the same message, would follow.
MUST_HAVE_CHANGED = (
    "BEGIN NOT ATOMIC IF ROW_COUNT() <> 1 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'tocsin: no claim'; "
    "END IF; END"
)
# READ COMMITTED: what is let go locks its rows and no gap between them, in which others want to write their claims. And
# where the application's level is SERIALIZABLE, a plain SELECT would wait for whoever writes.
_READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
SWEPT_AT_ONCE = 500
# How long it may take to find out whose lock it was.
_DIRTY_READ_S = 0.2


@dataclass(frozen=True, slots=True)
class Written:
    """The claim is written, in the transaction that has this savepoint."""

    savepoint: str


def taking(
    session: Session, claim: Claim, *, wait_s: float, savepoint: str | None, until: float | None
) -> Talk[Written | Forgotten]:
    """Write the claim, in one message.

    Args:
        session: with nothing begun; or, with a savepoint, inside a transaction.
        claim: what to write.
        wait_s: how long to wait for whoever holds the key; and for whoever has moved its stream, if it has one.
        savepoint: the name of the savepoint to take it in; None: in a new transaction.
        until: see Say.

    Raises:
        pymysql.Error: nothing is written; the transaction or the savepoint may be open.
    """
    mark = session.savepoint() if savepoint is None else savepoint
    statements = [_bounded(wait_s, _inserting(claim)), f"SAVEPOINT {mark}"]
    if savepoint is not None:
        statements.reverse()
    if claim.position is not None:
        statements.append(_bounded(wait_s, _sequences.locking(claim)))
    asks = claim.earliest_unix_ms is not None and savepoint is None
    if asks:
        # After what may have waited: only now is the snapshot taken that this reads.
        statements.append(_forgotten_of(claim))
    replies = yield from said(Say(session, tuple(statements), until))
    return Forgotten() if asks and is_forgotten(claim, replies[-1]) else Written(mark)


def asking_whether_forgotten(session: Session, claim: Claim, until: float | None) -> Talk[bool]:
    """The same, from outside of a transaction that may see an old snapshot. Raises pymysql.Error."""
    replies = yield from said(Say(session, (_READ_COMMITTED, _forgotten_of(claim), "COMMIT"), until))
    return is_forgotten(claim, replies[1])


def is_forgotten(claim: Claim, reply: Said) -> bool:
    """Only when a clock has gone back is a message within its tolerance, and as old as a claim that was let go."""
    earliest = claim.earliest_unix_ms
    return earliest is not None and any(int(taken) >= earliest for (taken,) in reply.rows)


def undoing(savepoint: str | None) -> tuple[str, ...]:
    """The statements that undo everything since a savepoint, or since the transaction began."""
    return ("ROLLBACK",) if savepoint is None else (f"ROLLBACK TO {savepoint}", f"RELEASE SAVEPOINT {savepoint}")


def reading(session: Session, key: bytes, until: float | None, *, first: Sequence[str] = ()) -> Talk[Record | None]:
    """What is committed under a key. Raises pymysql.Error.

    Args:
        session: with nothing begun, or to be rolled back by what is said first.
        key: whose.
        until: see Say.
        first: what is said before.
    """
    replies = yield from said(Say(session, (*first, _READ_COMMITTED, _read(key), "COMMIT"), until))
    return _records(replies[-2])


def reading_inside(session: Session, key: bytes, until: float | None, *, first: Sequence[str]) -> Talk[Record | None]:
    """What a transaction sees under a key. Raises pymysql.Error."""
    replies = yield from said(Say(session, (*first, _read(key)), until))
    return _records(replies[-1])


def seeing_uncommitted(session: Session, key: bytes, until: float | None, *, first: Sequence[str] = ()) -> Talk[bool]:
    """Whether somebody has written a claim under the key, committed or not. Raises pymysql.Error."""
    look = f"SELECT 1 FROM tocsin_claims WHERE `key` = {octets(key)}"  # noqa: S608  values.py
    statements = (
        *first,
        "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
        f"SET STATEMENT max_statement_time = {seconds(_DIRTY_READ_S)} FOR {look}",
        "COMMIT",
    )
    replies = yield from said(Say(session, statements, until))
    return bool(replies[-2].rows)


def answering(claim: Claim, answer: StoredAnswer) -> str:
    """The statement that writes the answer beside the claim."""
    return (
        f"UPDATE tocsin_claims SET status = {number(answer.status)}, headers = {octets(answer.headers)}, "  # noqa: S608  values.py
        f"`body` = {octets(answer.body)} WHERE `key` = {octets(claim.key)} AND status IS NULL"
    )


def forgetting(session: Session, claim: Claim, until: float | None) -> Talk[int]:
    """Let go of an old claim under this one's key, if it has had its time. Raises pymysql.Error."""
    now = claim.taken_unix_ms
    where = f"`key` = {octets(claim.key)} AND status IS NOT NULL AND claim_until_unix_ms <= {number(now)}"
    return (yield from _letting_go(session, where, now, until, "WAIT 1"))


def sweeping(session: Session, now_unix_ms: int, until: float | None) -> Talk[int]:
    """Let go of what is due, SWEPT_AT_ONCE rows at most; how many those were. Raises pymysql.Error."""
    where = f"due_unix_ms <= {number(now_unix_ms)} AND status IS NOT NULL ORDER BY due_unix_ms LIMIT {SWEPT_AT_ONCE}"
    return (yield from _letting_go(session, where, now_unix_ms, until, "SKIP LOCKED"))


def _letting_go(session: Session, where: str, now_unix_ms: int, until: float | None, lock: str) -> Talk[int]:
    """In a transaction of its own: every claim of an operation that is let go writes to one row of tocsin_forgotten."""
    over = f"coalesce(claim_until_unix_ms <= {number(now_unix_ms)}, 0)"
    chosen = (
        f"SELECT `key`, tenant, operation, taken_unix_ms, {over} FROM tocsin_claims WHERE {where} FOR UPDATE {lock}"  # noqa: S608  values.py
    )
    replies = yield from said(Say(session, (_READ_COMMITTED, chosen), until))
    rows = replies[-1].rows
    gone = [row for row in rows if int(row[4])]
    statements: list[str] = []
    if gone:
        statements = [f"DELETE FROM tocsin_claims WHERE `key` IN ({_keys(gone)})", _remembering(gone)]  # noqa: S608  values.py
    if len(gone) < len(rows):
        stripped = _keys(row for row in rows if not int(row[4]))
        statements.append(
            f"UPDATE tocsin_claims SET headers = NULL, `body` = NULL, due_unix_ms = claim_until_unix_ms "  # noqa: S608  values.py
            f"WHERE `key` IN ({stripped})"
        )
    yield from said(Say(session, (*statements, "COMMIT"), until))
    return len(rows)


def _keys(rows: Iterable[Sequence[Any]]) -> str:
    return ", ".join([octets(row[0]) for row in rows])


def _remembering(gone: list[tuple[Any, ...]]) -> str:
    newest: dict[tuple[bytes, bytes], int] = {}
    for _, tenant, operation, taken, _ in gone:
        newest[tenant, operation] = max(int(taken), newest.get((tenant, operation), 0))
    # In one order: two that lock in one order do not deadlock.
    values = ", ".join([f"({octets(who[0])}, {octets(who[1])}, {taken})" for who, taken in sorted(newest.items())])
    return (
        f"INSERT INTO tocsin_forgotten (tenant, operation, taken_unix_ms) VALUES {values} "  # noqa: S608  values.py
        "ON DUPLICATE KEY UPDATE taken_unix_ms = GREATEST(taken_unix_ms, VALUES(taken_unix_ms))"
    )


def _inserting(claim: Claim) -> str:
    until = (claim.answer_until_unix_ms, claim.claim_until_unix_ms)
    values = ", ".join(
        [
            octets(claim.key),
            number(KEY_VERSION),
            octets(claim.tenant.encode()),
            octets(claim.operation.encode()),
            octets(claim.fingerprint),
            *map(number, (claim.taken_unix_ms, *until, until[1] if until[0] is None else until[0])),
        ]
    )
    return f"INSERT INTO tocsin_claims ({_COLUMNS}) VALUES ({values})"  # noqa: S608  values.py


def _bounded(wait_s: float, statement: str) -> str:
    # The statement's own time ends first: innodb_lock_wait_timeout knows whole seconds only, and where the server has
    # innodb_rollback_on_timeout it undoes the whole transaction.
    longer_s = ceil(max(wait_s, 0)) + 2
    bound = f"innodb_lock_wait_timeout = {longer_s}, lock_wait_timeout = {longer_s}"
    return f"SET STATEMENT max_statement_time = {seconds(wait_s)}, {bound} FOR {statement}"


def _forgotten_of(claim: Claim) -> str:
    return (
        f"SELECT taken_unix_ms FROM tocsin_forgotten WHERE tenant = {octets(claim.tenant.encode())} "  # noqa: S608  values.py
        f"AND operation = {octets(claim.operation.encode())}"
    )


def _read(key: bytes) -> str:
    return f"{_READ} WHERE `key` = {octets(key)}"


def _records(reply: Said) -> Record | None:
    if not reply.rows:
        return None
    [[fingerprint, status, headers, body, answer_until, claim_until]] = reply.rows
    return Record(fingerprint, _whole(status), headers, body, _whole(answer_until), _whole(claim_until))


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))
