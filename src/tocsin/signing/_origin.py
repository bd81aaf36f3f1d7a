"""The public origin of a service: "https://api.example.com". PURE.

Rule: it is configuration, so whatever is wrong with it is a SchemeError and no Rejected: no sender can cause it or put
it right, and a 401 would send somebody to look for a wrong secret. The Host header plays no part: whoever sends a
request chooses it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from tocsin.signing._errors import SchemeError

_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Origin:
    """A public origin taken apart.

    Args:
        text: as configured.
        url_scheme: "http" or "https".
        host: in lower case, IPv6 in brackets.
        port: the configured one, or the default of the URL scheme.
    """

    text: str
    url_scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port, without the default port (RFC 9421 section 2.2.3)."""
        return self.host if self.port == _DEFAULT_PORTS[self.url_scheme] else f"{self.host}:{self.port}"


# A service has one origin; a few services in one process have a few.
@lru_cache(maxsize=64)
def parse_origin(text: str) -> Origin:
    """Take a configured origin apart.

    Raises:
        SchemeError: it is empty, or no origin: a path or a slash at its end would stand in the signed URL twice.
    """
    if not text:
        raise SchemeError(
            "the scheme signs the public URL, and no public origin is configured; wanted Message.public_origin, such "
            'as "https://api.example.com"'
        )
    found = _ORIGIN.fullmatch(text)
    port = int(found[3] or _DEFAULT_PORTS[found[1]]) if found else _MAX_PORT + 1
    if found is None or port > _MAX_PORT:
        raise SchemeError(f"public origin {text!r}: wanted http or https, a host and perhaps a port, and nothing after")
    return Origin(text, found[1], found[2].lower(), port)
