"""The vulnerable original does in sequence what it should; its bugs are those that expected.toml names, no others."""

import http.client
import json
from typing import Any

import pytest

from lab._bruteforce import OrderDesk


def get(desk: OrderDesk, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", desk.running.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    said = answer.status, json.load(answer)
    connection.close()
    return said


def test_an_order_takes_one_piece_and_is_counted(vulnerable: OrderDesk) -> None:
    item = vulnerable.new_item()
    answer = vulnerable.send(*vulnerable.order(item, "order-1"))
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "processed"})
    assert get(vulnerable, f"/items/{item}") == (200, {"item": item, "stock": 4})
    assert get(vulnerable, "/orders/order-1") == (200, {"order_id": "order-1", "count": 1})


def test_the_same_order_later_is_a_duplicate_and_changes_nothing(vulnerable: OrderDesk) -> None:
    item = vulnerable.new_item()
    order = vulnerable.order(item)
    vulnerable.send(*order)
    assert json.loads(vulnerable.send(*order).body) == {"status": "duplicate"}
    assert get(vulnerable, f"/items/{item}") == (200, {"item": item, "stock": 4})


def test_an_order_for_nothing_left_is_refused(vulnerable: OrderDesk) -> None:
    assert vulnerable.send(*vulnerable.order(vulnerable.new_item(stock=0))).status == 409
    assert vulnerable.send(*vulnerable.order("no-such-item")).status == 409


def test_an_unknown_item_is_not_found_and_an_unknown_order_counts_nothing(vulnerable: OrderDesk) -> None:
    assert get(vulnerable, "/items/no-such-item")[0] == 404
    assert get(vulnerable, "/orders/no-such-order") == (200, {"order_id": "no-such-order", "count": 0})


@pytest.mark.parametrize("spelling", ["", "0" * 64, "upper", "é"], ids=["missing", "wrong", "upper case", "non-ASCII"])
def test_only_the_exact_signature_is_accepted(vulnerable: OrderDesk, spelling: str) -> None:
    """Every forgery is refused with 401, but a character outside ASCII breaks the comparison: 500."""
    item = vulnerable.new_item()
    body, headers = vulnerable.order(item)
    headers["X-Signature"] = headers["X-Signature"].upper() if spelling == "upper" else spelling
    assert vulnerable.send(body, headers).status == (500 if spelling == "é" else 401)
    assert get(vulnerable, f"/items/{item}") == (200, {"item": item, "stock": 5})


def test_a_reset_forgets_orders_and_items(vulnerable: OrderDesk) -> None:
    vulnerable.send(*vulnerable.order(vulnerable.new_item()))
    connection = http.client.HTTPConnection("127.0.0.1", vulnerable.running.port, timeout=10)
    connection.request("POST", "/__reset")
    assert connection.getresponse().status == 200
    connection.close()
    assert vulnerable.query("SELECT (SELECT COUNT(*) FROM orders) + (SELECT COUNT(*) FROM items)") == 0
