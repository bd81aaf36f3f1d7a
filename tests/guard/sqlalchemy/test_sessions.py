"""What an application's session does by habit inside of a guarded handler, and what becomes of it."""

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, ResourceClosedError
from sqlalchemy.orm import Session, sessionmaker

from tests.guard.sqlalchemy.backends import ORDER, Backend, Order
from tests.guard.sqlalchemy.shop import MakeShop, Shop, granted, nothing_is_kept, order_id_of, write_order
from tocsin.guard import Signed, TransactionMisuse
from tocsin.guard.stores.sqlalchemy import SQLAlchemyStore
from tocsin.guard.testing import ANSWER


def test_an_object_that_was_only_added_is_written_with_the_claim(shop: Shop) -> None:
    """Nobody flushed it: without a flush before the answer is stored it would never have been written."""
    first = shop.order()
    assert first.status_code == 201
    assert (shop.backend.orders, shop.backend.claims, shop.runs) == (["17"], 1, 1)
    again = shop.order()
    assert (again.data, again.headers["Idempotent-Replayed"], shop.runs) == (first.data, "true", 1)


def test_what_the_session_cannot_write_in_the_end_is_500_and_nothing_is_kept(shop: Shop) -> None:
    def twice(signed: Signed, session: Session) -> Any:
        write_order(signed, session)
        return write_order(signed, session)

    shop.handler = twice
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


def test_a_sessions_own_commit_commits_nothing_before_the_answer(shop: Shop) -> None:
    """It ends a savepoint: the order is there together with its claim, or not at all."""
    seen: list[list[str]] = []

    def commits(signed: Signed, session: Session) -> Any:
        rendered = write_order(signed, session)
        session.commit()
        if shop.backend.name != "sqlite":
            seen.append(shop.backend.orders)
        # Committed objects are expired: what they say is read again, in the same transaction.
        [order] = session.scalars(select(Order)).all()
        return {"id": order.order_id, **rendered[0]}, rendered[1]

    shop.handler = commits
    assert shop.order().status_code == 201
    assert (shop.backend.orders, shop.backend.claims) == (["17"], 1)
    assert seen in ([], [[]])


def test_a_session_that_commits_and_then_raises_has_committed_nothing(shop: Shop) -> None:
    def raises(signed: Signed, session: Session) -> Any:
        write_order(signed, session)
        session.commit()
        raise RuntimeError("no")

    shop.handler = raises
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


def test_a_sessions_own_rollback_undoes_what_it_wrote_and_leaves_the_claim(make_shop: MakeShop) -> None:
    """As an application catches a duplicate of its own, and answers it."""

    def catches(signed: Signed, session: Session) -> Any:
        write_order(signed, session)
        session.flush()
        try:
            write_order(signed, session)
            session.flush()
        except IntegrityError:
            session.rollback()
            return {"error": "it is there already"}, 409
        raise AssertionError

    shop = make_shop(handler=catches, guard={})
    assert shop.order().status_code == 409
    assert shop.order().status_code == 409
    assert shop.backend.orders == []
    assert shop.runs == (1 if shop.backend.claims else 2)


def test_begin_nested_undoes_a_part(shop: Shop) -> None:
    def nests(signed: Signed, session: Session) -> Any:
        rendered = write_order(signed, session)
        with suppress(IntegrityError), session.begin_nested():
            session.add_all([Order(order_id="x"), Order(order_id="x")])
        with session.begin_nested():
            session.add(Order(order_id="kept"))
        return rendered

    shop.handler = nests
    assert shop.order().status_code == 201
    assert sorted(shop.backend.orders) == ["17", "kept"]


def test_a_connection_may_be_used_in_place_of_a_session(backend: Backend, make_shop: MakeShop) -> None:
    def writes(signed: Signed, connection: Any) -> Any:
        connection.execute(ORDER, {"order_id": order_id_of(signed)})
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(ORDER, {"order_id": order_id_of(signed)})
        return {}, 201

    shop = make_shop(source=backend.engine(), handler=writes)
    assert shop.order().status_code == 201
    assert (backend.orders, backend.claims) == (["17"], 1)

    def commits(signed: Signed, connection: Any) -> Any:
        connection.execute(ORDER, {"order_id": order_id_of(signed)})
        with pytest.raises(TransactionMisuse, match="COMMIT is refused"):
            connection.commit()
        return {}, 201

    shop.handler = commits
    assert shop.order("18").status_code == 500
    assert (backend.orders, backend.claims) == (["17"], 1)


def test_what_a_handler_kept_cannot_be_used_afterwards(shop: Shop) -> None:
    kept: list[Session] = []

    def keeps(signed: Signed, session: Session) -> Any:
        kept.append(session)
        return write_order(signed, session)

    shop.handler = keeps
    assert shop.order().status_code == 201
    with pytest.raises(ResourceClosedError):
        kept[0].execute(text("SELECT 1"))


class TenantSession(Session):
    """As applications have it: no tenant, no session."""

    tenant = ""

    def __init__(self, **options: Any) -> None:
        if not TenantSession.tenant:
            raise LookupError("no tenant")
        super().__init__(**options)


def test_a_session_that_cannot_be_made_leaves_no_claim_and_no_place(
    make_shop: MakeShop, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one place: with a request that kept it, or its transaction, every later one would be 503."""
    shop = make_shop(source=sessionmaker(backend.engine(), class_=TenantSession), store={"max_connections": 1})
    shop.app.testing = True
    with pytest.raises(LookupError, match="no tenant"):
        shop.order()
    monkeypatch.setattr(TenantSession, "tenant", "first")
    nothing_is_kept(shop)


def test_a_nested_session_that_cannot_be_made_leaves_the_outer_one_as_it_was(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLAlchemyStore(sessionmaker(backend.engine(), class_=TenantSession))
    monkeypatch.setattr(TenantSession, "tenant", "first")
    outer = granted(store, "outer")
    outer.tx.add(Order(order_id="17"))
    monkeypatch.setattr(TenantSession, "tenant", "")
    with pytest.raises(LookupError, match="no tenant"):
        granted(store, "inner")
    outer.settle(ANSWER)
    assert (backend.orders, backend.claims, store.is_inside()) == (["17"], 1, False)
