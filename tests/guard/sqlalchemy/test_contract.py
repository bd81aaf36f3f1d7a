"""The contract of a store: on each database, for handlers with a Connection and a Session, on threads and tasks."""

from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import NullPool

from tests.guard.sqlalchemy.backends import ORDER, Backend, Order
from tocsin.guard.stores import Declares
from tocsin.guard.stores.sqlalchemy import AsyncSQLAlchemyStore, SQLAlchemyStore
from tocsin.guard.testing import CONTRACT, on_tasks

_NUMBERS = count(1)


class Subject:
    """Every store has an engine of its own, as another process would."""

    def __init__(self, backend: Backend, *, gets_session: bool) -> None:
        self.backend = backend
        self.gets_session = gets_session

    def open(self) -> SQLAlchemyStore:
        engine = self.backend.engine()
        return SQLAlchemyStore(sessionmaker(engine) if self.gets_session else engine)

    def write_effect(self, tx: Any) -> None:
        order_id = str(next(_NUMBERS))
        if self.gets_session:
            tx.add(Order(order_id=order_id))
            tx.flush()
        else:
            tx.execute(ORDER, {"order_id": order_id})

    def effects(self) -> int:
        return len(self.backend.orders)


class AsyncSubject:
    """Likewise, for tasks."""

    def __init__(self, backend: Backend, *, gets_session: bool) -> None:
        self.backend = backend
        self.gets_session = gets_session

    def open(self) -> Any:
        # Closes each connection in the task that used it: the bridge ends its loop without asking anybody.
        engine = self.backend.async_engine(poolclass=NullPool)
        return AsyncSQLAlchemyStore(async_sessionmaker(engine) if self.gets_session else engine)

    async def write_effect(self, tx: Any) -> None:
        order_id = str(next(_NUMBERS))
        if self.gets_session:
            tx.add(Order(order_id=order_id))
            await tx.flush()
        else:
            await tx.execute(ORDER, {"order_id": order_id})

    def effects(self) -> int:
        return len(self.backend.orders)


@pytest.mark.parametrize(("kind", "gets"), [("threads", "connection"), ("threads", "session"), ("tasks", "session")])
@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_sqlalchemy_keeps_the_contract_of_a_store_on_every_database(
    case: Callable[[Any], None], kind: str, gets: str, backend: Backend
) -> None:
    gets_session = gets == "session"
    if kind == "threads":
        context: Any = nullcontext(Subject(backend, gets_session=gets_session))
    else:
        context = on_tasks(AsyncSubject(backend, gets_session=gets_session))
    with context as subject:
        case(subject)


def test_sqlalchemy_declares_what_the_database_promises(backend: Backend) -> None:
    promised = Declares(
        atomic=True, durable=True, cross_process=True, looks_first=backend.name == "sqlite", ordered=True
    )
    assert SQLAlchemyStore(backend.engine()).declares == promised
