"""What is SQLite's alone under SQLAlchemy: BEGIN, the write lock, durability."""

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from tests.guard.sqlalchemy.backends import Backend, Order
from tests.guard.sqlalchemy.shop import LONG_S, MakeShop, granted, write_order
from tocsin.guard import GuardError, Signed
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard.stores.sqlalchemy import SQLAlchemyStore
from tocsin.guard.testing import claim


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("recipe", ["legacy", "the documented BEGIN", "BEGIN IMMEDIATE"])
def test_on_sqlite_the_transaction_is_real_whatever_the_engines_begin_event_does(
    recipe: str, backend: Backend, make_shop: MakeShop
) -> None:
    """pysqlite by itself begins at the first write only, and a SAVEPOINT before that would be the transaction."""
    engine = backend.engine()
    if recipe != "legacy":
        event.listen(engine, "connect", lambda driver, _: setattr(driver, "isolation_level", None))
        begin = "BEGIN" if recipe == "the documented BEGIN" else recipe
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))

    def reads_and_nests(signed: Signed, session: Session) -> Any:
        session.execute(text("SELECT 1"))
        with suppress(IntegrityError), session.begin_nested():
            session.add_all([Order(order_id="x"), Order(order_id="x")])
        driver = session.connection().connection.driver_connection
        assert driver is not None
        assert driver.in_transaction
        return write_order(signed, session)

    shop = make_shop(source=sessionmaker(engine), handler=reads_and_nests)
    assert shop.order().status_code == 201
    shop.handler = lambda signed, session: (write_order(signed, session), session.flush(), 1 / 0)
    assert shop.order("18").status_code == 500
    assert (backend.orders, backend.claims) == (["17"], 1)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_on_sqlite_the_wait_for_the_write_lock_is_the_guards_and_then_the_applications_again(backend: Backend) -> None:
    store = SQLAlchemyStore(backend.engine(connect_args={"timeout": 7}))
    other = SQLAlchemyStore(backend.engine())
    held = granted(other, "other")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.take(claim(), 0.05)
    held.abandon()
    mine = granted(store)
    with pytest.raises(DBAPIError):
        mine.tx.execute(text("PRAGMA busy_timeout = 1"))
    mine.abandon()
    with store._desk.engine.connect() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 7000


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_on_sqlite_an_engine_that_gives_up_durability_is_refused(backend: Backend) -> None:
    engine = backend.engine()
    event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA synchronous = OFF").close())
    with pytest.raises(GuardError, match="wanted FULL"):
        SQLAlchemyStore(engine).take(claim(), LONG_S)
