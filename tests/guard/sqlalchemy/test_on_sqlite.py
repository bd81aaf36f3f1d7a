"""What is SQLite's alone under SQLAlchemy: BEGIN, the write lock, durability."""

import sqlite3
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from tests.guard.sqlalchemy.backends import Backend, Order
from tests.guard.sqlalchemy.shop import LONG_S, MakeShop, Shop, granted, write_order
from tests.guard.test_sqlite_faults import error
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


class Cut(sqlite3.Connection):
    """A connection whose next COMMIT fails, having been done or not."""

    code: ClassVar[int] = sqlite3.SQLITE_OK
    lands: ClassVar[bool] = False

    def commit(self) -> None:
        code, Cut.code = Cut.code, sqlite3.SQLITE_OK
        if code == sqlite3.SQLITE_OK or Cut.lands:
            super().commit()
        if code != sqlite3.SQLITE_OK:
            raise error(code)


@pytest.fixture
def cut_shop(backend: Backend, make_shop: MakeShop) -> Shop:
    return make_shop(source=sessionmaker(backend.engine(connect_args={"factory": Cut})))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("lands", [True, False])
def test_what_a_commit_has_done_that_met_an_input_output_error_is_found_out_by_taking_the_claim_again(
    cut_shop: Shop, monkeypatch: pytest.MonkeyPatch, *, lands: bool
) -> None:
    """Not committed: the handler runs again. Committed: the stored answer is sent. One order either way."""
    monkeypatch.setattr(Cut, "lands", lands)
    monkeypatch.setattr(Cut, "code", sqlite3.SQLITE_IOERR)
    answer = cut_shop.order()
    assert (answer.status_code, cut_shop.runs) == (201, 1 if lands else 2)
    assert cut_shop.backend.orders == ["17"]
    assert cut_shop.order().data == answer.data


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_commit_that_found_the_disk_full_is_known_not_to_have_landed(
    cut_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cut, "code", sqlite3.SQLITE_FULL)
    assert (cut_shop.order().status_code, cut_shop.runs, cut_shop.backend.orders) == (503, 1, [])
    assert (cut_shop.order().status_code, cut_shop.backend.orders) == (201, ["17"])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("code", [sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR])
def test_a_database_that_is_down_is_the_stores_own_failure_by_whatever_code(code: int, shop: Shop) -> None:
    assert shop.store.is_own_failure(error(code))
    assert not shop.store.is_own_failure(error(sqlite3.SQLITE_MISMATCH))
