"""What holds for threads, for tasks; and what is only theirs: cancellation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from contextvars import Context
from typing import Any

import psycopg
import pytest

from tests.guard.postgres.async_shop import AsyncPostgresShop, Reply, open_shop, order_id_of, write_order
from tests.guard.postgres.cluster import Bouncer, Database, bouncer
from tests.guard.postgres.relay import Cut, Relay
from tests.guard.postgres.test_commit import KILL_THE_OTHERS, is_waiting
from tests.guard.postgres.test_conflicts import TAKE_ONE, make_stock, pieces
from tocsin.guard import GuardError, Signed, StoreUnavailable, TransactionMisuse
from tocsin.guard.stores.postgres import AsyncPostgresStore, AsyncTransaction
from tocsin.guard.stores.postgres._async_store import _UNITS
from tocsin.guard.stores.postgres._async_unit import AsyncUnit
from tocsin.guard.testing import ANSWER, claim

LEVELS = ["repeatable read", "serializable"]


async def nothing_is_kept(shop: AsyncPostgresShop) -> None:
    assert (shop.database.orders, shop.database.claims) == ([], 0)
    shop.handler = write_order
    assert (await shop.order()).status == 201
    assert shop.database.orders == ["17"]


def relayed(database: Database, relay: Relay, **options: Any) -> Any:
    return open_shop(database, store=AsyncPostgresStore(database.conninfo(port=relay.port)), **options)


async def until(database: Database, holds: Callable[[psycopg.Connection[Any]], bool]) -> None:
    await asyncio.to_thread(database.until, holds)


@asynccontextmanager
async def opened(database: Database, **options: Any) -> AsyncIterator[AsyncPostgresStore]:
    """A store, whose connections are closed whatever becomes of a test."""
    store = AsyncPostgresStore(database.conninfo(), **options)
    try:
        yield store
    finally:
        sessions = [*store._connections.stack.idle, *[unit.session for unit in _UNITS.get() if unit.store is store]]
        for session in sessions:
            session.connection.pgconn.finish()


async def granted(store: AsyncPostgresStore, *arguments: Any) -> AsyncUnit:
    taken = await store.take_async(claim(*arguments), 10)
    assert isinstance(taken, AsyncUnit)
    return taken


def test_a_first_request_and_a_duplicate_cost_as_many_round_trips_as_on_threads(
    database: Database, relay: Relay
) -> None:
    async def main() -> None:
        async with relayed(database, relay) as shop:
            await shop.order("1")
            relay.asked = 0
            assert (await shop.order("2")).status == 201
            assert relay.asked == 3
            relay.asked = 0
            assert (await shop.order("2")).headers["Idempotent-Replayed"] == "true"
            assert relay.asked == 2

    asyncio.run(main())


def test_a_pooler_that_does_not_show_is_found_out_at_the_claim_of_a_task(database: Database) -> None:
    """Its BEGIN is called by a name too: nothing has begun. The handler runs once all the same."""

    async def main() -> None:
        async with open_shop(database) as shop:
            await shop.order("1")
            [session] = shop.store._connections.stack.idle
            assert session.is_prepared
            session.connection.pgconn.exec_(b"DEALLOCATE ALL")
            assert (await shop.order("2")).status == 201
            assert (await shop.order("1")).headers["Idempotent-Replayed"] == "true"
            assert (shop.runs, database.orders) == (2, ["1", "2"])
            assert (session.is_prepared, session.may_prepare) == (False, False)

    asyncio.run(main())


def test_a_new_connection_that_is_lost_before_a_task_has_its_claim_is_replaced_once(
    database: Database, relay: Relay
) -> None:
    async def main() -> None:
        async with relayed(database, relay) as shop:
            await shop.order("0")
            before_the_handler = relay.asked - 2
            for trip in range(before_the_handler):
                await shop.store.close_async()
                relay.doomed, relay.accepted = [trip], 0
                assert (await shop.order(f"{trip + 1}")).status == 201
                assert (shop.runs, relay.accepted) == (trip + 2, 2)
            await shop.store.close_async()
            relay.doomed = [0, 0]
            assert (await shop.order("last")).status == 503

    asyncio.run(main())


def test_commit_of_a_task_counts_only_by_its_tag(database: Database) -> None:
    """The handler swallowed an SQL error: COMMIT would raise nothing, say ROLLBACK, and the order would be lost."""

    async def swallows(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
        rendered = await write_order(signed, tx)
        with suppress(psycopg.Error):
            await tx.execute("SELECT 1 / 0")
        return rendered

    async def main() -> None:
        async with open_shop(database, handler=swallows) as shop:
            assert (await shop.order()).status == 500
            await nothing_is_kept(shop)

    asyncio.run(main())


def test_a_savepoint_is_the_way_to_catch_an_sql_error_on_a_task_too(database: Database) -> None:
    async def catches(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
        rendered = await write_order(signed, tx)
        with suppress(psycopg.Error):
            async with tx.savepoint():
                await tx.executemany("INSERT INTO orders (order_id) VALUES (%s)", [("undone",)])
                await tx.execute("SELECT 1 / 0")
        async with tx.savepoint():
            await tx.execute("INSERT INTO orders (order_id) VALUES ('kept')")
        return rendered

    async def main() -> None:
        async with open_shop(database, handler=catches) as shop:
            assert (await shop.order()).status == 201
            assert database.orders == ["17", "kept"]

    asyncio.run(main())


@pytest.mark.parametrize("sql", ["COMMIT", "SELECT 1; ROLLBACK", "BEGIN"])
def test_a_task_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned(
    sql: str, database: Database
) -> None:
    async def tries(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
        rendered = await write_order(signed, tx)
        with pytest.raises(TransactionMisuse, match="is refused while a handler runs"):
            await tx.execute(sql)
        return rendered

    async def main() -> None:
        async with open_shop(database, handler=tries) as shop:
            assert (await shop.order()).status == 500
            await nothing_is_kept(shop)

    asyncio.run(main())


def test_rows_are_read_in_every_way_and_end_with_the_handler(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as store:
            unit = await granted(store)
            rows = await unit.tx.execute("SELECT n, n * 2 AS double FROM generate_series(1, %s) n", (6,))
            assert (rows.rowcount, rows.columns) == (6, ("n", "double"))
            assert (rows.fetchone(), rows.fetchmany(2), next(rows)) == ((1, 2), [(2, 4), (3, 6)], (4, 8))
            assert rows.fetchall() == [(5, 10), (6, 12)]
            rows = await unit.tx.execute("SELECT 1")
            await unit.settle_async(ANSWER)
            with pytest.raises(TransactionMisuse, match="ended with their handler"):
                rows.fetchone()
            with pytest.raises(TransactionMisuse, match="has ended with its handler"):
                await unit.tx.execute("SELECT 1")

    asyncio.run(main())


def test_a_transaction_belongs_to_the_task_of_its_handler(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as store:
            unit = await granted(store)
            with pytest.raises(TransactionMisuse, match="belongs to the task"):
                await asyncio.create_task(unit.tx.execute("SELECT 1"))
            with pytest.raises(GuardError, match="from another task"):
                await asyncio.create_task(store.take_async(claim("order-2"), 10))
            assert store.is_inside_async()
            await unit.abandon_async()
            assert not store.is_inside_async()

    asyncio.run(main())


def test_a_nested_operation_of_a_task_is_a_savepoint_under_its_own_key(database: Database) -> None:
    """Undone alone when its handler fails; committed with the outer one."""
    statuses = iter([503, 201])

    async def bills(_: Signed, tx: AsyncTransaction) -> tuple[str, int]:
        await tx.execute("INSERT INTO orders (order_id) VALUES ('bill')")
        return "billed", next(statuses)

    async def main() -> None:
        async with open_shop(database, guard={"shared_secret": True}) as shop:
            bill = shop.guarded("/bill", bills)

            async def orders(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
                rendered = await write_order(signed, tx)
                assert [(await shop.order("b", app=bill)).status for _ in range(3)] == [503, 201, 201]
                return rendered

            shop.handler = orders
            assert (await shop.order()).status == 201
        assert (database.orders, database.claims) == (["17", "bill"], 2)

    asyncio.run(main())


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_connection_that_a_task_lost_at_commit_is_found_out_by_taking_the_claim_again(
    cut: Cut, database: Database, relay: Relay
) -> None:
    async def main() -> None:
        async with relayed(database, relay) as shop:
            relay.cut = cut
            answer = await shop.order()
            assert (answer.status, shop.runs) == (201, 2 if cut is Cut.BEFORE else 1)
            assert database.orders == ["17"]
            assert (await shop.order()).body == answer.body

    asyncio.run(main())


def test_a_commit_that_a_task_lost_and_that_lands_late_is_waited_for(database: Database, relay: Relay) -> None:
    async def main() -> None:
        async with relayed(database, relay, guard={"wait_s": 30}) as shop:
            relay.cut = Cut.HOLD
            running = asyncio.create_task(shop.order())
            await until(database, lambda connection: running.done() or is_waiting(connection))
            relay.let_go()
            answer = await running
            assert (answer.status, shop.runs, database.orders) == (201, 1, ["17"])
            assert answer.headers["Idempotent-Replayed"] == "true"

    asyncio.run(main())


@pytest.mark.parametrize("swallowed", [(), (psycopg.Error,)], ids=["raised", "swallowed"])
def test_a_backend_that_is_terminated_while_a_task_runs_is_503(
    swallowed: tuple[type[Exception], ...], database: Database
) -> None:
    async def loses(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
        rendered = await write_order(signed, tx)
        await asyncio.to_thread(database.query, KILL_THE_OTHERS)
        with suppress(*swallowed):
            await tx.execute("SELECT 1")
        return rendered

    async def main() -> None:
        async with open_shop(database, handler=loses) as shop:
            assert (await shop.order()).status == 503
            await nothing_is_kept(shop)

    asyncio.run(main())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("swallowed", [(), (psycopg.Error,)], ids=["raised", "swallowed"])
def test_a_serialization_failure_in_a_task_runs_its_handler_again(
    level: str, swallowed: tuple[type[Exception], ...], database: Database
) -> None:
    make_stock(database)
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")

    async def main() -> None:
        async with open_shop(database) as shop:

            async def takes_one(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
                await tx.execute("SELECT pieces FROM stock")
                if shop.runs == 1:
                    await asyncio.to_thread(database.query, TAKE_ONE)
                with suppress(*swallowed):
                    await tx.execute(TAKE_ONE)
                return await write_order(signed, tx) if shop.runs > 1 or not swallowed else ("sorry", 409)

            shop.handler = takes_one
            assert (await shop.order()).status == 201
            assert (shop.runs, database.orders, pieces(database)) == (2, ["17"], [3, 3])

    asyncio.run(main())


def test_of_two_tasks_in_a_deadlock_one_runs_again(database: Database) -> None:
    make_stock(database)
    ran = {"1": False, "2": False}

    async def main() -> None:
        both_hold_one = asyncio.Barrier(2)

        async def crosses(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
            order_id = order_id_of(signed)
            items = ("a", "b") if order_id == "1" else ("b", "a")
            is_first_run, ran[order_id] = not ran[order_id], True
            await tx.execute(f"{TAKE_ONE} WHERE item = %s", (items[0],))
            if is_first_run:
                await both_hold_one.wait()
            await tx.execute(f"{TAKE_ONE} WHERE item = %s", (items[1],))
            return await write_order(signed, tx)

        async with open_shop(database, handler=crosses) as shop:
            answers = await asyncio.gather(*[shop.order(order_id) for order_id in ran])
            assert [answer.status for answer in answers] == [201, 201]
            assert (shop.runs, sorted(database.orders), pieces(database)) == (3, ["1", "2"], [3, 3])

    asyncio.run(main())


@pytest.mark.parametrize("level", ["read committed", *LEVELS])
def test_a_duplicate_that_waited_for_a_task_of_another_process_gets_the_stored_answer(
    level: str, database: Database
) -> None:
    """Where transactions see a snapshot, the server answers 40001, which is no reason to run the handler."""
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")

    async def main() -> None:
        inside, out = asyncio.Event(), asyncio.Event()

        async def waits(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
            inside.set()
            await out.wait()
            return await write_order(signed, tx)

        async with (
            open_shop(database, handler=waits) as first,
            open_shop(database, guard={"wait_s": 30}) as second,
        ):
            running = asyncio.create_task(first.order())
            await inside.wait()
            waiting = asyncio.create_task(second.order())
            await until(database, is_waiting)
            out.set()
            answers = [await running, await waiting]
            assert [answer.status for answer in answers] == [201, 201]
            assert answers[0].body == answers[1].body
            assert (second.runs, database.orders) == (0, ["17"])

    asyncio.run(main())


def test_tasks_that_wait_for_a_connection_get_it_in_the_order_of_arrival_or_503(database: Database) -> None:
    async def main() -> None:
        async with opened(database, max_connections=1) as store:
            unit = await granted(store, "order-0")
            got: list[str] = []

            async def apply(name: str) -> None:
                other = await granted(store, name)
                got.append(name)
                await other.abandon_async()

            with pytest.raises(StoreUnavailable, match="all 1 connections of this process were in use"):
                await _apart(store.take_async(claim("order-9"), 0.05))
            waiting = [_apart(apply(f"order-{number}")) for number in range(1, 6)]
            await asyncio.sleep(0)
            waiting[1].cancel()
            await unit.abandon_async()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert got == ["order-1", "order-3", "order-4", "order-5"]

    asyncio.run(main())


def _apart(work: Awaitable[Any]) -> "asyncio.Task[Any]":
    """A task that was not started inside of any handler."""

    async def wait() -> Any:
        return await work

    return asyncio.get_running_loop().create_task(wait(), context=Context())


def test_a_task_that_is_cancelled_before_commit_rolls_back(database: Database) -> None:
    """While the server runs its statement; what it held is free at once."""

    async def main() -> None:
        async def sleeps(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
            rendered = await write_order(signed, tx)
            await tx.execute("SELECT pg_sleep(60)")
            return rendered

        async with open_shop(database, handler=sleeps) as shop:
            running = asyncio.create_task(shop.order())
            await until(database, _sleeps)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await nothing_is_kept(shop)

    asyncio.run(main())


def _sleeps(connection: psycopg.Connection[Any]) -> bool:
    asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    return bool(connection.execute(asleep).fetchall()[0][0])


def test_a_task_that_is_cancelled_while_it_waits_for_a_claim_has_taken_nothing(database: Database) -> None:
    """Its connection is closed, so that nobody has to find out what has become of it."""

    async def main() -> None:
        async with opened(database) as first, opened(database) as second:
            unit = await granted(first)
            waiting = asyncio.create_task(second.take_async(claim(), 60))
            await until(database, is_waiting)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await unit.abandon_async()
            assert second._connections.stack.idle == []
            await (await granted(second)).abandon_async()

    asyncio.run(main())


def test_a_task_that_is_cancelled_at_commit_is_told_how_it_ended_and_cancelled_then(
    database: Database, relay: Relay
) -> None:
    async def main() -> None:
        async with relayed(database, relay) as shop:
            loop = asyncio.get_running_loop()
            told: list[bool] = []

            async def settles() -> None:
                unit = await granted(shop.store)
                await unit.tx.execute("INSERT INTO orders (order_id) VALUES ('17')")
                relay.before_commit = cancel
                await unit.settle_async(ANSWER)
                told.append(True)
                await asyncio.sleep(60)

            def cancel() -> None:
                asyncio.run_coroutine_threadsafe(cancelled(), loop).result()

            async def cancelled() -> None:
                running.cancel("the client has gone")

            running = asyncio.create_task(settles())
            with pytest.raises(asyncio.CancelledError, match="the client has gone"):
                await running
            assert (told, running.cancelling(), database.orders, database.claims) == ([True], 1, ["17"], 1)

    asyncio.run(main())


def test_an_answer_that_does_not_come_in_time_is_503_and_its_connection_is_given_up(database: Database) -> None:
    """The table is locked by a migration, which no lock_timeout of the server reaches once a statement is planned."""

    async def main() -> None:
        async with open_shop(database, guard={"wait_s": 0.05}) as shop:
            with closing(psycopg.connect(database.conninfo())) as other:
                other.execute("LOCK TABLE tocsin_claims")
                answer = await shop.order()
            assert (answer.status, answer.headers["Retry-After"], shop.runs) == (503, "1", 0)
            assert (await shop.order()).status == 201

    asyncio.run(main())


def test_64_tasks_go_through_two_connections_of_pgbouncer_in_transaction_mode(database: Database) -> None:
    """32 identical requests and 32 different ones."""
    if bouncer() is None:
        pytest.skip("no PgBouncer found; apt-get install pgbouncer")

    async def main(port: int) -> list[Reply]:
        async with open_shop(
            database, store=AsyncPostgresStore(database.conninfo(port=port)), guard={"wait_s": 30}
        ) as shop:
            return await asyncio.gather(*[shop.order(str(max(0, number - 31))) for number in range(64)])

    with Bouncer(database) as running:
        answers = asyncio.run(main(running.port))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers[:32]}) == 1
    assert sorted(database.orders, key=int) == [str(number) for number in range(33)]
