"""What a store on PostgreSQL is told, and what it tells libpq."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tocsin.guard._errors import GuardError

# For a server that has vanished without a word: libpq's own defaults wait for minutes, or for ever.
_CONNECTION_DEFAULTS = {
    "connect_timeout": "2",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "tocsin",
}
MAX_CONNECTIONS = 32
IDLE_S = 30.0
# How long a look, a read beside a transaction or a migration may wait for a connection.
LOOK_WAIT_S = 2.0
# Sweeping gives way to requests.
GIVE_WAY_S = 0.1


def check(max_connections: int, idle_s: float) -> None:
    """Raises GuardError: an argument is refused."""
    if max_connections < 1:
        raise GuardError(f"max_connections = {max_connections!r}; wanted 1 or more")
    if not idle_s >= 1:
        raise GuardError(f"idle_s = {idle_s!r}; wanted 1 second or more")


def whole(conninfo: str) -> str:
    """A connection string with what it leaves open. Raises GuardError."""
    try:
        said = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # Without libpq's own words, which quote the string and the password in it.
        raise GuardError(
            'PostgresStore: the connection string cannot be read; wanted such as "postgresql://user@host/database"'
        ) from None
    return make_conninfo(conninfo, **{name: value for name, value in _CONNECTION_DEFAULTS.items() if name not in said})
