"""COMMIT of an AsyncSession, or an AsyncConnection, behind FastAPI: a connection that is lost at it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.guard.adapters.asgi_client import Loop
from tests.guard.mariadb.server import WAITING as MARIADB_WAITING
from tests.guard.postgres.cluster import WAITING as POSTGRES_WAITING
from tests.guard.postgres.relay import Cut, Relay
from tests.guard.sqlalchemy.backends import Backend
from tests.guard.sqlalchemy.task_shop import TaskShop
from tests.guard.sqlalchemy.test_commit import each_server, relay

__all__ = ["relay"]

MakeTaskShop = Callable[..., TaskShop]


@pytest.fixture
def relayed_tasks(backend: Backend, relay: Relay, task_loop: Loop) -> Iterator[MakeTaskShop]:
    """Makes services that reach the database through the relay."""
    made: list[TaskShop] = []

    def make(**options: Any) -> TaskShop:
        engine = create_async_engine(make_url(backend.async_url).set(port=relay.port))
        made.append(TaskShop(backend, task_loop, engine, **options))
        return made[-1]

    yield make
    for shop in made:
        shop.close()


@each_server
@pytest.mark.parametrize("gets", ["session", "connection"])
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_connection_that_is_lost_at_commit_is_found_out_by_taking_the_claim_again(
    cut: Cut, gets: str, relayed_tasks: MakeTaskShop, relay: Relay
) -> None:
    """Not committed: the handler runs again. Committed: the stored answer is sent. One order either way."""
    shop = relayed_tasks(gets=gets, guard={"wait_s": 30})
    relay.cut = cut
    answer = shop.order()
    assert answer.status == 201
    assert shop.runs == (2 if cut is Cut.BEFORE else 1)
    assert shop.backend.orders == ["17"]
    assert shop.order().body == answer.body


@each_server
@pytest.mark.parametrize("gets", ["session", "connection"])
def test_a_lost_commit_that_lands_late_is_waited_for(
    gets: str, relayed_tasks: MakeTaskShop, relay: Relay, backend: Backend
) -> None:
    """A plain SELECT would run before it lands, see nothing, and the service would say that nothing was applied."""
    shop = relayed_tasks(gets=gets, guard={"wait_s": 60})
    relay.cut = Cut.HOLD
    waiting = (POSTGRES_WAITING if backend.name == "postgresql" else MARIADB_WAITING) % 1
    with ThreadPoolExecutor(1) as pool, backend.engine().connect() as connection:
        running = pool.submit(shop.order)
        # Whoever finds out by taking the claim waits; whoever does not has ended, and fails below.
        while not running.done() and not connection.execute(text(waiting)).scalar():
            connection.rollback()
        relay.let_go()
        answer = running.result()
    assert (answer.status, answer.is_replay) == (201, True)
    assert (shop.runs, backend.orders) == (1, ["17"])


@each_server
def test_a_lost_commit_that_cannot_be_told_in_time_is_503(
    relayed_tasks: MakeTaskShop, relay: Relay, backend: Backend
) -> None:
    """And when it has landed, a retry gets the stored answer."""
    shop = relayed_tasks(guard={"wait_s": 0.05})
    relay.cut = Cut.HOLD
    answer = shop.order()
    assert (answer.status, answer.field("Retry-After"), shop.runs) == (503, ["1"], 1)
    relay.let_go()
    while not backend.orders:
        pass
    assert (shop.order().status, shop.runs, backend.orders) == (201, 1, ["17"])
