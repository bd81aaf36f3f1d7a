"""The guarded service dies at any moment; what was answered stays, and what was not is applied once when sent again."""

import os
from pathlib import Path

from tests.guard.crash import crash
from tests.guard.server import Server, environment, gunicorn
from tests.guard.test_gunicorn import orders_in

ROUNDS = int(os.environ.get("TOCSIN_CRASH_ROUNDS", "15"))
SEED = int(os.environ.get("TOCSIN_CRASH_SEED", "20261121"))


def test_a_service_that_is_killed_under_load_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Every order that anybody tried is applied exactly once, and all of its answers are the same bytes."""
    database = tmp_path / "orders.db"
    port = 0

    def start() -> Server:
        nonlocal port
        server = Server(gunicorn(port, workers=2, threads=8), environment(database), ready=2).__enter__()
        port = server.port
        return server

    result = crash(start, lambda: orders_in(database), rounds=ROUNDS, seed=SEED)
    assert result.wrong == []
    assert sorted(orders_in(database)) == sorted(result.orders)
    # Otherwise no crash hit a request, and nothing has been shown.
    assert result.unanswered > 0
