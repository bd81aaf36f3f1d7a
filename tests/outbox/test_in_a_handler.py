"""A guarded handler writes a message with its effect: both or neither, on every store that speaks SQL."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.guard.postgres.cluster import Cluster
from tests.guard.postgres.shop import PostgresShop
from tests.guard.shop import Shop
from tocsin.guard import Signed, Transaction, TransactionMisuse
from tocsin.outbox import Outbox
from tocsin.outbox.postgres import PostgresOutbox
from tocsin.outbox.sqlite import SQLiteOutbox

Made = tuple[Any, Outbox]


@pytest.fixture(params=["sqlite", "postgres"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A guarded service and the outbox in its database."""
    if request.param == "sqlite":
        shop, outbox = Shop(tmp_path / "orders.db"), SQLiteOutbox(tmp_path / "orders.db")
        outbox.migrate()
        yield shop, outbox
        shop.store.close()
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    with cluster.database() as database:
        service, other = PostgresShop(database), PostgresOutbox(database.conninfo())
        other.migrate()
        yield service, other
        service.store.close()


def handler(outbox: Outbox, status: int) -> Callable[[Signed, Transaction], Any]:
    def order(signed: Signed, tx: Transaction) -> Any:
        outbox.put(tx, "partner", signed.body, message_id=f"order-{json.loads(signed.body)['order_id']}")
        if status == 0:
            raise RuntimeError("after the message was put")
        return {"status": "processed"}, status

    return order


def waiting(outbox: Outbox) -> list[str]:
    with outbox.connected() as session:
        return [kept.id for kept in session.list()]


def test_a_duplicate_puts_no_second_message(made: Made) -> None:
    shop, outbox = made
    shop.handler = handler(outbox, 200)
    answers = [shop.order("o1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert waiting(outbox) == ["order-o1"]


def test_a_handler_that_fails_leaves_no_message(made: Made) -> None:
    shop, outbox = made
    shop.app.testing = False
    shop.handler = handler(outbox, 0)
    assert shop.order("o2").status_code == 500
    assert waiting(outbox) == []


def test_a_handler_may_not_write_to_the_claims_beside_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "orders.db")
    refused = []

    def order(_signed: Signed, tx: Transaction) -> Any:
        with pytest.raises(TransactionMisuse) as caught:
            tx.execute("DELETE FROM tocsin_claims")
        refused.append(str(caught.value))
        return {"status": "refused"}

    shop.handler = order
    shop.order("o3")
    shop.store.close()
    assert "writing to tocsin_claims is refused" in refused[0]
