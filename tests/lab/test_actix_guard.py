"""tocsin-actix: what a message gets that comes again, collides, is cut off, or was applied by a service in Python."""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import psycopg
import pytest

from lab._bruteforce import Answer, OrderDesk, sign_tocsin_v1
from lab._launch import Running, start
from lab._postgres import Cluster
from lab._services import find
from tests.guard.crash import crash
from tests.guard.postgres.relay import Cut, Relay
from tests.guard.server import Reply
from tests.lab.services import started
from tests.lab.test_actix import ROUTES, at, new_thing
from tocsin.guard._fingerprint import Fingerprint, fingerprint
from tocsin.guard._keys import claim_key
from tocsin.guard._problems import content_too_large
from tocsin.guard.stores.postgres import schema_sql
from tocsin.signing import Message, Secret, preset, sign

NAME = "actix-guarded"
SECRET = "a secret that both services have"
JSON = {"Content-Type": "application/json"}
COPIES = 64
# Differ between an answer and its replay by design.
NOT_STORED = frozenset({"date", "server", "connection", "content-length", "idempotent-replayed"})


@dataclass(frozen=True, slots=True)
class Through:
    """A database that is reached through somebody else."""

    url: str

    def close(self) -> None:
        """It is not ours."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if missing := find(NAME).missing():
        pytest.skip(f"{NAME} needs {missing}")
    with Cluster() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Iterator[OrderDesk]:
    with start(NAME, secret=SECRET, database=cluster) as running:
        yield OrderDesk(running, sign_tocsin_v1)


@pytest.fixture(scope="module")
def in_python(cluster: Cluster) -> Iterator[OrderDesk]:
    if missing := find("fastapi-guarded").missing():
        pytest.skip(f"fastapi-guarded needs {missing}")
    with start("fastapi-guarded", secret=SECRET, database=cluster) as running:
        yield OrderDesk(running, sign_tocsin_v1)


def stored(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """The part of an answer that a duplicate gets again."""
    kept = sorted((name.lower(), value) for name, value in answer.headers.items() if name.lower() not in NOT_STORED)
    return answer.status, kept, answer.body


def is_replay(answer: Answer) -> bool:
    return {name.lower(): value for name, value in answer.headers.items()}.get("idempotent-replayed") == "true"


def send(desk: OrderDesk, path: str, document: object, key: str = "") -> Answer:
    body = json.dumps(document).encode()
    door = at(desk, path)
    return door.send(body, JSON | door.sign(body, key or uuid.uuid4().hex, desk.running.secret))


def execute(desk: OrderDesk, statement: str, *values: object) -> list[Any]:
    assert desk.running.database is not None
    with psycopg.connect(desk.running.database.url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def orders(desk: OrderDesk, order_id: str) -> int:
    return desk.query("SELECT COUNT(*) FROM orders WHERE order_id = ?", order_id)


# Duplicates


def test_of_64_copies_at_once_one_is_applied_and_all_get_its_answer(guarded: OrderDesk) -> None:
    order_id = uuid.uuid4().hex
    answers = guarded.volley([guarded.order(guarded.new_item(), order_id)] * COPIES)
    assert orders(guarded, order_id) == 1
    assert len({str(stored(answer)) for answer in answers}) == 1
    assert sorted(map(is_replay, answers)) == [False] + [True] * (COPIES - 1)


def test_a_duplicate_gets_the_first_answer_whole(guarded: OrderDesk) -> None:
    order_id, item = uuid.uuid4().hex, guarded.new_item()
    first, again = (guarded.send(*guarded.order(item, order_id)) for _ in range(2))
    assert stored(again) == stored(first)
    assert (first.status, is_replay(first), is_replay(again)) == (200, False, True)


def test_another_request_under_a_used_key_is_422(guarded: OrderDesk) -> None:
    order_id, item = uuid.uuid4().hex, guarded.new_item()
    wanted = {"order_id": order_id, "item": item, "qty": 1}
    assert [send(guarded, "/order", wanted | {"qty": qty}).status for qty in (1, 2, 1)] == [200, 422, 200]
    assert orders(guarded, order_id) == 1


def test_a_refusal_is_undone_as_a_whole_and_remembered(guarded: OrderDesk) -> None:
    """What was paid to an account that does not exist comes back, and the transfer never happens later."""
    source = new_thing(guarded, next(route for route in ROUTES if route.table == "transfers"), balance=5)
    wanted = {"transfer_id": uuid.uuid4().hex, "source": source, "target": "acc-to-come", "amount": 2}
    first = send(guarded, "/transfer", wanted)
    execute(guarded, "INSERT INTO accounts VALUES ('acc-to-come', 0, 0)")
    try:
        again = send(guarded, "/transfer", wanted)
        assert (first.status, stored(again), is_replay(again)) == (404, stored(first), True)
        assert guarded.query("SELECT balance FROM accounts WHERE id = ?", source) == 5
    finally:
        execute(guarded, "DELETE FROM accounts WHERE id = 'acc-to-come'")


def test_what_is_left_of_an_old_claim_is_its_status(guarded: OrderDesk) -> None:
    order_id, item = uuid.uuid4().hex, guarded.new_item()
    guarded.send(*guarded.order(item, order_id))
    key = key_of("/order", order_id)
    execute(guarded, "UPDATE tocsin_claims SET headers = NULL, body = NULL WHERE key = %s", key)
    again = guarded.send(*guarded.order(item, order_id))
    assert (again.status, again.body, is_replay(again)) == (200, b"", True)
    assert orders(guarded, order_id) == 1


def test_a_claim_without_an_answer_is_never_applied_again(guarded: OrderDesk) -> None:
    order_id, item = uuid.uuid4().hex, guarded.new_item()
    guarded.send(*guarded.order(item, order_id))
    key = key_of("/order", order_id)
    execute(guarded, "UPDATE tocsin_claims SET status = NULL, headers = NULL, body = NULL WHERE key = %s", key)
    assert guarded.send(*guarded.order(item, order_id)).status == 500
    assert orders(guarded, order_id) == 1


def redeemed_after_its_claim_is_over(guarded: OrderDesk, taken_s_ago: int) -> tuple[list[int], int]:
    """Redeem, let the claim's time be over, redeem again: the answers, and how often it was applied."""
    coupon = new_thing(guarded, next(route for route in ROUTES if route.kind == "coupon"))
    name = uuid.uuid4().hex
    wanted = {"redemption_id": name, "coupon": coupon}
    first = send(guarded, "/coupon/redeem", wanted, name)
    taken = round((time.time() - taken_s_ago) * 1000)
    over = "UPDATE tocsin_claims SET claim_until_unix_ms = 1, taken_unix_ms = %s WHERE key = %s"
    execute(guarded, "DELETE FROM tocsin_forgotten")
    execute(guarded, over, taken, key_of("/coupon/redeem", name))
    again = send(guarded, "/coupon/redeem", wanted, name)
    applied = guarded.query("SELECT COUNT(*) FROM redemptions WHERE redemption_id = ?", name)
    return [first.status, again.status], applied


