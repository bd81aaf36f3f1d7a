"""Order in several processes of one service, and when one of them is killed."""

import http.client
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import sample
from typing import Any

import pytest

from tests.guard.server import SCHEME, SECRET, Reply, Server, environment, gunicorn
from tests.guard.test_flask_concurrency import together
from tocsin.signing import Message, sign

STATES = "states:app"


def send(server: Server, version: int, **more: Any) -> Reply:
    body = json.dumps({"order_id": f"v{version}", "version": version} | more).encode()
    return server.send(body, dict(sign(Message("POST", "/order", (), body), SCHEME, SECRET, now=0)))


def states(database: Path) -> list[int]:
    """What was applied, in the order in which it was committed."""
    with closing(sqlite3.connect(database)) as db:
        return [version for (version,) in db.execute("SELECT version FROM states ORDER BY rowid")]


def test_in_two_processes_each_applied_message_is_newer_than_the_one_before_and_the_last_is_the_newest(
    tmp_path: Path,
) -> None:
    database = tmp_path / "states.db"
    versions = iter(sample(range(48), 48))
    with Server(gunicorn(workers=2, threads=16, app=STATES), environment(database), ready=2) as server:
        replies = together(48, lambda: send(server, next(versions)))
        late = send(server, 47, order_id="another message")
    assert {reply.status for reply in replies} == {200}
    applied = states(database)
    assert applied == sorted(set(applied))
    assert applied[-1] == 47
    assert sum("worker" in json.loads(reply.body) for reply in replies) == len(applied)
    assert json.loads(late.body)["status"] == "superseded"


def test_a_newer_message_that_killed_its_process_left_no_number_behind(tmp_path: Path) -> None:
    database, killed = tmp_path / "states.db", str(tmp_path / "killed")
    with Server(gunicorn(workers=2, threads=2, app=STATES), environment(database), ready=2) as server:
        with pytest.raises((OSError, http.client.HTTPException)):
            send(server, 2, kills=killed)
        assert "worker" in json.loads(send(server, 1).body)
        assert "worker" in json.loads(send(server, 2, kills=killed).body)
    assert states(database) == [1, 2]
