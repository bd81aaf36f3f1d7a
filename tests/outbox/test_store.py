"""Each database keeps the promises of the outbox."""

import asyncio
import math
import re
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.guard.postgres.cluster import Bouncer, Cluster, bouncer
from tests.outbox.conftest import Place, postgres_place
from tests.outbox.contract import CONTRACT, NOW, put, take
from tocsin.outbox import OutboxError, OutboxUnavailable, State
from tocsin.outbox.postgres import PostgresOutbox
from tocsin.outbox.sqlite import SQLiteOutbox


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_contract(promise: Callable[[Place], None], place: Place) -> None:
    promise(place)


def test_what_is_put_is_what_is_taken_and_the_oldest_comes_first(place: Place) -> None:
    with place.begun() as tx:
        given = place.outbox.put(tx, "partner", b"\x00 as it is", content_type="text/plain", message_id="msg_own")
    with place.begun() as tx:
        made = place.outbox.put(tx, "partner", {"item": "café", "n": 1}, delay_s=60)
    assert given == "msg_own"
    assert re.fullmatch(r"msg_[0-9a-f]{32}", made)
    first, second = take(place), take(place)
    assert first is not None
    assert second is not None
    assert (first.id, first.body, first.content_type) == ("msg_own", b"\x00 as it is", "text/plain")
    assert (second.id, second.body, second.content_type) == (
        made,
        '{"item":"café","n":1}'.encode(),
        "application/json",
    )


def test_a_message_is_not_due_before_its_delay_has_passed(place: Place) -> None:
    with place.begun() as tx:
        place.outbox.put(tx, "partner", {}, delay_s=3600)
    with place.outbox.connected() as session:
        (kept,) = session.list()
    assert kept.due_unix_ms is not None
    assert kept.due_unix_ms - kept.put_unix_ms == 3_600_000
    assert take(place, now_s=kept.due_unix_ms / 1000 - 1) is None
    assert take(place, now_s=kept.due_unix_ms / 1000) is not None


def test_only_messages_of_the_destination_are_taken(place: Place) -> None:
    put(place, "others")
    assert take(place, "partner") is None
    assert take(place, "others") is not None


def test_a_second_message_under_one_id_is_refused_by_the_database(place: Place) -> None:
    with place.begun() as tx:
        place.outbox.put(tx, "partner", {}, message_id="order-1")
    with pytest.raises(Exception, match=r"(?i)unique"), place.begun() as tx:
        place.outbox.put(tx, "partner", {}, message_id="order-1")


def test_dead_and_delivered_messages_are_sent_again_by_hand_and_waiting_ones_are_not(place: Place) -> None:
    ids = put(place, "partner", "partner", "others")
    with place.outbox.connected() as session:
        for ending in ("dead", "delivered"):
            taken = session.take("partner", now_s=NOW * 2, lease_s=1)
            assert taken is not None
            if ending == "dead":
                dead = taken.id
                assert session.failed(taken, now_s=NOW, wait_s=None, error="answered 410")
            else:
                done = taken.id
                assert session.delivered(taken, now_s=NOW)
        assert session.counts() == {
            ("others", State.WAITING): 1,
            ("partner", State.DEAD): 1,
            ("partner", State.DELIVERED): 1,
        }
        assert not session.resend(ids[2], now_s=NOW)
        assert not session.resend("msg_unknown", now_s=NOW)
        assert session.resend(done, now_s=NOW)
        assert (session.resend_dead("others", now_s=NOW), session.resend_dead("partner", now_s=NOW)) == (0, 1)
        assert session.resend_dead(None, now_s=NOW) == 0
        again = {found.id: found for _ in range(2) if (found := session.take("partner", now_s=NOW, lease_s=1))}
    assert set(again) == {dead, done}
    # The schedule begins anew; the fencing token goes on.
    assert {(found.attempt, found.failures) for found in again.values()} == {(2, 0)}


def test_a_failure_is_remembered_and_an_error_is_cut(place: Place) -> None:
    put(place, "partner")
    taken = take(place)
    assert taken is not None
    with place.outbox.connected() as session:
        assert session.failed(taken, now_s=NOW, wait_s=30, error="x" * 5000)
        (kept,) = session.list(state=State.WAITING, destination="partner")
        assert (kept.due_unix_ms, kept.error, kept.attempts) == (round((NOW + 30) * 1000), "x" * 200, 1)
        assert session.list(state=State.DEAD) == session.list(destination="others") == []
        again = session.take("partner", now_s=NOW + 30, lease_s=1)
    assert again is not None
    assert again.failures == 1


