"""Kill -9 of a service and of its runner: a few rounds of what `python -m bench.outbox` does for minutes."""

import random
from pathlib import Path

import pytest

from bench.outboxing.places import place
from bench.outboxing.storm import storm
from tests.guard.postgres.cluster import Cluster


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_message_arrives_and_none_is_invented(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if kind == "sqlite":
        name = str(tmp_path / "orders.db")
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        name = cluster.create("storm").conninfo()
    one = place(name)
    one.migrate()
    stormed = storm(one, tmp_path, rounds=6, seed=random.SystemRandom().randrange(2**32))
    one.store.close()
    assert stormed.wrong == []
    assert stormed.orders >= 6
