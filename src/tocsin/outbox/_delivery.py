"""Sends one message: signed afresh with each sending, under an id that stays the same.

Rule: only a 2xx is a delivery. What the receiver answers is read no further than its headers, so that no answer can
fill the memory; no redirect is followed, for it would carry the message to somebody who was not named.
"""

import email.utils
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tocsin.outbox._errors import OutboxError
from tocsin.outbox._message import Sent, Taken, checked_name
from tocsin.signing import Scheme, SchemeError, Secret

try:
    import httpx

    from tocsin.signing.clients.httpx import SignatureAuth
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("sending the outbox needs httpx: pip install 'tocsin[outbox]'") from error

_GONE = 410
_TRY_LATER = frozenset({429, 503})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages of one name go.

    Args:
        name: as in `Outbox.put`.
        url: https; http to this machine alone.
        scheme: how they are signed. The message id goes into the header that the scheme signs, if it signs one.
        secret: of that scheme.
        timeout_s: how long to wait for a connection, and for each part of an answer.
        workers: how many messages are sent to it at once.

    Raises:
        OutboxError: one of these is wrong.
    """

    name: str
    url: str = field(repr=False)
    scheme: Scheme = field(repr=False)
    secret: Secret = field(repr=False)
    timeout_s: float = 10.0
    workers: int = 4

    def __post_init__(self) -> None:
        checked_name(self.name)
        _check_url(self.name, self.url)
        if not 0 < self.timeout_s <= MAX_TIMEOUT_S:
            raise OutboxError(
                f"{self.name}: timeout_s = {self.timeout_s}: wanted more than 0, at most {MAX_TIMEOUT_S:g}"
            )
        if not 1 <= self.workers <= 64:  # noqa: PLR2004  threads of one process
            raise OutboxError(f"{self.name}: workers = {self.workers}: wanted 1 to 64")


class Sender:
    """Sends to one destination; for any number of threads.

    Args:
        destination: where to.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        try:
            auth = SignatureAuth(destination.scheme, destination.secret)
        except SchemeError as error:
            raise OutboxError(f"{destination.name}: {error}") from None
        rule = destination.scheme.message_id
        self._id_header = None if rule is None else rule.header
        self._client = httpx.Client(
            auth=auth,
            timeout=destination.timeout_s,
            limits=httpx.Limits(max_connections=destination.workers),
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def send(self, message: Taken) -> Sent:
        """Send once. Whatever goes wrong is told by what is returned."""
        # draft-ietf-httpapi-idempotency-key-header-07 section 2.1: a structured field of type string.
        headers = {"Content-Type": message.content_type, "Idempotency-Key": f'"{message.id}"'}
        if self._id_header is not None:
            headers[self._id_header] = message.id
        request = self._client.build_request("POST", self._destination.url, content=message.body, headers=headers)
        try:
            response = self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            # The text of some names the URL, which may hold a token.
            return Sent(delivered=False, error=f"no answer: {type(error).__name__}")
        except SchemeError as error:
            return Sent(delivered=False, error=f"cannot be signed: {error}")
        response.close()
        return _judged(response)


def _judged(response: "httpx.Response") -> Sent:
    if response.is_success:
        return Sent(delivered=True)
    status = response.status_code
    not_before_s = _retry_after_s(response.headers.get("Retry-After", "")) if status in _TRY_LATER else 0.0
    return Sent(delivered=False, gone=status == _GONE, error=f"answered {status}", not_before_s=not_before_s)


def _retry_after_s(value: str) -> float:
    """Seconds of a Retry-After field (RFC 9110 section 10.2.3); 0 where it says none."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise OutboxError(f"{name}: url: wanted https://host/path") from None
    if parts.username is not None or parts.fragment:
        raise OutboxError(f"{name}: url: wanted it without user, password and fragment")
    if not host or parts.scheme not in {"https", "http"}:
        raise OutboxError(f"{name}: url: wanted https://host/path")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise OutboxError(f"{name}: url is http: a message to {host} would be read on its way; wanted https")
