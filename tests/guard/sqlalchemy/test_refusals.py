"""What could write past the guard's one transaction: refused, or found out and never remembered."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool

from tests.guard.sqlalchemy.backends import ORDER, Backend, Base, Order
from tests.guard.sqlalchemy.shop import LONG_S, SERVERS, MakeShop, Shop, nothing_is_kept, order_id_of, write_order
from tocsin.guard import GuardError, Signed, TransactionMisuse
from tocsin.guard.stores.sqlalchemy import AsyncSQLAlchemyStore, SQLAlchemyStore
from tocsin.guard.testing import claim

ENDINGS = {
    "connection.commit()": lambda session: session.connection().commit(),
    "connection.rollback()": lambda session: session.connection().rollback(),
    "connection.close()": lambda session: session.connection().close(),
    "COMMIT": lambda session: session.execute(text("COMMIT")),
    "/**/ rollback": lambda session: session.connection().exec_driver_sql("/**/ rollback"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_handler_that_tried_to_end_the_transaction_is_500_whatever_it_then_returned(ending: str, shop: Shop) -> None:
    def tries(signed: Signed, session: Session) -> Any:
        rendered = write_order(signed, session)
        session.flush()
        with pytest.raises((TransactionMisuse, DBAPIError)):
            ENDINGS[ending](session)
        return rendered

    shop.handler = tries
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


@pytest.mark.parametrize("gets", ["connection", "session"])
@pytest.mark.parametrize("ends", [("commit", "BEGIN"), ("rollback",)])
def test_a_transaction_that_was_ended_on_the_drivers_connection_is_500_and_never_remembered(
    ends: tuple[str, ...], gets: str, backend: Backend, make_shop: MakeShop
) -> None:
    """Past SQLAlchemy: a committed claim without an answer never runs again by itself."""

    def goes_behind(signed: Signed, tx: Any) -> Any:
        tx.execute(ORDER, {"order_id": order_id_of(signed)})
        connection = tx if gets == "connection" else tx.connection()
        driver = connection.connection.driver_connection
        for end in ends:
            with suppress(sqlite3.DatabaseError):
                driver.cursor().execute(end) if end.isupper() else getattr(driver, end)()
        return {}, 201

    engine = backend.engine()
    shop = make_shop(source=engine if gets == "connection" else sessionmaker(engine), handler=goes_behind)
    assert shop.order().status_code == 500
    if ends == ("rollback",) or backend.name == "sqlite":
        # SQLite itself refuses: the driver asks it like everybody else.
        assert (backend.orders, backend.claims) == ([], 0)
    else:
        assert (backend.claims, shop.order().status_code, shop.runs) == (1, 500, 1)


def test_writing_through_another_engine_is_refused(backend: Backend, make_shop: MakeShop, tmp_path: Path) -> None:
    """Its writes would be kept whatever becomes of the claim."""
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    Base.metadata.create_all(other)

    def elsewhere(signed: Signed, session: Session) -> Any:
        write_order(signed, session)
        with pytest.raises(TransactionMisuse, match="another engine"):
            session.execute(ORDER, {"order_id": "x"}, bind_arguments={"bind": other})
        return {}, 201

    shop = make_shop(source=sessionmaker(backend.engine()), handler=elsewhere)
    assert shop.order().status_code == 500
    with other.connect() as connection:
        assert connection.execute(select(Order.id)).all() == []
    other.dispose()
    nothing_is_kept(shop)


class Routed(Session):
    """Reads elsewhere."""

    def get_bind(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


def test_sessions_that_one_transaction_does_not_cover_are_refused_at_start(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    memory = create_engine("sqlite://")
    for source, said in [
        (sessionmaker(engine, binds={Order: engine}), "binds"),
        (sessionmaker(engine, twophase=True), "twophase"),
        (sessionmaker(engine, class_=Routed), "get_bind"),
        (sessionmaker(), "bound to nothing"),
        (memory, "in memory"),
        (create_engine("sqlite:///file:x?mode=memory&uri=true", poolclass=NullPool), "in memory"),
        (
            create_engine("sqlite:///x.db", isolation_level="AUTOCOMMIT").execution_options(
                isolation_level="AUTOCOMMIT"
            ),
            "AUTOCOMMIT",
        ),
        ("sqlite:///x.db", "wanted an Engine"),
    ]:
        with pytest.raises(GuardError, match=said):
            SQLAlchemyStore(source)  # type: ignore[arg-type]  # the point of it
    with pytest.raises(GuardError, match="max_connections"):
        SQLAlchemyStore(engine, max_connections=0)
    with pytest.raises(GuardError, match="wanted an AsyncEngine"):
        AsyncSQLAlchemyStore(engine)  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
def test_connections_in_autocommit_are_refused(backend: Backend) -> None:
    with pytest.raises(GuardError, match="autocommit"):
        SQLAlchemyStore(backend.engine(isolation_level="AUTOCOMMIT")).take(claim(), LONG_S)
    assert backend.claims == 0
