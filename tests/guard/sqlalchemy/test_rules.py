"""The rules of the guard for SQLAlchemy: what an application does by habit, contained, refused or found out."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ResourceClosedError
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool

from tests.guard.sqlalchemy.backends import ORDER, Backend, Base, Order
from tests.guard.sqlalchemy.shop import Shop, order_id_of, write_order
from tocsin.guard import GuardError, Signed, TransactionMisuse
from tocsin.guard._errors import StoreUnavailable, TransactionBroken
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.sqlalchemy import AsyncSQLAlchemyStore, SQLAlchemyStore
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

MakeShop = Callable[..., Shop]
LONG_S = 30.0
SERVERS = ["postgresql", "mariadb"]


def granted(store: SQLAlchemyStore, name: str = "order-1", **more: Any) -> Granted[Any]:
    taken = store.take(claim(name, **more), LONG_S)
    assert isinstance(taken, Granted)
    return taken


def nothing_is_kept(shop: Shop) -> None:
    assert (shop.backend.orders, shop.backend.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status_code == 201
    assert shop.backend.orders == ["17"]


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


# On an event loop


def run(backend: Backend, work: Callable[[AsyncSQLAlchemyStore], Any]) -> None:
    async def main() -> None:
        engine = backend.async_engine(poolclass=NullPool)
        try:
            await work(AsyncSQLAlchemyStore(async_sessionmaker(engine)))
        finally:
            await engine.dispose()

    asyncio.run(main())


async def async_granted(store: AsyncSQLAlchemyStore, name: str = "order-1") -> Any:
    taken = await store.take_async(claim(name), LONG_S)
    assert not isinstance(taken, Record)
    return taken


def test_an_async_session_joins_the_transaction_and_its_own_commit_is_a_savepoint(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        one = await async_granted(store)
        one.tx.add(Order(order_id="1"))
        await one.tx.commit()
        one.tx.add(Order(order_id="2"))
        await one.abandon_async()
        assert (backend.orders, backend.claims) == ([], 0)
        one = await async_granted(store)
        one.tx.add(Order(order_id="1"))
        await one.tx.commit()
        one.tx.add(Order(order_id="2"))
        await one.settle_async(ANSWER)
        assert (backend.orders, backend.claims) == (["1", "2"], 1)

    run(backend, work)


def test_a_task_that_commits_the_connection_itself_has_committed_nothing(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        one = await async_granted(store)
        one.tx.add(Order(order_id="1"))
        connection = await one.tx.connection()
        assert isinstance(connection, AsyncConnection)
        with pytest.raises(TransactionMisuse, match="COMMIT is refused"):
            await connection.commit()
        with pytest.raises(TransactionBroken):
            await one.settle_async(ANSWER)
        assert (backend.orders, backend.claims) == ([], 0)

    run(backend, work)


def test_a_task_that_is_cancelled_while_it_waits_for_a_claim_has_taken_nothing(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        held = await async_granted(store)
        other = AsyncSQLAlchemyStore(store._source)

        async def wait() -> None:
            # In another context: this task is inside of nothing.
            await other.take_async(claim(), LONG_S)

        waiting = asyncio.create_task(wait())
        for _ in range(200):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.tx.add(Order(order_id="1"))
        await held.settle_async(ANSWER)
        assert isinstance(await other.take_async(claim(), LONG_S), Record)
        again = await async_granted(other, "another")
        await again.abandon_async()

    run(backend, work)


def test_a_task_that_is_cancelled_at_commit_is_told_how_it_ended_and_cancelled_then(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        settled: list[bool] = []

        async def order() -> None:
            one = await async_granted(store)
            one.tx.add(Order(order_id="1"))
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            await one.settle_async(ANSWER)
            settled.append(True)
            await asyncio.sleep(0)
            settled.append(False)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(order())
        assert (settled, backend.orders, backend.claims) == ([True], ["1"], 1)

    run(backend, work)


def test_nested_operations_of_a_task_join_its_transaction_and_another_tasks_may_not(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        outer = await async_granted(store, "outer")
        inner = await async_granted(store, "inner")
        inner.tx.add(Order(order_id="inner"))
        await inner.settle_async(ANSWER)
        with pytest.raises(GuardError, match="from another task"):
            await asyncio.create_task(store.take_async(claim("other"), LONG_S))
        await outer.settle_async(ANSWER)
        assert not store.is_inside_async()
        assert (backend.orders, backend.claims) == (["inner"], 2)

    run(backend, work)
