"""Where a URL points: url_scheme, host and port. PURE.

Rule: only what names an origin is read; whatever could send a request elsewhere, or would silently be dropped, is
refused (RFC 3986 section 3, RFC 9110 section 4.2).
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tocsin.wire._errors import RequestError

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
MAX_PORT: Final = 65535
# Underscores are no part of a host name (RFC 952), but service names in container networks have them.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
# urlsplit silently deletes tabs and line ends, so they are looked for before it is called.
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """The three parts of an origin (RFC 6454); an IPv6 host is written without brackets."""

    url_scheme: str
    host: str
    port: int


def parse_origin(url: str) -> Origin:
    """Read the origin of a URL; path and query may be there and are not looked at.

    Raises:
        RequestError: for anything else. The message never repeats the URL, which may hold a password.
    """
    if not _VISIBLE_ASCII.fullmatch(url):
        raise RequestError(
            "the URL is empty or holds a character that is not visible ASCII; write international names as xn--"
        )
    parts = _split(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise RequestError(f"the URL starts with {parts.scheme or 'no scheme'!r}, wanted http or https")
    if "@" in parts.netloc:
        raise RequestError("the URL holds a user name or password; credentials belong in a header of the plan")
    if "#" in url:
        raise RequestError("the URL holds a fragment (#...), which is never sent")
    return Origin(parts.scheme, _host(parts), _port(parts))


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise RequestError("the URL has a host in brackets that is no IPv6 address") from None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.netloc.startswith("["):
        return _ipv6(host)
    if not _HOST.fullmatch(host):
        raise RequestError(f"the URL has the host {host!r}, wanted a name or an address")
    return host


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise RequestError(f"the URL has [{host}] as its host, wanted an IPv6 address") from None
    if address.scope_id:
        raise RequestError(f"the URL has [{host}] as its host; zone ids are not supported")
    return address.compressed


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        return DEFAULT_PORTS[parts.scheme]
    if not 0 < port <= MAX_PORT:
        raise RequestError("the URL has a port that is no number from 1 to 65535")
    return port