def test_only_what_was_delivered_long_ago_is_let_go_of(place: Place) -> None:
    put(place, "partner", "partner", "partner")
    with place.outbox.connected() as session:
        for settle in (
            session.delivered,
            lambda taken, now_s: session.failed(taken, now_s=now_s, wait_s=None, error=""),
        ):
            taken = session.take("partner", now_s=NOW * 2, lease_s=1)
            assert taken is not None
            settle(taken, now_s=NOW)
        assert session.prune(before_s=NOW - 1) == 0
        assert session.prune(before_s=NOW) == 1
        assert session.prune(before_s=NOW) == 0
        assert {kept.state for kept in session.list()} == {State.DEAD, State.WAITING}


def test_a_database_without_an_outbox_names_the_command_that_makes_it(place: Place) -> None:
    with place.begun() as tx:
        tx.execute("DROP TABLE tocsin_outbox")
    with pytest.raises(OutboxError, match="`tocsin outbox migrate` makes it"), place.outbox.connected():
        pass
    place.outbox.migrate()
    place.outbox.migrate()
    assert take(place) is None


def test_a_file_that_is_not_there_is_not_made(tmp_path: object) -> None:
    outbox = SQLiteOutbox(f"{tmp_path}/none.db")
    with pytest.raises(OutboxError, match=r"none\.db is no file; wanted"), outbox.connected():
        pass


def test_a_server_out_of_reach_is_named_without_its_password() -> None:
    outbox = PostgresOutbox("postgresql://shop:canary-7d1f@127.0.0.1:1/orders")
    with pytest.raises(OutboxUnavailable) as caught, outbox.connected():
        pass
    assert "orders at 127.0.0.1" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert PostgresOutbox("=").where == "PostgreSQL"


def test_a_task_puts_with_its_own_transaction(cluster: Cluster) -> None:
    async def put_twice(conninfo: str) -> str:
        outbox = PostgresOutbox(conninfo)
        async with await psycopg.AsyncConnection.connect(conninfo) as tx:
            kept = await outbox.put_async(tx, "partner", {"n": 1})
        async with await psycopg.AsyncConnection.connect(conninfo) as tx:
            await outbox.put_async(tx, "partner", {"n": 2})
            await tx.rollback()
        return kept

    with cluster.database() as database:
        outbox = PostgresOutbox(database.conninfo())
        outbox.migrate()
        message_id = asyncio.run(put_twice(database.conninfo()))
        with outbox.connected() as session:
            assert [kept.id for kept in session.list()] == [message_id]


@pytest.mark.skipif(bouncer() is None, reason="needs PgBouncer: apt-get install pgbouncer")
@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_contract_through_pgbouncer_in_transaction_mode(promise: Callable[[Place], None], cluster: Cluster) -> None:
    with cluster.database() as database, Bouncer(database) as pooler:
        pooled = database.conninfo(port=pooler.port)
        promise(postgres_place(pooled))
        with psycopg.connect(pooled) as connection:
            assert connection.execute("SHOW statement_timeout").fetchall() == [("0",)]


def test_what_the_connection_string_says_is_so(cluster: Cluster) -> None:
    ask = "SELECT current_schema(), current_setting('statement_timeout')"
    with cluster.database() as database:
        database.query("CREATE SCHEMA app")
        for options, said in [("", ("public", "10s")), ("-csearch_path=app -cstatement_timeout=9s", ("app", "9s"))]:
            outbox = PostgresOutbox(make_conninfo(database.conninfo(), options=options))
            outbox.migrate()
            with outbox.connected() as session:
                assert session._run(ask, {})[0] == [said]
        schemas = database.query("SELECT schemaname FROM pg_tables WHERE tablename = 'tocsin_outbox' ORDER BY 1")
        assert schemas == [("app",), ("public",)]


def test_a_lock_that_somebody_forgot_is_not_waited_for_without_end(cluster: Cluster) -> None:
    with cluster.database() as database:
        place = postgres_place(make_conninfo(database.conninfo(), options="-cstatement_timeout=50ms"))
        put(place, "partner")
        taken = take(place)
        assert taken is not None
        with place.outbox.connected() as session:
            with place.begun() as forgetful:
                forgetful.execute("SELECT FROM tocsin_outbox FOR UPDATE")
                with pytest.raises(OutboxUnavailable, match="QueryCanceled"):
                    session.delivered(taken, now_s=NOW)
            assert session.delivered(taken, now_s=NOW), "with the same connection"


@pytest.mark.parametrize("delay_s", [-1, math.nan, math.inf, 1e300])
def test_a_delay_into_the_past_or_without_end_is_refused_and_nothing_is_written(
    delay_s: float, file_place: Place
) -> None:
    wanted = re.escape(f"delay_s = {delay_s}: wanted seconds from 0 to 1000000000")
    with file_place.begun() as tx, pytest.raises(OutboxError, match=wanted):
        file_place.outbox.put(tx, "partner", {}, delay_s=delay_s)
    assert take(file_place) is None
