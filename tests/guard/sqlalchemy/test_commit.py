"""COMMIT through SQLAlchemy: a connection that is lost at it, and a process that is killed before it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from tests.guard.mariadb.relay import Relay as MariaDBRelay
from tests.guard.mariadb.server import WAITING as MARIADB_WAITING
from tests.guard.postgres.cluster import WAITING as POSTGRES_WAITING
from tests.guard.postgres.relay import Cut, Relay
from tests.guard.postgres.test_commit import forked, kill
from tests.guard.sqlalchemy.backends import Backend
from tests.guard.sqlalchemy.shop import Shop, write_order

SERVERS = ["postgresql", "mariadb"]
each_server = pytest.mark.parametrize("backend", SERVERS, indirect=True)


@pytest.fixture
def relay(backend: Backend) -> Iterator[Relay]:
    """In front of the server."""
    port = backend.engine().url.port
    assert port is not None
    kind = Relay if backend.name == "postgresql" else MariaDBRelay
    with kind(port) as running:
        yield running


@pytest.fixture
def relayed(make_shop: Callable[..., Shop], backend: Backend, relay: Relay) -> Iterator[Callable[..., Shop]]:
    """Makes services that reach the database through the relay."""
    engine = create_engine(backend.engine().url.set(port=relay.port))

    def make(**options: Any) -> Shop:
        return make_shop(source=sessionmaker(engine), **options)

    yield make
    engine.dispose()


@each_server
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_connection_that_is_lost_at_commit_is_found_out_by_taking_the_claim_again(
    cut: Cut, relayed: Callable[..., Shop], relay: Relay
) -> None:
    """Not committed: the handler runs again. Committed: the stored answer is sent. One order either way."""
    shop = relayed()
    relay.cut = cut
    answer = shop.order()
    assert answer.status_code == 201
    assert shop.runs == (2 if cut is Cut.BEFORE else 1)
    assert shop.backend.orders == ["17"]
    assert shop.order().data == answer.data


@each_server
def test_a_lost_commit_that_lands_late_is_waited_for(
    relayed: Callable[..., Shop], relay: Relay, backend: Backend
) -> None:
    """A plain SELECT would run before it lands, see nothing, and the service would say that nothing was applied."""
    shop = relayed(guard={"wait_s": 30})
    relay.cut = Cut.HOLD
    waiting = (POSTGRES_WAITING if backend.name == "postgresql" else MARIADB_WAITING) % 1
    with ThreadPoolExecutor(1) as pool, backend.engine().connect() as connection:
        running = pool.submit(shop.order)
        # Whoever finds out by taking the claim waits; whoever does not has ended, and fails below.
        while not running.done() and not connection.execute(text(waiting)).scalar():
            connection.rollback()
        relay.let_go()
        answer = running.result()
    assert answer.status_code == 201
    assert (shop.runs, backend.orders) == (1, ["17"])
    assert answer.headers["Idempotent-Replayed"] == "true"


def test_a_process_that_is_killed_in_its_handler_leaves_nothing_and_frees_its_key(
    backend: Backend, make_shop: Callable[..., Shop]
) -> None:
    def hangs(signed: Any, session: Any) -> Any:
        write_order(signed, session)
        session.flush()
        (directory / "inside").touch()
        while True:
            session.execute(text("SELECT 1"))

    directory = backend.directory
    shop = make_shop(handler=hangs)
    child = forked(shop.order)
    while not (directory / "inside").exists():
        pass
    kill(child)
    assert (backend.orders, backend.claims) == ([], 0)
    assert make_shop(guard={"wait_s": 20}).order().status_code == 201
    assert backend.orders == ["17"]
