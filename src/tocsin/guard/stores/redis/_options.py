"""What a store on Redis is told, and what it calls things there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import ConnectionPool
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from tocsin.guard._errors import GuardError

# Longer than any handler should take: whoever takes longer may be overtaken.
LEASE_S = 60.0
# What the URL leaves open. A connection that fails is tried twice more: every script may be said again.
_CONNECTION: dict[str, Any] = {
    "max_connections": 32,
    "timeout": 2.0,  # for one of them that is free
    "socket_connect_timeout": 2.0,
    "socket_timeout": 5.0,
}
_RETRIES = 2
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Names:
    """The keys of a store. They have one hash tag, so that in a cluster they are in one slot, as scripts want it.

    Args:
        prefix: of this store; letters, digits, "_", "." and "-".

    Raises:
        GuardError: it is none.
    """

    prefix: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise GuardError(f"prefix = {self.prefix!r}; wanted 1 to 64 letters, digits, '_', '.' or '-'")

    def claim(self, key: bytes) -> str:
        """The hash of a claim."""
        return f"{self.claims}{key.hex()}"

    @property
    def claims(self) -> str:
        """What the names of all claims begin with."""
        return f"{{{self.prefix}}}:claim:"

    @property
    def fence(self) -> str:
        """The last fencing token."""
        return f"{{{self.prefix}}}:fence"

    @property
    def due(self) -> str:
        """The settled claims, by when something of them may go, in Unix milliseconds of the guard's clock."""
        return f"{{{self.prefix}}}:due"

    @property
    def forgotten(self) -> str:
        """When the youngest claim was taken that has gone, by tenant and operation."""
        return f"{{{self.prefix}}}:forgotten"

    @property
    def leases(self) -> str:
        """The held claims, by when their lease ends, in Unix microseconds of the server's clock."""
        return f"{{{self.prefix}}}:leases"


def check_lease(lease_s: float) -> None:
    """Raises GuardError: it is no time, or so short that a handler would be overtaken while it runs."""
    if not 1 <= lease_s <= 86_400:  # noqa: PLR2004  a second and a day
        raise GuardError(f"lease_s = {lease_s!r}; wanted 1 to 86400 seconds, longer than any handler runs")


def client_of(server: object, pool: Any, retry: Any, client: Any) -> tuple[Any, Any]:  # noqa: ANN401  of two modules
    """The client of a store, and the pool that is closed with it; None where the client was given.

    Args:
        server: a URL, or a client.
        pool: redis-py's BlockingConnectionPool, of the module for threads or of the one for tasks.
        retry: its Retry.
        client: its Redis.

    Raises:
        GuardError: the URL cannot be read, or the client cannot serve.
    """
    if not isinstance(server, str):
        _check_client(server)
        return server, None
    check_url(server)
    backoff = ExponentialWithJitterBackoff(base=0.01, cap=0.1)
    made = pool.from_url(server, retry=retry(backoff, _RETRIES), **_CONNECTION)
    return client(connection_pool=made), made


def check_url(url: str) -> Mapping[str, Any]:
    """What a URL says. Raises GuardError, without redis-py's own words, which may quote it and the password in it."""
    try:
        said: Mapping[str, Any] = ConnectionPool.from_url(url).connection_kwargs
    except (ValueError, RedisError):
        raise GuardError('the URL cannot be read; wanted such as "redis://user@host:6379/0"') from None
    _check_octets(said)
    return said


def _check_client(client: object) -> None:
    pool = getattr(client, "connection_pool", None)
    options = getattr(client, "connection_kwargs", {}) if pool is None else pool.connection_kwargs
    _check_octets(options)


def _check_octets(options: Mapping[str, Any]) -> None:
    if options.get("decode_responses"):
        # It makes text of what it reads.
        raise GuardError("the client has decode_responses=True; wanted one that gives bytes, as stored answers are")
