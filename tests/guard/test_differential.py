"""What today's libraries run twice, lose, leak or lock, as cases for this guard on Flask and SQLite.

Cases that only another store or framework can meet (leases, Redis, ASGI middleware, response models) have no test here.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.guard.shop import Shop, write_order
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed, Transaction, body_digest, json_pointer
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.testing import ANSWER, claim
from tocsin.signing import KeyEntry, KeyRing, Secret, preset

MakeShop = Callable[..., Shop]
OLD = Secret(b"the secret before rotation", key_id="old")
NEW = Secret(b"the secret after rotation!", key_id="new")
TOCSIN = preset("tocsin-v1")


def test_a_middleware_around_the_answer_does_not_turn_the_guard_off(make_shop: MakeShop) -> None:
    """Elsewhere a middleware makes the answer a stream, and streams are not remembered: 2 effects."""
    shop = make_shop()
    inner = shop.app.wsgi_app
    shop.app.wsgi_app = lambda environ, start: iter(list(inner(environ, start)))  # type: ignore[assignment, method-assign]
    assert shop.order().data == shop.order().data
    assert shop.orders == ["17"]


def test_a_body_of_1_2_mb_is_refused_and_not_let_through_unguarded(shop: Shop) -> None:
    assert shop.order(padding="x" * 1_200_000).status_code == 413
    assert (shop.runs, shop.orders) == (0, [])


def test_a_client_with_another_address_is_the_same_sender(shop: Shop) -> None:
    body = b'{"order_id":"17"}'
    for address in ("192.0.2.1", "192.0.2.2"):
        shop.app.test_client().post(
            "/order", data=body, headers=list(shop.signed(body)), environ_overrides={"REMOTE_ADDR": address}
        )
    assert shop.orders == ["17"]


def test_five_concurrent_duplicates_have_one_effect(shop: Shop) -> None:
    answers = together(5, shop.order)
    assert len({answer.data for answer in answers}) == 1
    assert shop.orders == ["17"]


def test_the_query_is_part_of_the_request(shop: Shop) -> None:
    """Elsewhere ?amount=999 is answered with the answer to ?amount=1."""
    body = b'{"order_id":"17"}'
    client = shop.app.test_client()
    answers = [client.post(f"/order?amount={n}", data=body, headers=list(shop.signed(body))) for n in (1, 1, 999)]
    assert [answer.status_code for answer in answers] == [200, 200, 422]


@pytest.mark.parametrize(
    "body", [b'{"order_id":"17","to":"alice","to":"bob"}', b'{"order_id":"17","order_id":"18"}'], ids=["beside", "key"]
)
def test_a_body_with_duplicate_members_is_refused(shop: Shop, body: bytes) -> None:
    """Two readers could take a different one."""
    assert shop.post(body).status_code == 400
    assert shop.runs == 0


def test_tenants_never_get_each_others_answers(make_shop: MakeShop) -> None:
    alice, bob = Secret(b"the secret of alice"), Secret(b"the secret of bob!!")
    shop = make_shop(keys=KeyRing([KeyEntry(alice, "alice"), KeyEntry(bob, "bob")]))
    answers = [shop.post({"order_id": "17"}, secret=secret) for secret in (alice, bob, alice)]
    assert answers[0].data != answers[1].data
    assert answers[0].data == answers[2].data
    assert shop.orders == ["17", "17"]


def test_an_exception_locks_no_key(make_shop: MakeShop) -> None:
    """Elsewhere: 409 for ever, or for a day."""

    def fails(signed: Signed, tx: Transaction) -> Any:
        write_order(signed, tx)
        raise RuntimeError

    shop = make_shop(handler=fails)
    with pytest.raises(RuntimeError):
        shop.order()
    shop.handler = write_order
    assert shop.order().status_code == 200


def test_a_503_is_not_remembered_because_its_writes_were_rolled_back(make_shop: MakeShop) -> None:
    shop = make_shop(handler=lambda signed, tx: (write_order(signed, tx), 503))
    assert shop.order().status_code == 503
    shop.handler = write_order
    assert shop.order().status_code == 200
    assert shop.orders == ["17"]


def test_a_duplicate_leaves_no_lock_behind(tmp_path: Path) -> None:
    """Elsewhere the failed INSERT's transaction stays open, and everybody else finds the database locked."""
    store = SQLiteStore(tmp_path / "store.db")
    first = store.take(claim(), 1)
    assert isinstance(first, Granted)
    first.settle(ANSWER)
    assert isinstance(store.take(claim(), 1), Record)
    with closing(sqlite3.connect(store.path, timeout=0, isolation_level=None)) as db:
        db.execute("CREATE TABLE somebody_elses (id)")


@pytest.mark.parametrize("spelled", ["+{t}", " {t}", "{t}.0", "0{t}", "1_7", "1.7e9"])
def test_an_alias_of_the_timestamp_is_refused(make_shop: MakeShop, spelled: str) -> None:
    """Elsewhere one signature verifies under many spellings, and each is a new message to a nonce store."""
    shop = make_shop(scheme=preset("stripe"))
    body = b'{"order_id":"17"}'
    ((name, value),) = shop.signed(body)
    time = str(int(shop.clock.now))
    alias = value.replace(f"t={time}", f"t={spelled.format(t=time)}")
    assert shop.app.test_client().post("/order", data=body, headers=[(name, alias)]).status_code == 401


