"""What the server has to be told, so that neither a dead client nor a slow handler keeps a key for long.

Rule: what the operator or the application has set stays as it is. A pooler hands a transaction to any of its
connections, so behind one nothing is set for longer than a transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import BaseConnection

from tocsin.guard import _log
from tocsin.guard.stores.postgres._phrases import Phrase, plain
from tocsin.guard.stores.postgres._talk import Talk, rows_of, said

# A server that runs a statement does not notice by itself that its client was killed. 2.8 s passed before a retry got
# through, and 0.05 s with this interval.
_CHECK_INTERVAL_MS = 50
# A client whose machine vanished says nothing at all: noticed after 10 + 3 * 5 s instead of after two hours.
_KEEPALIVES = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
_FOUND = "SELECT name, setting, source FROM pg_settings WHERE name = ANY(ARRAY[{names}]); SELECT pg_backend_pid()"
_told: set[str] = set()


@dataclass(frozen=True, slots=True)
class Settings:
    """How transactions of one connection begin.

    Args:
        begin: BEGIN, with the connection's isolation level; then whatever a pooler would forget.
        is_pooled: whether another connection to the server may serve the next transaction.
    """

    begin: Phrase
    is_pooled: bool


UNTOLD = Settings(Phrase("begin", "BEGIN"), is_pooled=False)


def telling(connection: BaseConnection[Any], idle_s: float) -> Talk[Settings]:
    """Tell the server, and say in the log what it may not be told.

    Args:
        connection: a new one, in autocommit.
        idle_s: how long a handler may do nothing in its transaction.

    Raises:
        psycopg.Error: the connection failed.
    """
    wanted = {
        "idle_in_transaction_session_timeout": str(round(idle_s * 1000)),
        "client_connection_check_interval": str(_CHECK_INTERVAL_MS),
        **_KEEPALIVES,
    }
    names = ", ".join(f"'{name}'" for name in [*wanted, "synchronous_commit", "fsync"])
    rows, [[pid]] = [rows_of(result) for result in (yield from said(_FOUND.format(names=names)))]
    changes = dict(_changes(wanted, {name: (setting, source) for name, setting, source in rows}))
    # A pooler answers for many servers, and makes up the process id that it gives its clients.
    is_pooled = int(pid) != connection.info.backend_pid
    if not is_pooled:
        yield from _for_session(connection, changes)
        changes = {}
    else:
        connection.prepare_threshold = None
        if changes.keys() & _KEEPALIVES.keys():
            _say("a pooler stands between: tcp_keepalives_* towards the server are its own to set")
        changes = {name: value for name, value in changes.items() if name not in _KEEPALIVES}
    local = ", ".join([_set(item, is_local=True) for item in changes.items()])
    begin = _begin(connection)
    return Settings(plain(f"{begin};SELECT {local}") if local else Phrase("begin", begin), is_pooled)


def _changes(wanted: dict[str, str], found: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in wanted.items():
        if name not in found:
            _say(f"this server has no {name}; wanted {value}")
        elif found[name][1] == "default":
            yield name, value
        elif found[name][0] == "0":
            _say(f"{name} = 0 by its {found[name][1]}: a client that is gone may hold its keys for long")
    if found.get("synchronous_commit", ("", ""))[0] == "off":
        # What was answered would be lost with the power.
        yield "synchronous_commit", "on"
    if found.get("fsync", ("", ""))[0] == "off":
        _say("fsync = off: what was answered does not survive the loss of power")


def _for_session(connection: BaseConnection[Any], changes: dict[str, str]) -> Talk[None]:
    """Each by itself, because a platform may refuse one of them."""
    for item in changes.items():
        try:
            yield from said(f"SELECT {_set(item, is_local=False)}")
        except psycopg.Error as error:
            if connection.closed:
                raise
            _say(f"{item[0]} = {item[1]} is refused: {error}")


def _set(item: tuple[str, str], *, is_local: bool) -> str:
    """Names and values are this module's own."""
    return f"set_config('{item[0]}', '{item[1]}', {is_local})"


def _begin(connection: BaseConnection[Any]) -> str:
    level = connection.isolation_level
    return "BEGIN" if level is None else f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}"


def _say(what: str) -> None:
    """Once a process, however many connections it opens."""
    if what not in _told:
        _told.add(what)
        _log.store_notice("PostgreSQL", what)
