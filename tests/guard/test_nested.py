"""Guarded operations inside guarded operations: one transaction, a claim and a savepoint each."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from flask import Response, abort

from tests.guard.shop import Shop, write_order
from tocsin.guard import GuardError, Signed, Transaction, TransactionMisuse, json_pointer

MakeShop = Callable[..., Shop]
View = Callable[[], Response]


def outer_and_inner(
    make_shop: MakeShop, inner: Callable[..., Any], outer: Callable[[View, Signed, Transaction], Any]
) -> Shop:
    """A shop whose order calls another guarded operation, with the id /payment_id of the same message."""
    shop = make_shop(guard={"shared_secret": True})
    payment = shop.guard.flask(key=json_pointer("/payment_id"), name="payment")(inner)
    shop.handler = lambda signed, tx: outer(payment, signed, tx)
    return shop


def pay(_signed: Signed, tx: Transaction) -> Any:
    tx.execute("INSERT INTO orders VALUES ('paid')")
    return "paid"


def pay_and_write(payment: View, signed: Signed, tx: Transaction) -> Any:
    answer = payment()
    write_order(signed, tx)
    return answer.get_data()


def send(shop: Shop, order_id: str = "17", payment_id: str = "p1") -> Any:
    return shop.post({"order_id": order_id, "payment_id": payment_id})


def test_both_are_committed_together_under_their_own_keys(make_shop: MakeShop) -> None:
    shop = outer_and_inner(make_shop, pay, pay_and_write)
    assert send(shop).data == b"paid"
    assert shop.orders == ["paid", "17"]
    names = shop.query("SELECT operation FROM tocsin_claims ORDER BY operation")
    assert names == [("/order",), ("payment",)]


def test_the_inner_operation_takes_effect_once_for_two_outer_ones(make_shop: MakeShop) -> None:
    shop = outer_and_inner(make_shop, pay, pay_and_write)
    assert send(shop, "17").data == b"paid"
    # Another message with the same payment: refused by its fingerprint, and the outer one says what it got.
    again = send(shop, "18")
    assert b"used before" in again.data
    assert shop.orders == ["paid", "17", "18"]


def test_the_inner_operation_called_twice_in_one_transaction_runs_once(make_shop: MakeShop) -> None:
    def twice(payment: View, signed: Signed, tx: Transaction) -> Any:
        first, again = payment(), payment()
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.get_data() == first.get_data()
        return write_order(signed, tx)

    shop = outer_and_inner(make_shop, pay, twice)
    assert send(shop).status_code == 200
    assert shop.orders == ["paid", "17"]


def test_what_the_outer_one_rolls_back_takes_the_inner_one_with_it(make_shop: MakeShop) -> None:
    def fails(payment: View, signed: Signed, tx: Transaction) -> Any:
        pay_and_write(payment, signed, tx)
        abort(503)

    shop = outer_and_inner(make_shop, pay, fails)
    assert send(shop).status_code == 503
    assert (shop.orders, shop.claims) == ([], 0)


def test_an_inner_operation_that_fails_is_undone_alone_if_the_outer_one_goes_on(make_shop: MakeShop) -> None:
    def inner(signed: Signed, tx: Transaction) -> Any:
        pay(signed, tx)
        raise RuntimeError("no money")

    def goes_on(payment: View, signed: Signed, tx: Transaction) -> Any:
        with pytest.raises(RuntimeError, match="no money"):
            payment()
        return write_order(signed, tx)

    shop = outer_and_inner(make_shop, inner, goes_on)
    assert send(shop).status_code == 200
    assert (shop.orders, shop.claims) == (["17"], 1)


def test_an_inner_refusal_is_undone_and_remembered_with_the_outer_one(make_shop: MakeShop) -> None:
    def inner(signed: Signed, tx: Transaction) -> Any:
        pay(signed, tx)
        abort(403)

    def goes_on(payment: View, signed: Signed, tx: Transaction) -> Any:
        assert payment().status_code == 403
        return write_order(signed, tx)

    shop = outer_and_inner(make_shop, inner, goes_on)
    assert send(shop).status_code == 200
    assert (shop.orders, shop.claims) == (["17"], 2)


def test_a_handler_that_calls_itself_is_refused(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.handler = lambda _signed, _tx: shop.view()
    with pytest.raises(GuardError, match="called itself again under its own key"):
        shop.order()
    assert (shop.orders, shop.claims) == ([], 0)


def test_control_is_refused_after_an_inner_operation_as_before(make_shop: MakeShop) -> None:
    def commits(payment: View, signed: Signed, tx: Transaction) -> Any:
        payment()
        with suppress(TransactionMisuse):
            tx.execute("COMMIT")
        return write_order(signed, tx)

    shop = outer_and_inner(make_shop, pay, commits)
    assert send(shop).status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)


def test_an_inner_operation_that_tried_to_commit_takes_the_outer_one_with_it(make_shop: MakeShop) -> None:
    def inner(signed: Signed, tx: Transaction) -> Any:
        pay(signed, tx)
        with suppress(TransactionMisuse):
            tx.execute("COMMIT")
        return "paid"

    shop = outer_and_inner(make_shop, inner, pay_and_write)
    assert send(shop).status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)


def test_an_inner_operation_after_a_roll_back_opens_no_transaction_of_its_own(make_shop: MakeShop) -> None:
    """SQLite would take its SAVEPOINT for a BEGIN and its RELEASE for a COMMIT."""

    def rolled_back(payment: View, _signed: Signed, tx: Transaction) -> Any:
        tx.execute("CREATE TABLE things (id INTEGER PRIMARY KEY)")
        with pytest.raises(sqlite3.IntegrityError):
            tx.executemany("INSERT OR ROLLBACK INTO things VALUES (?)", [(1,), (1,)])
        assert payment().status_code == 500
        return "done"

    shop = outer_and_inner(make_shop, pay, rolled_back)
    assert send(shop).status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)


def test_an_inner_operation_that_rolls_back_takes_the_outer_one_with_it(make_shop: MakeShop) -> None:
    def inner(_signed: Signed, tx: Transaction) -> Any:
        tx.execute("CREATE TABLE things (id INTEGER PRIMARY KEY)")
        tx.executemany("INSERT OR ROLLBACK INTO things VALUES (?)", [(1,), (1,)])

    def goes_on(payment: View, _signed: Signed, _tx: Transaction) -> Any:
        with pytest.raises(sqlite3.IntegrityError):
            payment()
        return "done"

    shop = outer_and_inner(make_shop, inner, goes_on)
    assert send(shop).status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)
