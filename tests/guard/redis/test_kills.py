"""Processes that are killed at some step, and leases that end while others still run: how often an effect is there."""

import multiprocessing
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.guard.redis.server import RedisServer
from tocsin.guard import StoreError
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.redis import RedisStore
from tocsin.guard.testing import ANSWER, claim

NAMES = [f"order-{number}" for number in range(12)]
PROCESSES = 4
ROUNDS = 6
NEVER = -1


def apply(store: RedisStore, name: str, effects: Path, die_at: int) -> Any:
    """As a handler does it, and killed before its effect or after it."""
    try:
        taken = store.take(claim(name), 0)
        if not isinstance(taken, Granted):
            return taken
        if die_at == 0:
            os._exit(9)
        with effects.open("a") as file:
            file.write(f"{name}\n")
        if die_at == 1:
            os._exit(9)
        taken.settle(ANSWER)
    except StoreError:
        return None
    return taken


def work(url: str, effects: Path, seed: int, *, may_run_again: bool) -> None:
    steps, store = random.Random(seed), RedisStore(url, may_run_again=may_run_again)
    for name in steps.sample(NAMES, len(NAMES)):
        apply(store, name, effects, steps.randrange(5))
    os._exit(0)


@pytest.mark.parametrize("may_run_again", [True, False], ids=["at least once", "at most once"])
def test_every_message_takes_effect_as_often_as_was_said(
    server: RedisServer, tmp_path: Path, *, may_run_again: bool
) -> None:
    """And what is answered is the same for everybody, or that it is not known."""
    effects = tmp_path / "effects"
    effects.touch()
    for start in range(ROUNDS):
        running = [
            multiprocessing.get_context("fork").Process(
                target=work,
                args=(server.url, effects, start * PROCESSES + number),
                kwargs={"may_run_again": may_run_again},
            )
            for number in range(PROCESSES)
        ]
        for process in running:
            process.start()
        while any(process.is_alive() for process in running):
            # Under those that still run, too.
            server.end_leases()
        for process in running:
            process.join()
    server.end_leases()
    store = RedisStore(server.url, may_run_again=may_run_again)
    told: dict[str, Any] = {}
    for name in NAMES:
        while not isinstance(told.get(name), Record):
            told[name] = apply(store, name, effects, NEVER)
    store.close()
    counted = Counter(effects.read_text().split())
    if may_run_again:
        assert min(counted[name] for name in NAMES) >= 1
        assert {record.status for record in told.values()} == {ANSWER.status}
    else:
        assert max(counted[name] for name in NAMES) <= 1
        assert {record.status for record in told.values()} <= {ANSWER.status, None}
        assert all(counted[name] == 1 for name, record in told.items() if record.status is not None)
