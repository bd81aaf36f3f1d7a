"""What a store on MariaDB is told, and what it tells the driver."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tocsin.guard._errors import GuardError

MAX_CONNECTIONS = 32
IDLE_S = 30.0
# How long a look, a read beside a transaction or a migration may wait for a connection.
LOOK_WAIT_S = 2.0
# Sweeping gives way to requests.
GIVE_WAY_S = 0.1
_WANTED = 'such as "mariadb://user@host:3306/database"'
_CONNECT_TIMEOUT_S = 2
# What may stand behind the question mark, and what PyMySQL and aiomysql call it.
_TEXTS = {"unix_socket": "unix_socket", "charset": "charset", "collation": "collation"}
_TLS = {"ssl_ca": "ca", "ssl_cert": "cert", "ssl_key": "key"}


def check(max_connections: int, idle_s: float) -> None:
    """Raises GuardError: an argument is refused."""
    if max_connections < 1:
        raise GuardError(f"max_connections = {max_connections!r}; wanted 1 or more")
    if not idle_s >= 1:
        raise GuardError(f"idle_s = {idle_s!r}; wanted 1 second or more")


def arguments(url: str) -> dict[str, Any]:
    """What a URL says, as the arguments of PyMySQL's and of aiomysql's connect(), without autocommit and flags.

    Raises:
        GuardError: it cannot be read. The message does not quote it: there may be a password in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise GuardError(f"MariaDBStore: the URL cannot be read; wanted {_WANTED}") from None
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in {"mariadb", "mysql"} or not database or "/" in database or parts.fragment:
        raise GuardError(f"MariaDBStore: the URL names no database of MariaDB; wanted {_WANTED}")
    wanted: dict[str, Any] = {
        "host": parts.hostname or "localhost",
        "port": port,
        "user": unquote(parts.username or "") or None,
        "password": unquote(parts.password or ""),
        "charset": "utf8mb4",
        "connect_timeout": _CONNECT_TIMEOUT_S,
    }
    return (
        {name: value for name, value in wanted.items() if value is not None} | _more(options) | {"database": database}
    )


def _more(options: dict[str, str]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    tls: dict[str, str] = {}
    for name, value in options.items():
        if name in _TEXTS:
            more[_TEXTS[name]] = value
        elif name in _TLS:
            tls[_TLS[name]] = value
        elif name == "connect_timeout" and value.isdecimal():
            more[name] = int(value)
        else:
            known = ", ".join(sorted([*_TEXTS, *_TLS, "connect_timeout"]))
            raise GuardError(
                f"MariaDBStore: the URL's option {name!r} is not known or has no such value; wanted {known}"
            )
    return more | ({"ssl": tls} if tls else {})
