"""Why a QUIC connection ended, from its error code. PURE.

Rule: a reason phrase is repeated only where it is OpenSSL's about a certificate; what a peer wrote, never.
"""

from dataclasses import dataclass
from typing import Final

from tocsin.wire._errors import Failure, said, untrusted

# RFC 8446 section 6.2.
_ABOUT_CERTIFICATES: Final = range(42, 47)
_NO_APPLICATION_PROTOCOL: Final = 120
_ALERTS: Final = range(256)
# RFC 9000 section 20.1.
_INTERNAL_ERROR: Final = 0x1
_CONNECTION_REFUSED: Final = 0x2
# RFC 9114 section 8.1.
_VERSION_FALLBACK: Final = 0x110

_NO_H3: Final = "the server did not choose h3 by ALPN"


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a connection.

    Args:
        failure: what it is for members that have no answer.
        detail: the same as a clause.
    """

    failure: Failure
    detail: str


def ended_by_us(code: int, alert: int | None, reason: str) -> Ended:
    """Our QUIC has ended the connection.

    Args:
        code: the error code.
        alert: TLS's, where the transport gave up and not HTTP; numbers that are no alert are none.
        reason: in our own library's words.
    """
    if alert in _ABOUT_CERTIFICATES:
        # The name in the words is that of the certificate, which the server has sent.
        return Ended(Failure.UNTRUSTED, untrusted("it is for another host" if "hostname" in reason else reason))
    if alert in _ALERTS:
        return _plain(Failure.NOT_TLS)
    if alert is not None and code == _INTERNAL_ERROR:
        return Ended(Failure.TIMED_OUT, "nothing came in time") if "timeout" in reason else _no_version()
    return _plain(Failure.NOT_HTTP)


def ended_by_server(code: int, alert: int | None, _reason: str) -> Ended:
    """The server has; see `ended_by_us`."""
    if alert == _NO_APPLICATION_PROTOCOL:
        return Ended(Failure.UNSUPPORTED, _NO_H3)
    if alert in _ALERTS:
        return _plain(Failure.NOT_TLS)
    if alert is None and code == _VERSION_FALLBACK:
        return Ended(Failure.UNSUPPORTED, "the server wants another version of HTTP")
    if alert is not None and code == _CONNECTION_REFUSED:
        return Ended(Failure.REFUSED, "the server takes no connection now")
    return _plain(Failure.CLOSED)


def _no_version() -> Ended:
    return Ended(Failure.UNSUPPORTED, "the server speaks no version of QUIC that we do")


def _plain(failure: Failure) -> Ended:
    return Ended(failure, said(failure))
