"""The order endpoint on plain ASGI."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bench.costs.chosen import IS_GUARDED, KEY, guard, orders

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HEADERS = [(b"content-type", b"application/json")]


async def answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b'{"status": "processed"}'})


async def bare(_scope: Message, receive: Receive, send: Send) -> None:
    await orders.write_alone(json.loads((await receive())["body"])["order_id"])
    await answer(send)


@guard.asgi(name="/order", key=KEY)
async def guarded(scope: Message, _receive: Receive, send: Send) -> None:
    await orders.write(scope["tocsin.tx"], scope["tocsin.signed"].json()["order_id"])
    await answer(send)


order: Any = guarded if IS_GUARDED else bare


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await (answer(send) if scope["path"] == "/ready" else order(scope, receive, send))
