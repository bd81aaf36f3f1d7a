"""The engine's connections: who gets one, and what is said when there is none."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from tests.guard.sqlalchemy.backends import Backend
from tests.guard.sqlalchemy.shop import LONG_S, MakeShop, Shop, granted, nothing_is_kept, write_order
from tocsin.guard import Signed
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard.stores.sqlalchemy import SQLAlchemyStore
from tocsin.guard.testing import ANSWER, claim


def test_whoever_waits_for_a_place_holds_no_connection(backend: Backend) -> None:
    """The pool has one connection more than guarded requests may hold; it is free while they queue."""
    engine = backend.engine(pool_size=2, max_overflow=0, pool_timeout=1)
    store = SQLAlchemyStore(engine, max_connections=1)
    held = granted(store, "a")
    checked_out: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(granted, store, name) for name in "b"]
        with pytest.raises(StoreUnavailable, match="places"):
            store_take_elsewhere(store)
        checked_out.append(engine.pool.checkedout())  # type: ignore[attr-defined]  # of a QueuePool
        held.settle(ANSWER)
        for one in waiting:
            pool.submit(one.result().abandon).result()
    assert checked_out == [1]


def store_take_elsewhere(store: SQLAlchemyStore) -> None:
    """From another thread, which is inside of nothing."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.take, claim("elsewhere"), 0.01).result()


def test_a_pool_that_is_exhausted_by_others_is_unavailable(backend: Backend) -> None:
    engine = backend.engine(pool_size=1, max_overflow=0, pool_timeout=0.05)
    store = SQLAlchemyStore(engine)
    with engine.connect(), pytest.raises(StoreUnavailable, match="pool"):
        store.take(claim(), LONG_S)
    granted(store).settle(ANSWER)
    assert backend.claims == 1


def test_a_handler_that_runs_out_of_connections_is_the_stores_own_failure(
    backend: Backend, make_shop: MakeShop
) -> None:
    engine = backend.engine(pool_size=1, max_overflow=0, pool_timeout=0.05)

    def opens_another(signed: Signed, session: Session) -> Any:
        write_order(signed, session)
        with engine.connect():
            raise AssertionError

    shop = make_shop(source=sessionmaker(engine), handler=opens_another)
    assert shop.order().status_code == 503
    nothing_is_kept(shop)


def test_a_connection_that_is_invalidated_while_the_handler_runs_is_503(shop: Shop) -> None:
    def loses(signed: Signed, session: Session) -> Any:
        rendered = write_order(signed, session)
        session.flush()
        session.connection().invalidate()
        return rendered

    shop.handler = loses
    assert shop.order().status_code == 503
    nothing_is_kept(shop)


def test_a_store_that_is_down_is_503_and_a_lost_pool_is_replaced(backend: Backend, make_shop: MakeShop) -> None:
    engine = backend.engine(pool_pre_ping=True)
    shop = make_shop(source=sessionmaker(engine))
    assert shop.order("1").status_code == 201
    url = engine.url.set(port=1) if backend.name != "sqlite" else engine.url.set(database="/nowhere/shop.db")
    down = make_shop(source=sessionmaker(create_engine(url)))
    answer = down.order("2")
    assert (answer.status_code, answer.headers["Retry-After"], down.runs) == (503, "1", 0)
    if backend.name != "sqlite":
        engine.pool.dispose()
        assert shop.order("3").status_code == 201


def test_missing_tables_are_said_with_the_remedy(backend: Backend) -> None:
    backend.query("DROP TABLE tocsin_claims")
    store = SQLAlchemyStore(backend.engine())
    with pytest.raises(StoreUnavailable, match="migrate"):
        store.take(claim(), LONG_S)
    store.migrate()
    store.migrate()
    granted(store).settle(ANSWER)


def test_a_forked_child_has_a_pool_of_its_own(backend: Backend) -> None:
    store = SQLAlchemyStore(backend.engine())
    granted(store, "parent").settle(ANSWER)
    held = granted(store, "held") if backend.name != "sqlite" else None
    child = os.fork()
    if child == 0:
        code = 1
        try:
            granted(store, "child").settle(ANSWER)
            if held is not None:
                with pytest.raises(StoreUnavailable, match="parent's"):
                    held.settle(ANSWER)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    if held is not None:
        held.settle(ANSWER)
    assert backend.claims == (2 if held is None else 3)