def test_a_claim_that_has_had_its_time_is_let_go(guarded: OrderDesk) -> None:
    assert redeemed_after_its_claim_is_over(guarded, taken_s_ago=86_400) == ([200, 200], 2)


def test_a_message_as_old_as_a_claim_that_was_let_go_is_refused(guarded: OrderDesk) -> None:
    """It can be the very one: only a clock that went back forgets a claim while its message still verifies."""
    assert redeemed_after_its_claim_is_over(guarded, taken_s_ago=0) == ([200, 401], 1)


# Limits


def test_a_signature_of_another_body_is_401_and_changes_nothing(guarded: OrderDesk) -> None:
    order_id, item = uuid.uuid4().hex, guarded.new_item()
    body, _ = guarded.order(item, order_id)
    _, headers = guarded.order(item, order_id.upper())
    assert guarded.send(body, headers).status == 401
    assert orders(guarded, order_id) == 0


@pytest.mark.parametrize(("age_s", "status"), [(0, 200), (290, 200), (310, 401), (-290, 200), (-310, 401)])
def test_a_message_may_be_300_s_old_or_early(guarded: OrderDesk, age_s: int, status: int) -> None:
    body = json.dumps({"order_id": uuid.uuid4().hex, "item": guarded.new_item(), "qty": 1}).encode()
    key = (("Idempotency-Key", uuid.uuid4().hex),)
    secret = Secret(SECRET.encode(), key_id="lab")
    signed = sign(Message("POST", "/order", key, body), preset("tocsin-v1"), secret, now=time.time() - age_s)
    assert guarded.send(body, JSON | dict(key) | dict(signed)).status == status


def test_a_body_of_more_than_1_mib_is_413_and_one_of_1_mib_is_hashed(guarded: OrderDesk) -> None:
    hashed, refused = (guarded.send(b"x" * size, JSON) for size in (1 << 20, (1 << 20) + 1))
    assert (hashed.status, refused.status) == (401, 413)
    assert problem(refused.body) == problem(content_too_large(1 << 20).body)


