"""Sends one message: signed afresh with each sending, under an id that stays the same.

Rule: only a 2xx is a delivery, and a sending ends in time, whatever its receiver does. What that answers is read no
further than its headers, so that no answer can fill the memory; no redirect is followed, for it would carry the message
to somebody who was not named.
"""

import email.utils
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tocsin.outbox._errors import OutboxError
from tocsin.outbox._message import Sent, Taken, checked_name
from tocsin.signing import Scheme, SchemeError, Secret

try:
    import httpx
    from anyio import fail_after
    from anyio.from_thread import start_blocking_portal

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
        timeout_s: how long a sending may take, from the look for its host's address to the end of the answer's headers.
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
    """Sends to one destination, inside its context; for any number of threads.

    Args:
        destination: where to.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        try:
            self._auth = SignatureAuth(destination.scheme, destination.secret)
        except SchemeError as error:
            raise OutboxError(f"{destination.name}: {error}") from None
        rule = destination.scheme.message_id
        self._id_header = None if rule is None else rule.header
        # No httpx.Client: it goes through the proxies of the environment, keeps cookies, and logs URLs.
        self._transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=destination.workers))
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        # On an event loop, for only there everything can be cut off: the look for an address, each of several
        # addresses, an answer that comes octet after octet. A socket's own timeout begins anew with each of these.
        self._portal = self._opened.enter_context(start_blocking_portal())
        self._opened.enter_context(self._portal.wrap_async_context_manager(self._transport))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.close()

    def send(self, message: Taken) -> Sent:
        """Send once, for at most `timeout_s`. Whatever goes wrong is told by what is returned."""
        try:
            return _judged(self._portal.call(self._answer, self._signed(message)))
        except TimeoutError:
            return Sent(delivered=False, error=f"no answer within {self._destination.timeout_s:g} s")
        except httpx.HTTPError as error:
            # The text of some names the URL, which may hold a token.
            return Sent(delivered=False, error=f"no answer: {type(error).__name__}")
        except SchemeError as error:
            return Sent(delivered=False, error=f"cannot be signed: {error}")

    def _signed(self, message: Taken) -> httpx.Request:
        # draft-ietf-httpapi-idempotency-key-header-07 section 2.1: a structured field of type string.
        headers = {
            "User-Agent": "tocsin",
            "Content-Type": message.content_type,
            "Idempotency-Key": f'"{message.id}"',
        }
        if self._id_header is not None:
            headers[self._id_header] = message.id
        request = httpx.Request("POST", self._destination.url, content=message.body, headers=headers)
        return next(self._auth.auth_flow(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        """Its status and headers. Raises TimeoutError, httpx.HTTPError."""
        with fail_after(self._destination.timeout_s):
            response = await self._transport.handle_async_request(request)
        await response.aclose()
        return response


def _judged(response: httpx.Response) -> Sent:
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
        # The host that is sent to: urlsplit passes over characters that httpx refuses.
        host, _ = httpx.URL(url).host, parts.port
    except (ValueError, httpx.InvalidURL):
        raise OutboxError(f"{name}: url: wanted https://host/path") from None
    if parts.username is not None or parts.fragment:
        raise OutboxError(f"{name}: url: wanted it without user, password and fragment")
    if not host or parts.scheme not in {"https", "http"}:
        raise OutboxError(f"{name}: url: wanted https://host/path")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise OutboxError(f"{name}: url is http: a message to {host} would be read on its way; wanted https")
