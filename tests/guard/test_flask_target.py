"""The request target as it was on the wire: what schemes that sign the path and query verify."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import request

from tests.guard.shop import NOW, SECRET, Shop
from tocsin.guard import Signed, Transaction
from tocsin.signing import Message, preset, sign
from tocsin.signing.servers import wsgi_target

TOCSIN = preset("tocsin-v1")


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"RAW_URI": "/a%2Fb?x=%7E&y", "PATH_INFO": "/a/b", "QUERY_STRING": "x=%7E&y"}, "/a%2Fb?x=%7E&y"),
        ({"REQUEST_URI": "/a%20b"}, "/a%20b"),
        ({"RAW_URI": "http://shop.example/a?b"}, "/a?b"),
        ({"RAW_URI": "http://shop.example"}, "/"),
        ({"RAW_URI": "http://shop.example?b"}, "/?b"),
        ({"RAW_URI": "http://shop.example?b=/"}, "/?b=/"),
        ({"RAW_URI": "*"}, "*"),
        (
            {"SCRIPT_NAME": "/shop", "PATH_INFO": "/a b/\xc3\xa4%", "QUERY_STRING": "x=1%20"},
            "/shop/a%20b/%C3%A4%25?x=1%20",
        ),
        ({"PATH_INFO": "/a:@!$&'()*+,;=~-._b"}, "/a:@!$&'()*+,;=~-._b"),
        ({}, ""),
    ],
    ids=[
        "gunicorn",
        "uWSGI",
        "absolute form",
        "absolute form without path",
        "absolute form with query only",
        "absolute form with a slash in its query",
        "asterisk form",
        "quoted again",
        "what needs no quoting is not quoted",
        "nothing",
    ],
)
def test_the_raw_target_is_taken_where_the_server_gives_it(environ: dict[str, str], target: str) -> None:
    assert wsgi_target(environ) == target


@pytest.mark.parametrize("target", ["/order", "/order?amount=1", "/order?a=%7E&b=%20&b=+", "/%6Frder"])
def test_a_signed_target_is_verified_as_it_was_spelled(make_shop: Callable[..., Shop], target: str) -> None:
    shop = make_shop(scheme=TOCSIN)
    headers = (("Idempotency-Key", "a"),)
    signed = sign(Message("POST", target, headers, b'{"order_id":"17"}'), TOCSIN, SECRET, now=NOW)
    sent: Any = {"data": b'{"order_id":"17"}', "headers": [*headers, *signed]}
    assert shop.app.test_client().post(target, **sent).status_code == 200
    assert shop.app.test_client().post(f"{target.partition('?')[0]}?amount=999", **sent).status_code == 401


def test_the_body_stays_readable_through_flask(make_shop: Callable[..., Shop]) -> None:
    """A handler that prefers Flask's request finds the bytes that were verified."""

    def handler(signed: Signed, _tx: Transaction) -> Any:
        assert request.get_data() == signed.body
        return {"order": request.get_json(force=True)["order_id"], "same": signed.json()}

    assert json.loads(make_shop(handler=handler).order().data) == {"order": "17", "same": {"order_id": "17"}}