def test_a_body_in_chunks_has_the_same_limit(guarded: OrderDesk) -> None:
    with closing(guarded.connection()) as connection:
        connection.request("POST", "/order", iter([b"x" * 65536] * 20), JSON, encode_chunked=True)
        assert connection.getresponse().status == 413


# The database's troubles


def test_an_answer_leaves_after_commit_and_not_before(guarded: OrderDesk) -> None:
    """A deferred constraint refuses at COMMIT what every statement let pass."""
    item, order_id = guarded.new_item(), uuid.uuid4().hex
    execute(
        guarded,
        f"""
        CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'at COMMIT'; END$$;
        CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.item = '{item}') EXECUTE FUNCTION refused()
        """,
    )
    try:
        assert guarded.send(*guarded.order(item, order_id)).status == 500
        assert (orders(guarded, order_id), guarded.query("SELECT stock FROM items WHERE id = ?", item)) == (0, 5)
    finally:
        execute(guarded, "DROP TRIGGER refused ON orders; DROP FUNCTION refused()")
    assert guarded.send(*guarded.order(item, order_id)).status == 200


def test_a_key_that_another_process_is_applying_is_waited_for_and_then_409(guarded: OrderDesk) -> None:
    order_id, item = uuid.uuid4().hex, guarded.new_item()
    assert guarded.running.database is not None
    with psycopg.connect(guarded.running.database.url) as other:
        insert = "INSERT INTO tocsin_claims (key, version, tenant, operation, taken_unix_ms) VALUES (%s, 1, '', '', 0)"
        other.execute(insert, (key_of("/order", order_id),))
        answer = guarded.send(*guarded.order(item, order_id))
        assert (answer.status, orders(guarded, order_id)) == (409, 0)
        assert {name.lower() for name in answer.headers} >= {"retry-after"}
        other.rollback()
    assert guarded.send(*guarded.order(item, order_id)).status == 200


def test_of_two_transfers_that_wait_for_each_other_one_is_undone_and_runs_again(guarded: OrderDesk) -> None:
    """Both are made to wait for their first row until both are there; then each holds what the other one wants."""
    transfer = next(route for route in ROUTES if route.table == "transfers")
    assert guarded.running.database is not None
    url, waiting = guarded.running.database.url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with (
        psycopg.connect(url) as holding,
        psycopg.connect(url, autocommit=True) as watching,
        ThreadPoolExecutor(2) as two,
    ):
        for _ in range(5):
            accounts = [new_thing(guarded, transfer, balance=5) for _ in range(2)]
            holding.execute("SELECT 1 FROM accounts WHERE id = ANY(%s) FOR UPDATE", (accounts,))
            wanted = [
                {"transfer_id": uuid.uuid4().hex, "source": source, "target": target, "amount": 1}
                for source, target in (accounts, accounts[::-1])
            ]
            sent = [two.submit(send, guarded, "/transfer", each) for each in wanted]
            while not any(each.done() for each in sent) and watching.execute(waiting.encode()).fetchall() != [(2,)]:
                Event().wait(0.01)
            holding.rollback()
            assert [each.result().status for each in sent] == [200, 200]


@pytest.fixture(scope="module")
def relay(cluster: Cluster) -> Iterator[Relay]:
    with Relay(cluster.port) as running:
        yield running


@pytest.fixture(scope="module")
def relayed(cluster: Cluster, relay: Relay) -> Iterator[OrderDesk]:
    """Reaches the database through the relay."""
    url = cluster.url.replace(str(cluster.port), str(relay.port))
    with start(NAME, secret=SECRET, database=Through(url)) as running:
        yield OrderDesk(running, sign_tocsin_v1)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER], ids=lambda cut: cut.name)
def test_a_connection_that_is_lost_at_commit_leaves_one_effect_and_its_answer(
    relayed: OrderDesk, relay: Relay, cut: Cut
) -> None:
    order_id, item = uuid.uuid4().hex, relayed.new_item()
    relay.cut = cut
    first, again = (relayed.send(*relayed.order(item, order_id)) for _ in range(2))
    assert relay.cut is Cut.NEVER
    assert (first.status, orders(relayed, order_id), stored(again)) == (200, 1, stored(first))
    assert is_replay(first) == (cut is Cut.AFTER)


