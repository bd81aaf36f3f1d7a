"""Claims in Redis behind a real server: one effect of many duplicates, and what a killed worker leaves."""

from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.guard.redis.server import RedisServer
from tests.guard.server import Server, environment, gunicorn
from tests.guard.test_flask_concurrency import together


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    return tmp_path / "effects"


@pytest.fixture
def service(server: RedisServer, effects: Path) -> Iterator[Server]:
    command = gunicorn(workers=2, threads=16, app="orders_redis:app")
    with Server(command, environment(effects, ORDERS_REDIS=server.url), ready=2) as running:
        yield running


def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(service: Server, effects: Path) -> None:
    replies = together(64, lambda: service.order("17"))
    assert {(reply.status, reply.body) for reply in replies} == {(201, replies[0].body)}
    assert sum(("Idempotent-Replayed", "true") in reply.headers for reply in replies) == 63
    assert len(effects.read_text().splitlines()) == 1


def test_a_worker_that_is_killed_after_its_effect_leaves_a_lease_and_then_a_second_effect(
    service: Server, effects: Path, server: RedisServer
) -> None:
    """No transaction undoes the first one: this is what Redis cannot cover."""
    for times in (1, 2):
        with pytest.raises((OSError, HTTPException)):
            service.order("fatal")
        assert len(effects.read_text().splitlines()) == times
        server.end_leases()
    first, second = [int(line.split()[1]) for line in effects.read_text().splitlines()]
    assert first < second
