"""In which order a request is judged, and what a stranger's request may be answered."""

from collections.abc import Callable

import pytest
from flask import abort

from tests.guard.shop import SECRET, Shop
from tocsin.signing import Secret, preset

MakeShop = Callable[..., Shop]
STRANGER = Secret(b"somebody else's secret")
LONG = "x" * 2000
JUNK = (
    "",
    ",",
    "=",
    "v1",
    "v1=",
    "t=1,v1=",
    "t=,v1=00",
    "v1,",
    "v1,!!!",
    "\xe9",
    "sha256=\xff",
    "v0=" + "0" * 9999,
    "%00",
)


@pytest.mark.parametrize(
    ("order_id", "padding", "secret", "status"),
    [
        (None, LONG, STRANGER, 413),
        ("17", LONG, None, 413),
        (None, "", STRANGER, 401),
        ("17", "", STRANGER, 401),
        (None, "", None, 400),
        ("17", "", None, 200),
    ],
)
def test_of_several_things_that_are_wrong_the_first_one_in_the_order_is_answered(
    make_shop: MakeShop, order_id: str | None, padding: str, secret: Secret | None, status: int
) -> None:
    """The body's length, the signature, the idempotency key, and only then the claim."""
    shop = make_shop(guard={"max_body_bytes": 1000})
    answer = shop.post({"order_id": order_id, "padding": padding}, secret=SECRET if secret is None else secret)
    assert answer.status_code == status
    assert shop.claims == shop.runs == (1 if status == 200 else 0)


def test_what_flask_refuses_before_the_guard_is_never_remembered(shop: Shop) -> None:
    """Another method, an unknown path, a refusal of the application's own: the same message counts afterwards."""
    refusing = [True]

    @shop.app.before_request
    def authorises() -> None:
        if refusing[0]:
            abort(403)

    body = b'{"order_id":"17"}'
    client, headers = shop.app.test_client(), list(shop.signed(body))
    assert client.post("/order", data=body, headers=headers).status_code == 403
    refusing[0] = False
    assert client.put("/order", data=body, headers=headers).status_code == 405
    assert client.post("/nowhere", data=body, headers=headers).status_code == 404
    assert shop.claims == 0
    assert client.post("/order", data=body, headers=headers).status_code == 200
    assert shop.orders == ["17"]


def test_another_value_of_a_member_that_is_given_twice_is_another_request(make_shop: MakeShop) -> None:
    """Elsewhere the body is parsed and written again, which keeps the last member only."""
    shop = make_shop(scheme=preset("tocsin-v1"), route={})
    headers = (("Idempotency-Key", "a1"),)
    bodies = (b'{"order_id":"17","to":"alice","to":"bob"}', b'{"order_id":"17","to":"mallory","to":"bob"}')
    assert [shop.post(body, headers=headers).status_code for body in bodies] == [200, 422]
    assert shop.runs == 1


@pytest.mark.parametrize("name", ["stripe", "slack", "standard-webhooks", "svix", "github", "paddle", "tocsin-v1"])
def test_junk_in_place_of_a_signature_is_401_and_never_500(make_shop: MakeShop, name: str) -> None:
    """In every header that the scheme reads, at once and one by one; elsewhere these are 500 for a stranger."""
    scheme = preset(name)
    shop = make_shop(scheme=scheme, route={} if scheme.message_id else None)
    body = b'{"order_id":"17","id":"evt_1"}'
    message_ids = dict.fromkeys(("Idempotency-Key", *scheme.covered_headers), "a1")
    good = dict(shop.signed(body, headers=tuple(message_ids.items())))
    carriers = [header for header in scheme.written_headers if header in good]
    client = shop.app.test_client()
    for junk in JUNK:
        for spoiled in ([*carriers], *([carrier] for carrier in carriers)):
            headers = [(header, junk if header in spoiled else value) for header, value in good.items()]
            assert client.post("/order", data=body, headers=headers).status_code == 401
    assert (shop.claims, shop.runs) == (0, 0)