def test_a_commit_that_lands_late_is_found_by_taking_the_claim_again(relayed: OrderDesk, relay: Relay) -> None:
    """The service asks while the lost commit is still on its way: it waits, and applies nothing a second time."""
    order_id, item = uuid.uuid4().hex, relayed.new_item()
    relay.cut = Cut.HOLD
    assert relayed.running.database is not None
    with ThreadPoolExecutor(1) as threads, psycopg.connect(relayed.running.database.url, autocommit=True) as watching:
        first = threads.submit(relayed.send, *relayed.order(item, order_id))
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%tocsin_claims%'"
        )
        while not first.done() and watching.execute(waiting.encode()).fetchall() != [(1,)]:
            Event().wait(0.01)
        relay.let_go()
        answer = first.result()
    assert (answer.status, is_replay(answer), orders(relayed, order_id)) == (200, True, 1)


def test_without_its_database_it_is_503_and_afterwards_all_is_as_before() -> None:
    with started(NAME) as running:
        desk = OrderDesk(running, sign_tocsin_v1)
        order = desk.order(desk.new_item(), uuid.uuid4().hex)
        first = desk.send(*order)
        database = running.database
        assert isinstance(database, Cluster)
        database.stop()
        away = desk.send(*order)
        assert (away.status, "retry-after" in {name.lower() for name in away.headers}) == (503, True)
        database.start()
        assert stored(desk.send(*order)) == stored(first)


# One replay protection for Python and Rust


def key_of(operation: str, name: str) -> bytes:
    return claim_key("main", operation, "string", name.encode())


@pytest.mark.parametrize("first_in", ["guarded", "in_python"])
def test_what_one_service_has_applied_the_other_answers_from_the_table(
    guarded: OrderDesk, in_python: OrderDesk, first_in: str
) -> None:
    first, second = (guarded, in_python) if first_in == "guarded" else (in_python, guarded)
    item = guarded.new_item(stock=10)
    for _ in range(5):
        order_id = uuid.uuid4().hex
        applied, replayed = (desk.send(*desk.order(item, order_id)) for desk in (first, second))
        assert (applied.status, is_replay(applied), is_replay(replayed)) == (200, False, True)
        assert stored(replayed) == stored(applied)
        assert orders(guarded, order_id) == 1
    assert guarded.query("SELECT stock FROM items WHERE id = ?", item) == 5


def test_a_message_that_comes_to_both_at_once_is_applied_once_and_answered_alike(
    guarded: OrderDesk, in_python: OrderDesk
) -> None:
    item = guarded.new_item(stock=100)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            order_id = uuid.uuid4().hex
            copies = [guarded.order(item, order_id)] * 8
            got = threads.map(OrderDesk.volley, (guarded, in_python), (copies, copies))
            answers = [answer for some in got for answer in some]
            assert len({str(stored(answer)) for answer in answers}) == 1
            assert orders(guarded, order_id) == 1
            assert [is_replay(answer) for answer in answers].count(False) == 1
    assert guarded.query("SELECT stock FROM items WHERE id = ?", item) == 80


def test_another_request_under_a_key_that_the_other_service_took_is_422(
    guarded: OrderDesk, in_python: OrderDesk
) -> None:
    for first, second in ((guarded, in_python), (in_python, guarded)):
        order_id, item = uuid.uuid4().hex, guarded.new_item()
        assert first.send(*first.order(item, order_id)).status == 200
        assert send(second, "/order", {"order_id": order_id, "item": item, "qty": 3}).status == 422


def test_both_write_the_same_claim(guarded: OrderDesk, in_python: OrderDesk) -> None:
    """Key, version, tenant, operation, fingerprint and for how long: all but the moment and the answer."""
    kept = "answer_until_unix_ms - taken_unix_ms, claim_until_unix_ms"
    columns = f"version, tenant, operation, encode(fingerprint, 'hex'), {kept}"
    rows, expected = [], []
    for desk in (guarded, in_python):
        order_id = uuid.uuid4().hex
        body, headers = desk.order(guarded.new_item(), order_id)
        desk.send(body, headers)
        rows.append(execute(desk, f"SELECT {columns} FROM tocsin_claims WHERE key = %s", key_of("/order", order_id)))
        compared = fingerprint(Message("POST", "/order", (), body), Fingerprint.REQUEST)
        assert compared is not None
        expected.append([(1, "main", "/order", compared.hex(), 7 * 86_400_000, None)])
    assert rows == expected


