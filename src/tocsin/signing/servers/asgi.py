"""ASGI: lets through what is validly signed, and answers the rest itself.

    app = SignedOnly(app, scheme=PRESETS["github"], keys=KeyRing.of(Secret.from_env("HOOK_SECRET")))

The application finds a `Verified` at scope["tocsin.verified"], and receives the octets that were verified. WebSockets,
which nobody signs, are refused. A body above 1 MiB is written to a temporary file, which takes the event loop a moment
for each of its pieces.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import IO, Any, TypeAlias

from tocsin.signing import KeyRing, Message, Scheme, Verified
from tocsin.signing.servers._admission import MIB, VERIFIED, Admission, NotAdmitted, Reception
from tocsin.signing.servers._heads import asgi_headers, asgi_target
from tocsin.signing.servers._problems import Problem

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_CHUNK_BYTES = 64 * 1024
# RFC 6455 section 7.4.1: policy violation. Before the handshake is accepted, servers answer 403 for it.
_POLICY_VIOLATION = 1008


class SignedOnly:
    """An ASGI application around another: only verified requests reach it. Arguments and errors as for `Admission`."""

    def __init__(
        self,
        app: App,
        *,
        scheme: Scheme,
        keys: KeyRing | Callable[[], KeyRing],
        max_body_bytes: int = MIB,
        public_origin: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._admission = Admission(
            scheme, keys, max_body_bytes=max_body_bytes, public_origin=public_origin, clock=clock
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Verify, and call the application."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = asgi_headers(scope["headers"])
        head = Message(scope["method"], asgi_target(scope), headers, b"", self._admission.public_origin)
        reception = Reception(head, self._admission)
        try:
            self._admission.check_length(head.values("Content-Length"))
            verified = await _verified(reception, receive)
            if verified is not None:
                await self._app({**scope, VERIFIED: verified}, _replayed(reception.file, receive), send)
        except NotAdmitted as refused:
            await _answer(refused.problem, scope, send)
        finally:
            reception.close()


async def _verified(reception: Reception, receive: Receive) -> Verified | None:
    """The verdict on the whole body; None if the client has gone before its end.

    Raises:
        NotAdmitted: see Reception.
    """
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        reception.add(event.get("body", b""))
        if not event.get("more_body", False):
            return reception.finish()


def _replayed(body: IO[bytes], receive: Receive) -> Receive:
    """The body once more, then what the server says: that the client has gone."""
    is_over = False
    ahead = body.read(_CHUNK_BYTES)

    async def replay() -> Event:
        nonlocal is_over, ahead
        if is_over:
            return await receive()
        chunk, ahead = ahead, body.read(_CHUNK_BYTES)
        is_over = not ahead
        return {"type": "http.request", "body": chunk, "more_body": not is_over}

    return replay


async def _answer(problem: Problem, scope: Scope, send: Send) -> None:
    # RFC 9113 section 8.2.2: HTTP/2 has no Connection header.
    is_http_1 = str(scope.get("http_version", "1.1")).startswith("1")
    fields = [(name, value) for name, value in problem.headers if is_http_1 or name != "Connection"]
    fields.append(("Content-Length", str(len(problem.body))))
    raw = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in fields]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": problem.body})
