"""What a handler does with the ORM, and what of it is committed: with the claim, or not at all."""

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from threading import Event as ThreadEvent
from threading import Thread
from typing import Any

import pytest

from tests.guard.django.databases import Order, Project, project
from tests.guard.django.shop import DjangoShop, insert, order_id_of, write_order

# isort: split
import django.db
from django.db import IntegrityError, close_old_connections, connections, transaction
from django.db.transaction import TransactionManagementError
from django.http import HttpResponse

from tocsin.guard import GuardError, Signed, TransactionMisuse
from tocsin.guard._admin import Chosen
from tocsin.guard.stores.django import DjangoStore, Transaction
from tocsin.guard.testing import claim

MakeShop = Callable[..., DjangoShop]
# For what does not depend on the database.
ONCE = pytest.mark.parametrize("vendor", ["sqlite"])


def nothing_is_kept(shop: DjangoShop) -> None:
    assert (shop.site.orders, shop.site.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status == 201
    assert (shop.site.orders, shop.site.claims) == (["17"], 1)


def test_what_the_orm_writes_is_committed_with_the_claim_and_the_answer(shop: DjangoShop) -> None:
    def writes(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        assert (shop.site.orders, shop.site.claims) == ([], 0)
        return answer

    shop.handler = writes
    first, again = shop.order(), shop.order()
    assert (first.status, again.is_replay, again.stored()) == (201, True, first.stored())
    assert (shop.runs, shop.site.orders, shop.site.claims) == (1, ["17"], 1)


@ONCE
def test_a_handler_that_fails_leaves_nothing_and_a_retry_runs(shop: DjangoShop) -> None:
    def fails(signed: Signed, tx: Transaction) -> HttpResponse:
        write_order(signed, tx)
        raise RuntimeError("of the test")

    shop.handler = fails
    assert shop.order().status == 500
    nothing_is_kept(shop)


@pytest.mark.parametrize("way", ["atomic", "savepoint", "begun by hand"])
def test_a_nested_block_is_the_way_to_catch_an_error_of_the_database(way: str, shop: DjangoShop) -> None:
    def catches(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        block: Any = tx.savepoint() if way == "savepoint" else transaction.atomic(using=tx.alias)
        if way == "begun by hand":
            sid = transaction.savepoint(using=tx.alias)
            insert(tx.alias, "undone")
            transaction.savepoint_rollback(sid, using=tx.alias)
        with suppress(IntegrityError), block:
            insert(tx.alias, "undone")
            tx.execute("INSERT INTO orders (order_id) VALUES (NULL)")
        return answer

    shop.handler = catches
    assert shop.order().status == 201
    assert shop.site.orders == ["17"]


def meddle_by_atomic(tx: Transaction) -> None:
    with pytest.raises(TransactionManagementError):
        transaction.commit(using=tx.alias)


def meddle_by_rollback(tx: Transaction) -> None:
    with pytest.raises(TransactionManagementError):
        transaction.rollback(using=tx.alias)


@ONCE
@pytest.mark.parametrize("meddle", [meddle_by_atomic, meddle_by_rollback])
def test_django_itself_refuses_to_commit_inside_the_block_and_nothing_has_happened(
    meddle: Callable[[Transaction], None], shop: DjangoShop
) -> None:
    def meddles(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        meddle(tx)
        return answer

    shop.handler = meddles
    assert shop.order().status == 201
    assert (shop.site.orders, shop.site.claims) == (["17"], 1)


@pytest.mark.parametrize("sql", ["COMMIT", " -- so\n/* it */ rollback", "END", "BEGIN"])
def test_a_handler_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned(
    sql: str, shop: DjangoShop
) -> None:
    def tries(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        with pytest.raises(TransactionMisuse, match="is refused while a handler runs"):
            connections[tx.alias].cursor().execute(sql)
        return answer

    shop.handler = tries
    assert shop.order().status == 500
    nothing_is_kept(shop)


@pytest.mark.parametrize("control", [["COMMIT"], ["COMMIT", "BEGIN"], ["ROLLBACK"], ["ROLLBACK", "BEGIN"]], ids=str)
def test_a_transaction_that_was_ended_behind_django_is_500_and_never_remembered(
    control: list[str], shop: DjangoShop, vendor: str
) -> None:
    """On SQLite the database itself refuses; on PostgreSQL the id of the transaction tells."""

    def ends(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        raw = connections[tx.alias].connection
        for statement in control:
            with suppress(Exception):
                raw.cursor().execute(statement)
        return answer

    shop.handler = ends
    assert shop.order().status == 500
    if vendor == "postgresql" and control[0] == "COMMIT":
        # Applied, answer unknown: it never runs again by itself.
        assert (shop.order().status, shop.runs, shop.site.claims) == (500, 1, 1)
    else:
        nothing_is_kept(shop)


def set_rollback(tx: Transaction) -> None:
    transaction.set_rollback(True, using=tx.alias)


def swallow_an_error(tx: Transaction) -> None:
    with suppress(IntegrityError):
        Order.objects.using(tx.alias).create(order_id=None)


def leave_a_block_open(tx: Transaction) -> None:
    transaction.atomic(using=tx.alias).__enter__()


def leave_the_guards_block(tx: Transaction) -> None:
    connections[tx.alias].atomic_blocks[-1].__exit__(None, None, None)


def close_the_connection(tx: Transaction) -> None:
    connections[tx.alias].close()


def close_old_ones(_tx: Transaction) -> None:
    """Django takes a connection inside a transaction for one that was left in disorder, and closes it."""
    close_old_connections()


def delete_the_claim(tx: Transaction) -> None:
    tx.execute("DELETE FROM tocsin_claims")


@pytest.mark.parametrize(
    "breaks",
    [
        set_rollback,
        swallow_an_error,
        leave_a_block_open,
        leave_the_guards_block,
        close_the_connection,
        close_old_ones,
        delete_the_claim,
    ],
)
def test_a_handler_that_broke_its_transaction_is_500_whatever_it_returned_and_nothing_is_kept(
    breaks: Callable[[Transaction], None], shop: DjangoShop, vendor: str
) -> None:
    def broken(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        breaks(tx)
        return answer

    shop.handler = broken
    assert shop.order().status == 500
    if breaks is leave_the_guards_block and vendor == "postgresql":
        # It was committed by that: applied, answer unknown. SQLite itself refuses.
        assert (shop.order().status, shop.runs) == (500, 1)
    else:
        nothing_is_kept(shop)


@ONCE
def test_a_durable_block_inside_a_handler_is_refused_by_django(shop: DjangoShop) -> None:
    """It would promise a COMMIT of its own."""

    def durable(signed: Signed, tx: Transaction) -> HttpResponse:
        with transaction.atomic(using=tx.alias, durable=True):
            return write_order(signed, tx)

    shop.handler = durable
    assert shop.order().status == 500
    nothing_is_kept(shop)


def test_on_commit_runs_after_the_guards_commit_and_once_and_not_after_a_rollback(shop: DjangoShop) -> None:
    seen: list[tuple[list[str], int]] = []

    def defers(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        transaction.on_commit(lambda: seen.append((shop.site.orders, shop.site.claims)), using=tx.alias)
        return HttpResponse(status=503) if shop.runs == 1 else answer

    shop.handler = defers
    assert [shop.order().status for _ in range(3)] == [503, 201, 201]
    assert seen == [(["17"], 1)]


@ONCE
def test_an_on_commit_callback_that_fails_changes_no_answer(shop: DjangoShop, caplog: pytest.LogCaptureFixture) -> None:
    """It is committed: the first request is answered what its duplicates will be, and the other callbacks run."""
    ran: list[str] = []

    def defers(signed: Signed, tx: Transaction) -> HttpResponse:
        def fails() -> None:
            raise RuntimeError("of the callback")

        transaction.on_commit(fails, using=tx.alias)
        transaction.on_commit(lambda: ran.append("the other one"), using=tx.alias)
        return write_order(signed, tx)

    shop.handler = defers
    first = shop.order()
    assert (first.status, shop.order().stored()) == (201, first.stored())
    assert ran == ["the other one"]
    assert "of the callback" in caplog.text


def test_a_write_to_another_database_is_refused_unless_it_may_happen_twice(make_shop: MakeShop, site: Project) -> None:
    other = site.alias()

    def writes_there(signed: Signed, tx: Transaction) -> HttpResponse:
        assert Order.objects.using(other).count() == 0
        insert(other, "uncovered")
        return write_order(signed, tx)

    shop = make_shop(handler=writes_there)
    if site.settings["ENGINE"].endswith("sqlite3"):
        # Its one writer is the handler's own transaction.
        assert shop.order().status == 500
        return
    assert shop.order().status == 500
    assert site.orders == []
    permitted = make_shop(handler=writes_there, store={"uncovered": [other]})
    assert permitted.order().status == 201
    assert site.orders == ["uncovered", "17"]


def test_inside_somebody_elses_transaction_the_guard_refuses_and_runs_nothing(shop: DjangoShop) -> None:
    with transaction.atomic(using=shop.alias):
        assert shop.order().status == 500
        with pytest.raises(GuardError, match="a transaction is open on"):
            shop.store.take(claim(), 1)
    assert shop.runs == 0
    nothing_is_kept(shop)


@ONCE
def test_a_connection_that_is_not_in_autocommit_is_refused(make_shop: MakeShop, site: Project) -> None:
    """Its atomic blocks would end without COMMIT."""
    shop = make_shop(alias=site.alias(AUTOCOMMIT=False))
    assert shop.order().status == 500
    assert (shop.runs, site.orders, site.claims) == (0, [], 0)


def test_a_test_case_of_djangos_may_use_guarded_views_in_its_own_transaction(shop: DjangoShop) -> None:
    """As with Django's durable blocks: what a TestCase has begun, it rolls back."""
    block = transaction.atomic(using=shop.alias)
    block._from_testcase = True
    with suppress(KeyboardInterrupt), block:
        first, again = shop.order(), shop.order()
        assert (first.status, again.is_replay, shop.runs) == (201, True, 1)
        assert Order.objects.using(shop.alias).count() == 1
        raise KeyboardInterrupt
    assert (shop.site.orders, shop.site.claims) == ([], 0)


def test_a_nested_operation_is_a_savepoint_under_its_own_key(make_shop: MakeShop) -> None:
    """Committed with the outer one or undone with it; undone alone when its own handler fails."""
    statuses: list[int] = []

    def orders(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        statuses.extend(inner.order("bill").status for _ in range(3))
        return HttpResponse(status=500) if shop.runs == 1 else answer

    def bill(_request: Any, _signed: Signed, tx: Transaction) -> HttpResponse:
        inner.runs += 1
        insert(tx.alias, "bill")
        return HttpResponse(status=503) if inner.runs == 1 else HttpResponse("billed")

    shop, inner = make_shop(handler=orders), make_shop()
    inner.serve(bill, name="bill", store=shop.store)
    assert shop.order().status == 500
    assert (shop.site.orders, shop.site.claims) == ([], 0)
    assert shop.order().status == 201
    assert statuses == [503, 200, 200, 200, 200, 200]
    assert (inner.runs, sorted(shop.site.orders), shop.site.claims) == (3, ["17", "bill"], 2)


@ONCE
def test_a_transaction_is_its_handlers_and_ends_with_it(shop: DjangoShop) -> None:
    kept: list[Transaction] = []
    errors: list[BaseException] = []

    def elsewhere(tx: Transaction) -> None:
        try:
            tx.execute("SELECT 1")
        except TransactionMisuse as error:
            errors.append(error)

    def keeps(signed: Signed, tx: Transaction) -> HttpResponse:
        kept.append(tx)
        thread = Thread(target=elsewhere, args=(tx,))
        thread.start()
        thread.join()
        return write_order(signed, tx)

    shop.handler = keeps
    assert shop.order().status == 201
    with pytest.raises(TransactionMisuse, match="has ended with its handler"):
        kept[0].execute("SELECT 1")
    assert "belongs to the thread" in str(errors[0])


@ONCE
def test_a_handler_that_forked_commits_in_its_own_process_alone(shop: DjangoShop) -> None:
    def forks(signed: Signed, tx: Transaction) -> HttpResponse:
        child = os.fork()
        if child == 0:
            signal.pause()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return write_order(signed, tx)

    shop.handler = forks
    assert shop.order().status == 201
    assert shop.site.orders == ["17"]


@ONCE
def test_the_guards_statements_and_answers_are_in_no_log_of_queries(shop: DjangoShop) -> None:
    """DEBUG keeps every query of Django's cursors, with its values."""
    connection = connections[shop.alias]
    connection.force_debug_cursor = True
    answer = shop.order()
    logged = str(connection.queries_log)
    assert "orders" in logged
    assert "tocsin_claims" not in logged
    assert answer.json()["receipt"] not in logged


@ONCE
def test_a_store_that_has_no_tables_says_what_makes_them(make_shop: MakeShop, site: Project, caplog: Any) -> None:
    site.query("DROP TABLE tocsin_claims")
    shop = make_shop()
    answer = shop.order()
    assert (answer.status, answer.field("Retry-After")) == (503, ["1"])
    assert "manage.py migrate" in caplog.text


def test_an_async_view_has_claim_and_writes_of_its_orm_in_one_transaction(shop: DjangoShop, site: Project) -> None:
    async def order(_request: Any, signed: Signed, tx: Transaction) -> HttpResponse:
        shop.runs += 1
        await Order.objects.using(tx.alias).acreate(order_id=order_id_of(signed))
        assert await asyncio.to_thread(lambda: site.orders) == []
        return HttpResponse(b"%d" % shop.runs, status=503 if shop.runs == 1 else 201)

    shop.serve(order, name="/order")
    answers = [shop.order_async() for _ in range(3)]
    assert [answer.status for answer in answers] == [503, 201, 201]
    assert (answers[2].body, answers[2].is_replay, site.orders, site.claims) == (b"2", True, ["17"], 1)


def test_an_async_view_whose_requests_share_one_thread_is_refused(shop: DjangoShop, site: Project) -> None:
    """All tasks would write in one another's transactions."""

    async def take() -> None:
        await shop.store.take_async(claim(), 1)

    with pytest.raises(GuardError, match="a thread of its own"):
        shop._loop.run(take())
    assert site.claims == 0


def test_errors_of_the_database_that_a_handler_swallows_and_returns_are_no_answer(shop: DjangoShop) -> None:
    def swallows(signed: Signed, tx: Transaction) -> HttpResponse:
        with suppress(django.db.Error):
            tx.execute("SELECT no_such_column FROM orders")
        return write_order(signed, tx)

    shop.handler = swallows
    status = shop.order().status
    # SQLite undoes the statement alone; on PostgreSQL the whole transaction is aborted.
    assert status == (201 if shop.site.settings["ENGINE"].endswith("sqlite3") else 500)
    assert shop.site.orders == (["17"] if status == 201 else [])


def test_an_async_view_that_is_cancelled_leaves_nothing_and_a_retry_runs(shop: DjangoShop, site: Project) -> None:
    """Django cancels a view whose client has gone; its thread ends what it has begun first."""
    entered = ThreadEvent()

    async def order(_request: Any, signed: Signed, tx: Transaction) -> HttpResponse:
        await Order.objects.using(tx.alias).acreate(order_id=order_id_of(signed))
        shop.runs += 1
        if shop.runs == 1:
            entered.set()
            await asyncio.Event().wait()
        return HttpResponse(status=201)

    shop.serve(order, name="/order")
    with ThreadPoolExecutor(1) as pool:
        gone = pool.submit(shop.order_async)
        assert entered.wait(30)
        shop.cancel_all()
        with pytest.raises(asyncio.CancelledError):
            gone.result()
    assert (site.orders, site.claims) == ([], 0)
    assert (shop.order_async().status, site.orders) == (201, ["17"])


@pytest.mark.parametrize(
    ("alias", "settings", "text"),
    [
        ("nowhere", None, "wanted aliases of settings.DATABASES"),
        ("memory", {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, "wanted a file"),
        ("other", {"ENGINE": "django.db.backends.dummy", "NAME": "x"}, "wanted PostgreSQL or SQLite"),
    ],
)
def test_a_database_that_claims_cannot_be_kept_in_is_refused_at_the_start(alias: str, settings: Any, text: str) -> None:
    with project(settings or {}) as made, pytest.raises(GuardError, match=text):
        DjangoStore(made.alias() if settings else alias)


def test_the_administration_of_the_raw_stores_reads_what_django_has_written(shop: DjangoShop, vendor: str) -> None:
    """`tocsin claims --sqlite` and `--postgres`: it is one table."""
    shop.order()
    given = shop.site.settings
    where = (
        given["NAME"]
        if vendor == "sqlite"
        else f"host=127.0.0.1 port={given['PORT']} dbname={given['NAME']} user=tocsin"
    )
    administration: Any = import_module(f"tocsin.guard.stores.{'sqlite' if vendor == 'sqlite' else 'postgres'}._admin")
    opened = administration.administration(where)
    [kept] = opened.newest(Chosen(), 10)
    opened.close()
    assert (kept.operation, kept.tenant, kept.status) == ("/order", "main", 201)