REFUSED: Mapping[str, dict[str, Any]] = {
    "no signature": {"drop": "Tocsin-Signature"},
    "wrong signature": {"change": {"Tocsin-Signature": f"t=1,k=lab,v1={'0' * 64}"}},
    "not ASCII": {"change": {"Tocsin-Signature": "é"}},
    "no order": {"body": b"{}"},
    "null": {"body": b'{"order_id":null}'},
    "a float": {"body": b'{"order_id":1.5}'},
    "a list": {"body": b"[]"},
    "twice": {"body": b'{"order_id":"a","order_id":"b"}'},
    "empty": {"body": b'{"order_id":""}'},
    "long": {"body": b'{"order_id":"%s"}' % (b"x" * 256)},
    "not UTF-8": {"body": b"\xff"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_both_refuse_in_the_same_words(guarded: OrderDesk, in_python: OrderDesk, case: str) -> None:
    wrong = REFUSED[case]
    problems = []
    for desk in (guarded, in_python):
        body = wrong.get("body") or desk.order("sku")[0]
        headers = JSON | desk.sign(body, "some-key", SECRET) | wrong.get("change", {})
        headers.pop(wrong.get("drop", ""), None)
        answer = desk.send(body, headers)
        fields = {name.lower(): value for name, value in answer.headers.items()}
        said = {name: fields.get(name) for name in ("content-type", "cache-control", "www-authenticate", "retry-after")}
        problems.append((answer.status, problem(answer.body), said))
    assert problems[0] == problems[1]


def problem(body: bytes) -> list[tuple[str, object]]:
    """A problem document less its title: Python takes that from its own phrases, in which RFC 9110's came with 3.13."""
    document = json.loads(body)
    assert document.pop("title")
    return list(document.items())


@pytest.mark.usefixtures("guarded")
def test_both_make_the_same_tables(cluster: Cluster) -> None:
    """But for that of messages in order, which the guard in Rust does not know, and needs not."""
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE by_python")
        with psycopg.connect(cluster.url.replace("/postgres?", "/by_python?"), autocommit=True) as by_python:
            by_python.execute(schema_sql().encode())
            assert tables(by_python) == tables(connection)
        connection.execute("DROP DATABASE by_python")


def tables(connection: psycopg.Connection[Any]) -> list[Any]:
    columns = """
        SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
        WHERE table_name LIKE 'tocsin%' AND table_name <> 'tocsin_sequences' ORDER BY 1, 2
    """
    indexes = """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE tablename LIKE 'tocsin%' AND tablename <> 'tocsin_sequences' ORDER BY 1
    """
    return [connection.execute(columns.encode()).fetchall(), connection.execute(indexes.encode()).fetchall()]


# Crashes


ROUNDS = int(os.environ.get("TOCSIN_CRASH_ROUNDS", "12"))
SEED = int(os.environ.get("TOCSIN_CRASH_SEED", "20261122"))


@dataclass(slots=True)
class Crashing:
    """The service as the crashes see it: killed and started again, on one database.

    Args:
        running: it.
        item: what is ordered.
    """

    running: Running
    item: str = field(default="", init=False)

    def begin(self) -> "Crashing":
        """On what the last crash has left."""
        self.running.restart()
        self.item = self.item or OrderDesk(self.running, sign_tocsin_v1).new_item(1_000_000)
        return self

    def order(self, order_id: str) -> Reply:
        """Send a signed order."""
        desk = OrderDesk(self.running, sign_tocsin_v1)
        answer = desk.send(*desk.order(self.item, order_id))
        return Reply(answer.status, tuple(sorted(answer.headers.items())), answer.body)

    def kill(self) -> None:
        """Kill -9."""
        self.running.kill()


def test_killed_under_load_it_loses_nothing_repeats_nothing_and_nothing_is_stuck() -> None:
    """Every order that anybody tried is applied once, all of its answers are the same bytes, and the stock agrees."""
    with started(NAME) as running:
        crashing, desk = Crashing(running), OrderDesk(running, sign_tocsin_v1)
        applied = "SELECT order_id FROM orders"
        result = crash(crashing.begin, lambda: [name for (name,) in execute(desk, applied)], rounds=ROUNDS, seed=SEED)
        assert result.wrong == []
        assert sorted(name for (name,) in execute(desk, applied)) == sorted(result.orders)
        assert desk.query("SELECT 1000000 - stock FROM items WHERE id = ?", crashing.item) == len(result.orders)
        assert desk.query("SELECT COUNT(*) FROM tocsin_claims WHERE status IS NULL") == 0
        # Otherwise no crash hit a request, and nothing has been shown.
        assert result.unanswered > 0
