"""Streams: the highest number that each has applied.

Rule: the row of a stream is locked with the claim, and before anything is read: at REPEATABLE READ the first plain
SELECT takes the snapshot that a handler reads by, and one from before the wait would not show what was waited for.
Whether a message is newer is then said by an UPDATE, which waits for nothing. Two statements, because how many rows
INSERT ... ON DUPLICATE KEY UPDATE changed has two meanings, by a flag of the connection (CLIENT_FOUND_ROWS).
"""

from tocsin.guard._store import Claim, Position
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._talk import Say, Talk, said
from tocsin.guard.stores.mariadb._values import number, octets

# Less than every number: of a stream that has applied nothing.
_NOTHING = -1


def locking(claim: Claim) -> str:
    """The statement that waits for whoever has moved the claim's stream on, and locks it."""
    values = ", ".join(
        [
            octets(_position(claim).stream),
            number(_NOTHING),
            octets(claim.tenant.encode()),
            octets(claim.operation.encode()),
            number(claim.taken_unix_ms),
        ]
    )
    return (
        f"INSERT INTO tocsin_sequences (stream, number, tenant, operation, moved_unix_ms) VALUES ({values}) "  # noqa: S608  values.py
        "ON DUPLICATE KEY UPDATE stream = VALUES(stream)"
    )


def moving(session: Session, claim: Claim, until: float | None) -> Talk[bool]:
    """Whether the claim's number is higher than its stream's, which it is then. Raises pymysql.Error.

    Args:
        session: with the claim written on it, and its stream locked.
        claim: what was written.
        until: see Say.
    """
    position = _position(claim)
    statement = (
        f"UPDATE tocsin_sequences SET number = {number(position.number)}, "  # noqa: S608  values.py
        f"moved_unix_ms = {number(claim.taken_unix_ms)} "
        f"WHERE stream = {octets(position.stream)} AND number < {number(position.number)}"
    )
    replies = yield from said(Say(session, (statement,), until))
    return replies[0].count == 1


def _position(claim: Claim) -> Position:
    assert claim.position is not None, "only what has a position is ordered"
    return claim.position
