"""A desk under hypercorn: HTTP/1.1, HTTP/2 and TLS as they are spoken by a server that is not ours."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.scan.services.desk import Asked, Desk
from tests.wire.asgi import hypercorn
from tests.wire.certificates import Certificates


def application(desk: Desk) -> Callable[..., Any]:
    """The desk as an ASGI application; its methods block, so each request has a thread."""

    async def serve(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body, more = body + message["body"], message["more_body"]
        headers = tuple((name.decode().lower(), value.decode("latin-1")) for name, value in scope["headers"])
        target = scope["raw_path"].decode()
        answer = await asyncio.to_thread(desk.answer, Asked(scope["method"], target, headers, body))
        content = b"" if answer.document is None else json.dumps(answer.document).encode()
        given = [(name.lower().encode(), value.encode()) for name, value in (answer.headers or {}).items()]
        length = [] if answer.status == 204 else [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": answer.status, "headers": length + given})
        await send({"type": "http.response.body", "body": content})

    return serve


@contextmanager
def serving_by_hypercorn(desk: Desk, certificates: Certificates | None = None, **settings: Any) -> Iterator[Desk]:
    """The desk, reachable at its `base_url`."""
    with hypercorn(application(desk), certificates=certificates, **settings) as address:
        desk.base_url = str(address)
        yield desk
