"""Claims that others meet: other stores, nested operations, other processes, a deadlock."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from tests.guard.sqlalchemy.backends import Backend, Order
from tests.guard.sqlalchemy.shop import LONG_S, SERVERS, MakeShop, Shop, granted, write_order
from tocsin.guard import GuardError, Signed
from tocsin.guard._errors import TransactionBroken
from tocsin.guard.stores import Record
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim


def test_the_raw_store_of_the_database_shares_the_claims(backend: Backend, shop: Shop) -> None:
    """One replay protection, whichever of the two a service uses."""
    raw = backend.raw()
    ours = shop.store
    granted(ours, "ours", kept_ms=1000).settle(ANSWER)
    theirs = raw.take(claim("theirs"), LONG_S)
    theirs.settle(ANSWER)
    for store, name in ((raw, "ours"), (ours, "theirs")):
        found = store.take(claim(name), LONG_S)
        assert isinstance(found, Record)
        assert found.body == ANSWER.body
    # Due by either's sweep: SQLite's rows say when only once they are settled.
    assert ours.sweep(NOW_UNIX_MS + 1000) == 1
    assert raw.look(claim("ours").key) is None
    raw.close()


def test_nested_operations_are_kept_or_undone_with_the_one_around_them(backend: Backend, shop: Shop) -> None:
    store = shop.store
    for is_kept in (False, True):
        outer = granted(store, "outer")
        outer.tx.add(Order(order_id="outer"))
        inner = granted(store, "inner")
        inner.tx.add(Order(order_id="inner"))
        inner.settle(ANSWER)
        undone = granted(store, "undone")
        undone.tx.add(Order(order_id="undone"))
        undone.abandon()
        assert isinstance(store.take(claim("inner"), LONG_S), Record)
        with pytest.raises(GuardError, match="its own key"):
            store.take(claim("outer"), LONG_S)
        outer.settle(ANSWER) if is_kept else outer.abandon()
        assert not store.is_inside()
        assert sorted(backend.orders) == (["inner", "outer"] if is_kept else [])
    assert backend.claims == 2


def test_a_nested_operation_that_cannot_be_kept_leaves_the_one_around_it(backend: Backend, shop: Shop) -> None:
    outer = granted(shop.store, "outer")
    outer.tx.add(Order(order_id="outer"))
    inner = granted(shop.store, "inner")
    inner.tx.add_all([Order(order_id="x"), Order(order_id="x")])
    with pytest.raises(TransactionBroken, match="still had to write"):
        inner.settle(ANSWER)
    outer.settle(ANSWER)
    assert (backend.orders, backend.claims) == (["outer"], 1)


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_at_every_isolation_level_a_duplicate_in_another_process_gets_the_stored_answer(
    level: str, backend: Backend, make_shop: MakeShop
) -> None:
    inside, go_on = Event(), Event()

    def waits(signed: Signed, session: Session) -> Any:
        inside.set()
        assert go_on.wait(LONG_S)
        return write_order(signed, session)

    # In another process' place: a store of its own does not know what the first one is applying.
    shops = [
        make_shop(source=sessionmaker(backend.engine(isolation_level=level)), handler=waits, guard={"wait_s": LONG_S})
        for _ in range(2)
    ]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shops[0].order)
        assert inside.wait(LONG_S)
        second = pool.submit(shops[1].order)
        go_on.set()
        assert first.result().data == second.result().data
    assert (backend.orders, shops[0].runs + shops[1].runs) == (["17"], 1)


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
@pytest.mark.parametrize("is_swallowed", [False, True], ids=["raised", "swallowed"])
def test_of_two_handlers_in_a_deadlock_one_runs_again(
    *, is_swallowed: bool, backend: Backend, make_shop: MakeShop
) -> None:
    backend.query("INSERT INTO shop_orders (order_id) VALUES ('a'), ('b')")
    both = [Event(), Event()]

    def crosses(index: int, signed: Signed, session: Session) -> Any:
        first, second = ("a", "b") if index == 0 else ("b", "a")
        update = text("UPDATE shop_orders SET order_id = order_id WHERE order_id = :order_id")
        session.execute(update, {"order_id": first})
        both[index].set()
        assert both[1 - index].wait(LONG_S)
        try:
            session.execute(update, {"order_id": second})
        except DBAPIError:
            if not is_swallowed:
                raise
            return {}, 201
        return write_order(signed, session)

    shops = [
        make_shop(handler=lambda signed, tx, at=at: crosses(at, signed, tx), guard={"wait_s": LONG_S}) for at in (0, 1)
    ]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(shop.order, str(at)) for at, shop in enumerate(shops)]
        assert [answer.result().status_code for answer in answers] == [201, 201]
    assert sorted(backend.orders) == ["0", "1", "a", "b"]
    assert shops[0].runs + shops[1].runs >= 3
