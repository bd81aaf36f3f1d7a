"""The order endpoint on plain WSGI."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from bench.costs.chosen import IS_GUARDED, KEY, guard, orders

BODY = b'{"status": "processed"}'
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]
Start = Callable[..., object]


def bare(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    received = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    orders.write_alone(json.loads(received)["order_id"])
    start_response("200 OK", HEADERS)
    return [BODY]


@guard.wsgi(name="/order", key=KEY)
def guarded(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    orders.write(environ["tocsin.tx"], environ["tocsin.signed"].json()["order_id"])
    start_response("200 OK", HEADERS)
    return [BODY]


order: Any = guarded if IS_GUARDED else bare


def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/ready":
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]
    answer: Iterable[bytes] = order(environ, start_response)
    return answer
