"""Whose thread a handler runs on."""

import json
import threading
from collections.abc import Callable
from typing import Any

from tests.guard.shop import Shop, write_order
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed, Transaction

MakeShop = Callable[..., Shop]


def test_a_handler_runs_on_the_thread_that_received_its_request_and_no_thread_is_started(make_shop: MakeShop) -> None:
    """Flask's context, Django's connection and scoped sessions belong to it."""
    ran_on: dict[str, int] = {}

    def notes(signed: Signed, tx: Transaction) -> Any:
        ran_on[json.loads(signed.body)["order_id"]] = threading.get_ident()
        return write_order(signed, tx)

    shop = make_shop(handler=notes)
    numbers = iter(range(16))
    sent_on: dict[str, int] = {}

    def order() -> None:
        order_id = str(next(numbers))
        sent_on[order_id] = threading.get_ident()
        shop.order(order_id)

    before = set(threading.enumerate())
    together(16, order)
    assert ran_on == sent_on
    assert set(threading.enumerate()) == before
