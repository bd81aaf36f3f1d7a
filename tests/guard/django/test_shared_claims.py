"""A Flask, a Django and a FastAPI service on one PostgreSQL: one replay protection."""

import socket
import sys
from contextlib import ExitStack
from itertools import cycle, islice

import pytest

from tests.guard.django.databases import Project
from tests.guard.django.test_servers import SERVICES, gunicorn, send, where
from tests.guard.postgres.cluster import Database
from tests.guard.server import Reply, Server
from tests.guard.test_flask_concurrency import together

MESSAGES = 8


@pytest.fixture
def vendor() -> str:
    return "postgresql"


def serving(app: str, site: Project, database: Database) -> Server:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    fd = listener.fileno()
    environment = {
        "ORDERS_DB": where(site),
        "ORDERS_DSN": database.conninfo(),
        "ORDERS_SECRET": "a secret of the tests, 32 octets",
    }
    module = app.partition(":")[0]
    command = gunicorn(fd, 1)
    if module == "orders_fastapi_postgres":
        command = ["uvicorn", app, f"--app-dir={SERVICES}", f"--fd={fd}", "--log-level=warning"]
    line = [sys.executable, "-m", *[app if part == "orders_django:wsgi" else part for part in command]]
    return Server(line, environment, listener=listener)


def stored(reply: Reply) -> object:
    """What a duplicate has to get again, whichever framework spells the names of fields."""
    status, headers, body = reply.stored()
    # Django says more of its own on every answer: what middlewares add comes after the guard.
    own = {"x-content-type-options", "referrer-policy", "cross-origin-opener-policy", "vary"}
    return status, sorted((name.lower(), value) for name, value in headers if name.lower() not in own), body


def test_every_message_that_all_three_get_takes_effect_once_and_is_answered_the_same(
    site: Project, database: Database
) -> None:
    """At once, and again later; the tables were made by Django's migration."""
    apps = ("orders_flask:app", "orders_django:wsgi", "orders_fastapi_postgres:app")
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(app, site, database)) for app in apps]
        names = [f"order-{number}" for number in range(MESSAGES)]
        for name in names:
            in_turn = iter(islice(cycle(servers), 12))
            replies = together(12, lambda name=name, turn=in_turn: send(next(turn), "/order", name))  # type: ignore[misc]
            again = [send(server, "/order", name) for server in servers]
            assert {str(stored(reply)) for reply in [*replies, *again]} == {str(stored(again[0]))}
            assert again[0].status == 201
    assert sorted(site.orders) == names
    assert site.claims == MESSAGES
