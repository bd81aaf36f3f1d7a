"""Where requests go. Rule: a name is resolved once, so that every request of a run reaches the same machine.

Nothing here or anywhere in this package reads a proxy variable or follows a redirect.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tocsin.wire._errors import DeliveryError, Failure, RequestError
from tocsin.wire._url import DEFAULT_PORTS, MAX_PORT, Origin, parse_origin

# Written out because `is_loopback` of the standard library also takes ::ffff:127.0.0.1 from Python 3.13 on.
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

Protocol: TypeAlias = Literal["auto", "http/1.1", "h2", "h2c", "h3"]
_NEEDS_SCHEME: Final = {"h2": "https", "h2c": "http", "h3": "https"}


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificates are believed.

    Args:
        ca_file: a PEM file of authorities, in place of the system's.
        insecure: believe every certificate. Whoever says so has to say it in the report too.
    """

    ca_file: str = ""
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """One server.

    Args:
        url_scheme: "http" or "https".
        host: as the URL names it, for the Host header; IPv6 without brackets.
        port: TCP port, for HTTP/3 that of UDP.
        ip: the address that is connected to.
        other_ips: what else the name resolved to. Never connected to; see `is_loopback`.
        protocol: what is spoken. "auto": what the server chooses by ALPN, and HTTP/1.1 where there is no TLS.
        trust: whose certificates are believed; https only.
        why: why this protocol, as a clause, where somebody has chosen; see `chosen`.

    Raises:
        RequestError: the port is out of range, an IP address is none, or the protocol is not one of the URL scheme's.
    """

    url_scheme: str
    host: str
    port: int
    ip: str
    other_ips: tuple[str, ...] = ()
    protocol: Protocol = "auto"
    trust: Trust = Trust()
    why: str = ""

    def __post_init__(self) -> None:
        wanted = _NEEDS_SCHEME.get(self.protocol, self.url_scheme)
        if wanted != self.url_scheme:
            raise RequestError(f"{self.protocol} goes with {wanted}://, and the address is {self.url_scheme}://")
        if not 0 < self.port <= MAX_PORT:
            raise RequestError(f"the address has port {self.port}, wanted one from 1 to {MAX_PORT}")
        for ip in (self.ip, *self.other_ips):
            _check_number(ip)

    @classmethod
    def resolve(cls, url: str) -> "Address":
        """Resolve the host of a URL once.

        Raises:
            RequestError: the URL is not one of an http or https origin.
            DeliveryError: of kind UNRESOLVABLE, the name has no address.
        """
        origin = parse_origin(url)
        ip, *others = _preferred(_lookup(origin))
        return cls(origin.url_scheme, origin.host, origin.port, ip, tuple(others))

    @property
    def authority(self) -> str:
        """What goes into the Host header: the port only where it is not the default one (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.url_scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether every address of the name is in 127.0.0.0/8 or ::1."""
        return all(_is_loopback(ip) for ip in (self.ip, *self.other_ips))

    def __str__(self) -> str:
        return f"{self.url_scheme}://{self.authority}"


def _lookup(origin: Origin) -> list[str]:
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (socket.gaierror, UnicodeError) as error:
        # EAI_AGAIN is the resolver's own trouble; every other code is an answer that will not change by asking again.
        again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        name = f"{origin.url_scheme}://{origin.host}:{origin.port}"
        raise DeliveryError(
            name, f"the name {origin.host!r} could not be resolved", Failure.UNRESOLVABLE, can_retry=again
        ) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _preferred(ips: list[str]) -> list[str]:
    """The resolver's order (RFC 6724), except on loopback: IPv4 first.

    "localhost" resolves to ::1 first on most machines, while development servers listen on 127.0.0.1 alone.
    """
    if all(_is_loopback(ip) for ip in ips):
        return sorted(ips, key=lambda ip: ":" in ip)
    return ips


def _check_number(ip: str) -> None:
    try:
        ipaddress.ip_address(ip)
    except ValueError:
        raise RequestError(f"the address has the IP address {ip!r}, wanted a number; names go to resolve()") from None


def _is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return any(address in network for network in _LOOPBACK)
