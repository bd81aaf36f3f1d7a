"""Why something could not be sent or was not answered. PURE.

Rule: RequestError is ours (nothing was sent), DeliveryError and Failure are the network's or the peer's. No message
repeats what a peer sent: it may echo a live signature.
"""

import errno
from enum import StrEnum


class RequestError(ValueError):
    """A request, a burst or a URL that cannot be sent as asked; nothing was sent."""


class Failure(StrEnum):
    """Why there is no answer."""

    UNRESOLVABLE = "unresolvable"  # the name has no address
    REFUSED = "refused"  # nobody listens on the port
    UNREACHABLE = "unreachable"  # no route, or a firewall said no
    EXHAUSTED = "exhausted"  # this machine has no descriptor, port or buffer left
    TIMED_OUT = "timed_out"
    CLOSED = "closed"  # the peer ended the connection before its answer was complete
    NOT_HTTP = "not_http"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"  # by the server, or by this version
    UNTRUSTED = "untrusted"  # the certificate is not one that is believed
    NOT_TLS = "not_tls"  # no TLS connection came about
    STREAM_REFUSED = "stream_refused"  # HTTP/2, HTTP/3: the server says that it did not look at the request


# A retry of these can end differently with the same request and the same settings.
_RETRY_CAN_HELP = frozenset(
    {
        Failure.REFUSED,
        Failure.UNREACHABLE,
        Failure.EXHAUSTED,
        Failure.TIMED_OUT,
        Failure.CLOSED,
        Failure.STREAM_REFUSED,
    }
)

_BY_ERRNO = {
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ETIMEDOUT: Failure.TIMED_OUT,
    errno.ECONNRESET: Failure.CLOSED,
    errno.ECONNABORTED: Failure.CLOSED,
    errno.EPIPE: Failure.CLOSED,
    errno.EMFILE: Failure.EXHAUSTED,
    errno.ENFILE: Failure.EXHAUSTED,
    errno.ENOBUFS: Failure.EXHAUSTED,
    errno.ENOMEM: Failure.EXHAUSTED,
    errno.EADDRNOTAVAIL: Failure.EXHAUSTED,
}


_SAID = {
    Failure.UNRESOLVABLE: "the name has no address",
    Failure.REFUSED: "the connection was refused; nothing listens on that port",
    Failure.UNREACHABLE: "there is no way to that address",
    Failure.EXHAUSTED: "this machine has no socket or port left; close some, or raise the limit on open files",
    Failure.TIMED_OUT: "nothing came in time",
    Failure.CLOSED: "the connection was closed before the answer was complete",
    Failure.NOT_HTTP: "what came back is not HTTP",
    Failure.TOO_LARGE: "the answer is larger than the cap of 1 MiB",
    Failure.UNSUPPORTED: "that is not supported",
    Failure.UNTRUSTED: "the certificate is not trusted",
    Failure.NOT_TLS: "the TLS handshake failed; is it https that the server speaks there?",
    Failure.STREAM_REFUSED: "the server refused the stream",
}


class LineError(OSError):
    """The end of a connection for a reason that the operating system knows nothing of.

    Args:
        failure: what it is.
        detail: more about it, as a clause that repeats nothing that the peer sent; by default what is usual.
    """

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(detail or _SAID[failure])
        self.failure = failure


def said(failure: Failure) -> str:
    """A failure as a clause that can follow a colon."""
    return _SAID[failure]


def untrusted(reason: str) -> str:
    """What is said of a certificate that is not believed.

    Args:
        reason: OpenSSL's own words, "certificate has expired"; the name in them is the one that we asked for.
    """
    return (
        f"the certificate is not trusted: {reason.rstrip('.')}; name its authority with ca_file, or say insecure = true"
    )


def failure_of(error: OSError) -> Failure:
    """Which failure an error of a connection is; UNREACHABLE for those that name no other."""
    if isinstance(error, LineError):
        return error.failure
    return _BY_ERRNO.get(error.errno or 0, Failure.UNREACHABLE)


class DeliveryError(Exception):
    """A request could not be delivered, or its answer was not one.

    Args:
        address: where it was going, as "http://shop.example:8000".
        reason: what happened, as a clause that can follow a colon.
        kind: the same for programs.
        request_sent: whether the whole request left, so that it may have taken effect.
        can_retry: whether the same request may fare better later; by default what is usual for the kind.
    """

    def __init__(
        self,
        address: str,
        reason: str,
        kind: Failure,
        *,
        request_sent: bool = False,
        can_retry: bool | None = None,
    ) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason
        self.kind = kind
        self.request_sent = request_sent
        self.can_retry = kind in _RETRY_CAN_HELP if can_retry is None else can_retry
