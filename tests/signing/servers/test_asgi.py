"""What a server may say to an ASGI application, event by event."""

import asyncio
from typing import Any

from tests.signing.servers.apps import KEYS, SCHEME, SECRET
from tocsin.signing import Message, sign
from tocsin.signing.servers.asgi import SignedOnly

NOW = 1_700_000_000
BODY = b'{"item":"sku-1"}'
Event = dict[str, Any]


def scope(body: bytes = BODY, **more: Any) -> Event:
    message = Message("POST", "/order", (("idempotency-key", "order-17"),), body)
    headers = message.headers + sign(message, SCHEME, SECRET, now=NOW)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/order",
        "raw_path": b"/order",
        "query_string": b"",
        "headers": raw,
        **more,
    }


def part(body: bytes, *, more: bool = False) -> Event:
    return {"type": "http.request", "body": body, "more_body": more}


class Service:
    """An application that reads all there is, and one event more."""

    def __init__(self) -> None:
        self.scope: Event = {}
        self.events: list[Event] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        while not self.events or self.events[-1].get("more_body"):
            self.events.append(await receive())
        self.events.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def play(service: Service, given: Event, *events: Event, **options: Any) -> list[Event]:
    """Run the middleware on what a server would say; what it says to the server."""
    said: list[Event] = []
    pending = list(events)

    async def receive() -> Event:
        return pending.pop(0)

    async def send(event: Any) -> None:
        said.append(event)

    app = SignedOnly(service, scheme=SCHEME, keys=KEYS, clock=lambda: NOW, **options)
    asyncio.run(app(given, receive, send))
    return said


def test_the_application_receives_the_body_and_then_what_the_server_says() -> None:
    service = Service()
    given = scope()
    said = play(service, given, part(BODY[:3], more=True), part(BODY[3:]), {"type": "http.disconnect"})
    assert service.events == [part(BODY), {"type": "http.disconnect"}]
    assert service.scope["tocsin.verified"].message_id == "order-17"
    assert "tocsin.verified" not in given, "the server's own scope is left alone"
    assert said[0]["status"] == 200


def test_a_longer_body_arrives_in_parts() -> None:
    service = Service()
    body = bytes(150_000)
    play(service, scope(body), part(body), {"type": "http.disconnect"})
    assert [event.get("more_body") for event in service.events] == [True, True, False, None]
    assert b"".join(event.get("body", b"") for event in service.events) == body


def test_an_event_may_leave_out_what_is_empty() -> None:
    service = Service()
    play(service, scope(b""), {"type": "http.request"}, {"type": "http.disconnect"})
    assert service.events[0] == part(b"")


def test_a_client_that_goes_before_its_body_ends_reaches_nobody() -> None:
    service = Service()
    assert play(service, scope(), part(BODY[:3], more=True), {"type": "http.disconnect"}) == []
    assert service.scope == {}


def test_a_rejected_request_reaches_nobody() -> None:
    service = Service()
    said = play(service, scope(headers=[]), part(BODY))
    assert [said[0]["status"], service.scope] == [401, {}]
    assert (b"www-authenticate", b"HMAC") in said[0]["headers"]


def test_only_http_1_is_told_to_close_the_connection() -> None:
    for version, has_field in (("1.1", True), ("1.0", True), ("2", False), ("3", False)):
        given = scope(http_version=version, headers=[(b"content-length", b"1048577")])
        (start, body) = play(Service(), given)
        assert start["status"] == 413
        assert ((b"connection", b"close") in start["headers"]) == has_field
        assert (b"content-length", str(len(body["body"])).encode()) in start["headers"]


def test_a_websocket_is_refused() -> None:
    service = Service()
    said = play(service, {"type": "websocket", "headers": []}, {"type": "websocket.connect"})
    assert (said, service.scope) == ([{"type": "websocket.close", "code": 1008}], {})


def test_the_lifespan_is_the_applications_own() -> None:
    service = Service()
    play(service, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert service.scope == {"type": "lifespan"}
