"""What a new connection is asked and told.

Rule: a table that no transaction covers is refused at the first connection, and not found out by a roll-back that did
nothing. What the operator has set stays as it is.
"""

from collections.abc import Iterator
from math import ceil

from tocsin.guard import _log
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._talk import Say, Talk, said

# SKIP LOCKED came with 10.6. MySQL has neither SET STATEMENT nor a time limit for anything but SELECT.
_LEAST = (10, 6)
_FOUND = (
    "SELECT VERSION(), @@max_allowed_packet",
    """SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES
    WHERE VARIABLE_NAME IN ('INNODB_FLUSH_LOG_AT_TRX_COMMIT', 'IDLE_TRANSACTION_TIMEOUT')""",
    """SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB' ORDER BY TABLE_NAME""",
)
_OURS = {"tocsin_claims", "tocsin_forgotten"}
_told: set[str] = set()


def greeting(session: Session, idle_s: float | None) -> Talk[None]:
    """Ask and tell.

    Args:
        session: a new one, nothing begun.
        idle_s: how long a handler may do nothing in its transaction; None: that is not for the guard to say.

    Raises:
        pymysql.Error: the connection failed.
        StoreUnavailable: the server is none that can be used, or a table of the guard's has no transactions.
    """
    [[[version, most_octets]]] = [reply.rows for reply in (yield from said(Say(session, _FOUND[:1])))]
    if not _is_known(str(version)):
        raise StoreUnavailable(f"the server is {version}; wanted MariaDB {_LEAST[0]}.{_LEAST[1]} or later")
    session.most_octets = int(most_octets)
    found, tables = [reply.rows for reply in (yield from said(Say(session, _FOUND[1:])))]
    settings = {str(name): str(value) for name, value in found}
    if settings.get("innodb_flush_log_at_trx_commit", "1") not in {"1", "3"}:
        _say("innodb_flush_log_at_trx_commit is not 1: what was answered may not survive the loss of power")
    engines = {str(name): str(engine) for name, engine in tables}
    for name in sorted(engines.keys() & _OURS):
        raise StoreUnavailable(f"{name} is kept by {engines[name]}, which has no transactions; wanted ENGINE=InnoDB")
    if engines:
        _say(f"no transaction covers what is written to {', '.join(sorted(engines))}: not InnoDB")
    yield from said(Say(session, tuple(_telling(settings, idle_s))))


def _telling(settings: dict[str, str], idle_s: float | None) -> Iterator[str]:
    if idle_s is not None and settings.get("idle_transaction_timeout") == "0":
        yield f"SET SESSION idle_transaction_timeout = {ceil(idle_s)}"
    # Whatever was asked has opened a snapshot.
    yield "ROLLBACK"


def _is_known(version: str) -> bool:
    if "MariaDB" not in version:
        return False
    numbers = version.removeprefix("5.5.5-").split("-")[0].split(".")
    return tuple(int(number) for number in numbers[:2]) >= _LEAST


def _say(what: str) -> None:
    """Once a process, however many connections it opens."""
    if what not in _told:
        _told.add(what)
        _log.store_notice("MariaDB", what)
