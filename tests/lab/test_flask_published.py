"""The published remedy behaves as published: what it gets right, and every hole that it leaves."""

import json
import sqlite3
from contextlib import closing

import pytest

from lab._bruteforce import Answer, OrderDesk, sign_hex


def send(desk: OrderDesk, body: bytes) -> Answer:
    return desk.send(body, sign_hex(body, "", desk.running.secret))


def status_in(answer: Answer) -> str:
    return str(json.loads(answer.body)["status"])


def test_an_order_is_processed_once_and_a_duplicate_later(published: OrderDesk) -> None:
    answers = [send(published, b'{"order_id":"twice"}') for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [status_in(answer) for answer in answers] == ["processed", "duplicate", "duplicate"]
    assert published.query("SELECT COUNT(*) FROM orders WHERE order_id = 'twice'") == 1


@pytest.mark.parametrize("signature", [None, "", "0" * 64], ids=["missing", "empty", "wrong"])
def test_a_missing_or_wrong_signature_is_refused_and_writes_nothing(
    published: OrderDesk, signature: str | None
) -> None:
    headers = {} if signature is None else {"X-Signature": signature}
    assert published.send(b'{"order_id":"forged"}', headers).status == 401
    assert published.query("SELECT COUNT(*) FROM orders WHERE order_id = 'forged'") == 0


@pytest.mark.parametrize("octets", ["\xe9", "\xc3\xa9", "\xff" * 64], ids=["latin-1", "utf-8", "64 octets"])
def test_a_signature_outside_ascii_is_answered_500(published: OrderDesk, octets: str) -> None:
    assert published.send(b'{"order_id":"forged"}', {"X-Signature": octets}).status == 500


def test_an_order_id_null_is_applied_every_time(published: OrderDesk) -> None:
    before = published.query("SELECT COUNT(*) FROM orders WHERE order_id IS NULL")
    assert [status_in(send(published, b'{"order_id":null}')) for _ in range(3)] == ["processed"] * 3
    assert published.query("SELECT COUNT(*) FROM orders WHERE order_id IS NULL") == before + 3


@pytest.mark.parametrize("body", [b"{}", b'{"order_id":["a"]}', b'["order_id"]', b"7", b'{"order_id"', b"\xff"])
def test_a_well_signed_body_without_a_usable_order_id_is_answered_500(published: OrderDesk, body: bytes) -> None:
    assert send(published, body).status == 500


def test_the_same_order_with_other_content_is_silently_dropped(published: OrderDesk) -> None:
    send(published, b'{"order_id":"mind-changed","qty":1}')
    assert status_in(send(published, b'{"order_id":"mind-changed","qty":99}')) == "duplicate"


def test_a_row_that_was_never_processed_is_called_a_duplicate(published: OrderDesk) -> None:
    send(published, b'{"order_id":"makes-the-table"}')
    with closing(sqlite3.connect(published.running.data / "orders.db")) as db:
        db.execute("INSERT INTO orders (order_id, processed) VALUES ('half-done', 0)")
        db.commit()
    assert status_in(send(published, b'{"order_id":"half-done"}')) == "duplicate"
    assert published.query("SELECT processed FROM orders WHERE order_id = 'half-done'") == 0


def test_a_database_that_stays_locked_is_answered_500(published: OrderDesk) -> None:
    """The 5 s busy time-out of SQLite's default, and then an exception that nobody catches."""
    send(published, b'{"order_id":"makes-the-table"}')
    with closing(sqlite3.connect(published.running.data / "orders.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert send(published, b'{"order_id":"locked-out"}').status == 500


def test_a_body_is_hashed_whatever_its_size(published: OrderDesk) -> None:
    assert status_in(send(published, b'{"order_id":"huge","pad":"' + b"x" * 2**22 + b'"}')) == "processed"
