"""The guard on PostgreSQL behind a real server, which is also killed."""

import os
import secrets
from pathlib import Path

import pytest

from tests.guard.crash import crash
from tests.guard.postgres.cluster import Database
from tests.guard.server import Server, gunicorn
from tests.guard.test_flask_concurrency import together

SERVICES = Path(__file__).with_name("services")
ROUNDS = int(os.environ.get("TOCSIN_CRASH_ROUNDS", "15")) // 3
SEED = int(os.environ.get("TOCSIN_CRASH_SEED", "20261121"))


def command(port: int = 0, *, workers: int, threads: int, more: tuple[str, ...] = ()) -> list[str]:
    served = gunicorn(port, workers=workers, threads=threads, more=(f"--chdir={SERVICES}", *more))
    return ["orders_postgres:app" if part == "orders:app" else part for part in served]


def environment(database: Database) -> dict[str, str]:
    return {"ORDERS_DB": database.conninfo(), "ORDERS_SECRET": "a secret of the tests, 32 octets"}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("more", [(), ("--preload",)], ids=["", "preload"])
def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(
    workers: int, more: tuple[str, ...], database: Database
) -> None:
    ready = 1 if more else workers
    with Server(command(workers=workers, threads=32, more=more), environment(database), ready=ready) as server:
        replies = together(64, lambda: server.order("17"))
        again = server.order("17")
    assert {reply.stored() for reply in [*replies, again]} == {again.stored()}
    assert again.status == 201
    assert sum(("Idempotent-Replayed", "true") in reply.headers for reply in [*replies, again]) == 64
    assert database.orders == ["17"]


def test_two_processes_answer_different_requests_at_once_without_a_fault(database: Database) -> None:
    with Server(command(workers=2, threads=16), environment(database), ready=2) as server:
        names = iter([secrets.token_hex(8) for _ in range(64)])
        replies = together(64, lambda: server.order(next(names)))
    assert [reply.status for reply in replies] == [201] * 64
    assert len(set(database.orders)) == len(database.orders) == 64


def test_a_service_that_is_killed_under_load_loses_nothing_and_repeats_nothing(database: Database) -> None:
    """Every order that anybody tried is applied exactly once, and all of its answers are the same bytes."""
    port = 0

    def start() -> Server:
        nonlocal port
        server = Server(command(port, workers=2, threads=8), environment(database), ready=2).__enter__()
        port = server.port
        return server

    result = crash(start, lambda: database.orders, rounds=ROUNDS, seed=SEED)
    assert result.wrong == []
    assert sorted(database.orders) == sorted(result.orders)
    # Otherwise no crash hit a request, and nothing has been shown.
    assert result.unanswered > 0
