"""The services behind the middlewares: they say what reached them."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from tocsin.signing import PRESETS, KeyRing, Secret, Verified
from tocsin.signing.servers.asgi import SignedOnly as SignedOnlyAsgi
from tocsin.signing.servers.wsgi import SignedOnly as SignedOnlyWsgi

SCHEME = PRESETS["tocsin-v1"]
SECRET = Secret(b"0123456789abcdef0123456789abcdef", "k1")
KEYS = KeyRing.of(SECRET)
MOST_BYTES = 3 << 20


def report(verified: Verified, body: bytes, content_length: object) -> bytes:
    return json.dumps(
        {
            "scheme": verified.scheme,
            "message_id": verified.message_id,
            "sha256": hashlib.sha256(body).hexdigest(),
            "length": len(body),
            "content_length": content_length,
        }
    ).encode()


def plain_wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    answer = report(environ["tocsin.verified"], environ["wsgi.input"].read(), environ["CONTENT_LENGTH"])
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{event['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = bytearray()
    while (event := await receive()).get("more_body", False):
        body += event["body"]
    body += event["body"]
    answer = report(scope["tocsin.verified"], bytes(body), dict(scope["headers"]).get(b"content-length", b"").decode())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


wsgi = SignedOnlyWsgi(plain_wsgi, scheme=SCHEME, keys=lambda: KEYS, max_body_bytes=MOST_BYTES)
asgi = SignedOnlyAsgi(plain_asgi, scheme=SCHEME, keys=KEYS, max_body_bytes=MOST_BYTES)