def test_junk_beside_a_good_signature_does_not_hide_it(make_shop: MakeShop) -> None:
    shop = make_shop(scheme=preset("stripe"))
    body = b'{"order_id":"17"}'
    ((name, value),) = shop.signed(body)
    headers = [(name, value.replace("v1=", "v1=junk,v1="))]
    assert shop.app.test_client().post("/order", data=body, headers=headers).status_code == 200


def test_a_timestamp_from_the_future_is_refused(make_shop: MakeShop) -> None:
    shop = make_shop(scheme=preset("stripe"))
    body = b'{"order_id":"17"}'
    headers = list(shop.signed(body))
    shop.clock.now -= 365 * 86_400
    assert shop.app.test_client().post("/order", data=body, headers=headers).status_code == 401


def test_a_body_that_is_not_utf_8_is_verified_over_its_bytes(make_shop: MakeShop) -> None:
    shop = make_shop(handler=lambda signed, _tx: signed.body, route={"key": body_digest(days=3)})
    assert shop.post(b"\xff\xfe\x00").data == b"\xff\xfe\x00"


def test_a_senders_own_retry_signed_afresh_is_a_duplicate(make_shop: MakeShop) -> None:
    """New timestamp, new signature, same message id: keyed on the signature it would take effect twice."""
    shop = make_shop(scheme=preset("stripe"), route={})
    first = shop.post({"id": "evt_1"})
    shop.clock.now += 3600
    again = shop.post({"id": "evt_1", "attempt": 2})
    assert again.data == first.data
    assert shop.orders == ["evt_1"]


def test_a_retry_under_a_rotated_secret_takes_effect_once(make_shop: MakeShop) -> None:
    shop = make_shop(scheme=TOCSIN, keys=KeyRing.of(OLD, NEW), route={})
    headers = (("Idempotency-Key", "a1"),)
    answers = [shop.post({"order_id": "17"}, headers=headers, secret=secret) for secret in (OLD, NEW)]
    assert answers[0].data == answers[1].data
    assert shop.orders == ["17"]


def test_the_message_id_of_tocsin_v1_is_the_idempotency_key_bare_or_quoted(make_shop: MakeShop) -> None:
    shop = make_shop(scheme=TOCSIN, route={})
    bodies = [shop.post({"order_id": "17"}, headers=(("Idempotency-Key", key),)).data for key in ("a1", '"a1"')]
    assert bodies[0] == bodies[1]
    assert shop.runs == 1


def test_the_same_idempotency_key_for_another_request_is_422(make_shop: MakeShop) -> None:
    shop = make_shop(scheme=TOCSIN, route={})
    headers = (("Idempotency-Key", "a1"),)
    assert shop.post({"order_id": "17"}, headers=headers).status_code == 200
    assert shop.post({"order_id": "18"}, headers=headers).status_code == 422


def test_the_type_of_an_id_counts(shop: Shop) -> None:
    """1 and "1" are two orders to the sender."""
    for order_id in (1, "1"):
        assert shop.order(order_id).status_code == 200
    assert shop.runs == 2


def test_a_key_in_the_route_arguments_reaches_the_handler(make_shop: MakeShop) -> None:
    shop = make_shop(scheme=TOCSIN)

    @shop.app.post("/items/<int:item>")
    @shop.guard.flask(key=json_pointer("/order_id"))
    def buy(_signed: Signed, _tx: Transaction, item: int) -> Any:
        return {"item": item}

    answer = shop.post({"order_id": "17"}, path="/items/5", headers=(("Idempotency-Key", "a"),))
    assert json.loads(answer.data) == {"item": 5}
    assert shop.query("SELECT operation FROM tocsin_claims") == [("/items/<int:item>",)]


def test_secrets_and_signatures_are_in_no_log(make_shop: MakeShop, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens: accepted, forged, refused, failed."""
    caplog.set_level(0)
    secret = Secret(b"a secret that must not be seen", key_id="k1")
    shop = make_shop(keys=KeyRing.of(secret), guard={"wait_s": 0.01})
    body = b'{"order_id":"17"}'
    ((_, signature),) = shop.signed(body, secret=secret)
    client = shop.app.test_client()
    for sent in (signature, signature[::-1], signature.upper(), signature + "00", f"sha256={signature}"):
        client.post("/order", data=body, headers=[("X-Signature", sent)])
    shop.post({"order_id": None}, secret=secret)
    shop.handler = lambda _signed, tx: tx.execute("COMMIT")
    with pytest.raises(Exception, match="refused"):
        shop.post({"order_id": "18"}, secret=secret)
    for hidden in (signature, signature[::-1], signature.upper(), "must not be seen"):
        assert hidden not in caplog.text


def test_rejections_are_logged_with_their_kind(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tocsin.guard")
    shop.post({"order_id": "17"}, secret=OLD)
    assert "/order: rejected: WrongSignature" in caplog.text
