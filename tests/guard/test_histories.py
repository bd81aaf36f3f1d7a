"""Histories of guarded services, recorded under load with duplicates, failing handlers, kills and lost connections.

They are linearizable: every order is applied once, with one answer, before anybody has that answer; and what a reader
has seen stays.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest

from bench.crash_matrix import ADAPTERS
from bench.crashing.relay import Cut, Relay
from bench.crashing.running import APPLIED, Attempt, Database, PostgresDatabase, Service, SQLiteDatabase, load
from bench.crashing.steps import Step
from lab._postgres import Cluster
from tests.guard.crash_history import Reading, misfits
from tests.guard.test_crash_matrix import server

__all__ = ["server"]
SEED = 20261122
FAILS = 0.1
PAIRS = 6
# A reader that never pauses would take the processor away from the clients.
BETWEEN_READS_S = 0.002
LATEST = 40
MOST_TRIES = 200
KILLS = (Step.MOMENT, Step.COMMIT, Step.AFTER_COMMIT, Step.MOMENT)
CUTS = (Cut.COMMIT_DONE, Cut.COMMIT_LATE, Cut.WRITE_DONE)


@contextmanager
def reading(database: Database, into: list[Reading]) -> Iterator[None]:
    """Read what is committed, again and again, and once more at the end."""
    over = Event()

    def read() -> None:
        called_at = monotonic()
        applied = database.applied("")
        into.append(Reading(called_at, monotonic(), applied))

    def read_on() -> None:
        while not over.wait(BETWEEN_READS_S):
            read()

    reader = Thread(target=read_on)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()
        read()


def recorded(
    service: Service, database: Database, faults: Sequence[Step | Cut], relay: Relay | None = None
) -> tuple[list[Attempt], list[Reading]]:
    """What clients and a reader see while the service meets one fault after the other."""
    rng = random.Random(SEED)
    attempts: list[Attempt] = []
    readings: list[Reading] = []
    service.start()
    with reading(database, readings):
        for number, fault in enumerate(faults):
            attempts += _met(service, fault, f"{number}-", rng.randint(2, LATEST), relay)
        attempts += [
            each for order_id in {a.order_id for a in attempts} for each in _wanted(service, order_id, Event())
        ]
    return attempts, readings


def _met(service: Service, fault: Step | Cut, like: str, count: int, relay: Relay | None) -> list[Attempt]:
    if isinstance(fault, Cut):
        assert relay is not None
        relay.arm(fault, min(count, 3))
        return load(lambda order_id: _wanted(service, order_id, Event()), like, relay.done, pairs=PAIRS)
    over = Event()
    service.arm(fault, count)
    attempts = load(lambda order_id: _wanted(service, order_id, over), like, over, pairs=PAIRS)
    service.end()
    service.start()
    return attempts


def _wanted(service: Service, order_id: str, lost: Event) -> list[Attempt]:
    """Send an order until it is answered 201, or the service is gone, or it is no use."""
    attempts: list[Attempt] = []
    for _ in range(MOST_TRIES):
        attempts.append(service.send(order_id))
        if attempts[-1].status is None:
            lost.set()
        if attempts[-1].status in {None, APPLIED}:
            break
    return attempts


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_history_on_sqlite_is_linearizable(tmp_path: Path, adapter: str) -> None:
    database = SQLiteDatabase(tmp_path)
    with Service(database.plan(adapter, fails=FAILS), tmp_path / "log") as service:
        attempts, readings = recorded(service, database, KILLS)
    assert misfits(attempts, readings) == []
    assert_telling(attempts)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_history_on_postgres_is_linearizable(tmp_path: Path, adapter: str, server: Cluster) -> None:
    """Where connections to it are lost as well, COMMIT or not."""
    with ExitStack() as stack:
        database = stack.enter_context(closing(PostgresDatabase(server, f"history_{adapter}")))
        relay = stack.enter_context(Relay(server.port))
        plan = database.plan(adapter, fails=FAILS, port=relay.port)
        service = stack.enter_context(Service(plan, tmp_path / "log"))
        attempts, readings = recorded(service, database, (*CUTS, *KILLS), relay)
    assert misfits(attempts, readings) == []
    assert_telling(attempts)


def assert_telling(attempts: Sequence[Attempt]) -> None:
    """Otherwise nothing has been shown: some were lost, some failed, and some met a duplicate."""
    statuses = Counter(attempt.status for attempt in attempts)
    assert statuses[None] > 0
    assert statuses[500] > 0
    assert statuses[APPLIED] > len({attempt.order_id for attempt in attempts})


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("twin", ["no_claim", "answer_before_commit"])
def test_the_history_of_a_service_without_a_defence_is_not(tmp_path: Path, adapter: str, twin: str) -> None:
    database = SQLiteDatabase(tmp_path)
    with Service(database.plan(adapter, twin=twin), tmp_path / "log") as service:
        attempts, readings = recorded(service, database, KILLS[:1])
    assert misfits(attempts, readings) != []


def test_the_history_of_a_handler_that_writes_past_its_transaction_is_not(tmp_path: Path, server: Cluster) -> None:
    """What it wrote before it failed stays."""
    with closing(PostgresDatabase(server, "past")) as database:
        with Service(database.plan("flask", fails=0.5, twin="elsewhere"), tmp_path / "log") as service:
            attempts, readings = recorded(service, database, KILLS[:1])
        assert misfits(attempts, readings) != []


def sent(called: float, returned: float | None, status: int | None = None, answer: str = "") -> Attempt:
    return Attempt("17", called, returned, status, answer)


def read(called: float, returned: float, count: int) -> Reading:
    return Reading(called, returned, Counter({"17": count}))


@pytest.mark.parametrize(
    ("attempts", "readings", "fits"),
    [
        # One execution, and its duplicates.
        ([sent(0, 5, 201, "a"), sent(1, 4, 201, "a"), sent(6, 7, 201, "a")], [], True),
        ([sent(0, 5, 201, "a"), sent(6, 7, 201, "b")], [], False),
        ([sent(0, 5, 201, "a"), sent(1, 4, 201, "b")], [], False),
        # A reader sees it from the answer on at the latest, and for ever.
        ([sent(0, 5, 201, "a")], [read(1, 2, 0), read(3, 4, 1), read(6, 7, 1)], True),
        ([sent(0, 5, 201, "a")], [read(6, 7, 0)], False),
        ([sent(0, 5, 201, "a")], [read(1, 2, 1), read(3, 4, 0)], False),
        ([sent(0, 5, 201, "a")], [read(1, 2, 1), read(3, 4, 1), read(5, 6, 0), read(7, 8, 1)], False),
        ([sent(0, 5, 201, "a")], [read(6, 7, 2)], False),
        ([sent(3, 5, 201, "a")], [read(1, 2, 1)], False),
        # What was not answered may have been applied or not, at any later time, and its answer is the only one.
        ([sent(0, None)], [read(1, 2, 0)], True),
        ([sent(0, None)], [read(1, 2, 0), read(8, 9, 1)], True),
        ([sent(0, None), sent(3, 5, 201, "a")], [read(1, 2, 1)], True),
        ([sent(0, None), sent(3, 5, 201, "a"), sent(6, 7, 201, "b")], [], False),
        ([sent(0, 1, 503)], [read(2, 3, 0), read(8, 9, 1)], True),
        # A handler that failed has left nothing, and does not run where something is applied.
        ([sent(0, 1, 500)], [read(2, 3, 0)], True),
        ([sent(0, 1, 500)], [read(2, 3, 1)], False),
        ([sent(0, 1, 201, "a"), sent(2, 3, 500)], [], False),
        ([sent(0, 5, 201, "a"), sent(1, 2, 409)], [], True),
    ],
)
def test_the_model_of_one_key(attempts: list[Attempt], readings: list[Reading], *, fits: bool) -> None:
    assert (misfits(attempts, readings) == []) is fits


def test_another_status_is_no_part_of_the_model() -> None:
    with pytest.raises(AssertionError, match="418"):
        misfits([sent(0, 1, 418)], [])
