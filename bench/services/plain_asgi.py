"""The order endpoint on plain ASGI, without signature, claim and database: what the protocol alone costs."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HEADERS = [(b"content-type", b"application/json")]

Message = MutableMapping[str, Any]


async def app(_scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[..., Awaitable[None]]) -> None:
    assert json.loads((await receive())["body"])["order_id"]
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b'{"status": "processed"}'})
