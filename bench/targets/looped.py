"""The same service on an event loop: between look and insert the handler yields once, as any await does."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

SECRET = b"bench"
orders: Counter[str] = Counter()
stamps: defaultdict[str, list[int]] = defaultdict(list)


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        body, more = body + message["body"], message["more_body"]
    at_ns = time.monotonic_ns()
    if scope["method"] == "GET":
        wanted = parse_qs(scope["query_string"].decode())["id"][0]
        status, answer = 200, {"effects": orders[wanted], "stamps": stamps[wanted]}
    else:
        status, answer = await order(dict(scope["headers"]), body, at_ns)
    content = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def order(headers: dict[bytes, bytes], body: bytes, at_ns: int) -> tuple[int, dict[str, Any]]:
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, headers.get(b"x-signature", b"").decode("latin-1")):
        return 401, {"error": "signature"}
    burst = json.loads(body)["id"]
    stamps[burst].append(at_ns)
    known = orders[burst]
    await asyncio.sleep(0)
    if not known:
        orders[burst] += 1
    return 200, {"status": "duplicate" if known else "accepted"}
