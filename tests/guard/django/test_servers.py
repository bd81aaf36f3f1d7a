"""Django with its own store behind real servers, with one process and with several."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.guard.crash import crash
from tests.guard.django.databases import Project
from tests.guard.server import MALFORMED, SCHEME, SECRET, Reply, Server
from tests.guard.server import gunicorn as served
from tests.guard.test_flask_concurrency import together
from tocsin.signing import Message, sign

SERVICES = Path(__file__).with_name("services")
ROUNDS = int(os.environ.get("TOCSIN_CRASH_ROUNDS", "15")) // 7
SEED = int(os.environ.get("TOCSIN_CRASH_SEED", "20261121"))
PATHS = ("/order", "/order/async", "/order/rest")
Command = Callable[[int, int], list[str]]


def gunicorn(fd: int, workers: int) -> list[str]:
    threads = ["--worker-class=gthread", "--threads=32", "--no-control-socket", f"--chdir={SERVICES}"]
    return ["gunicorn", "orders_django:wsgi", f"--bind=fd://{fd}", f"--workers={workers}", *threads]


def uvicorn(fd: int, workers: int) -> list[str]:
    app = ["uvicorn", "orders_django:asgi", f"--app-dir={SERVICES}", "--lifespan=off"]
    return [*app, f"--fd={fd}", f"--workers={workers}", "--log-level=warning"]


def where(site: Project) -> str:
    given = site.settings
    is_file = given["ENGINE"].endswith("sqlite3")
    return str(given["NAME"]) if is_file else f"{given['HOST']}:{given['PORT']}/{given['NAME']}"


def serving(command: Command, workers: int, site: Project) -> Server:
    """The service, on a socket that listens before it does."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    environment = {"ORDERS_DB": where(site), "ORDERS_SECRET": "a secret of the tests, 32 octets"}
    line = [sys.executable, "-m", *command(listener.fileno(), workers)]
    return Server(line, environment, ready=workers, listener=listener)


def send(server: Server, path: str, order_id: str) -> Reply:
    body = b'{"order_id":"%s"}' % order_id.encode()
    signed = sign(Message("POST", path, (), body), SCHEME, SECRET, now=0)
    return server.send(body, {"Content-Type": "application/json", **dict(signed)}, path=path)


def replays(replies: list[Any]) -> int:
    return sum(("idempotent-replayed", "true") in [(n.lower(), v) for n, v in reply.headers] for reply in replies)


@pytest.mark.parametrize(("vendor", "workers"), [("sqlite", 1), ("sqlite", 2), ("postgresql", 2)])
@pytest.mark.parametrize("command", [gunicorn, uvicorn], ids=lambda command: command.__name__)
def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(
    command: Command, vendor: str, workers: int, site: Project
) -> None:
    """Over WSGI and over ASGI: a plain view, a coroutine and a view of REST framework."""
    del vendor
    with serving(command, workers, site) as running:
        for path in PATHS:
            replies = together(64, lambda path=path: send(running, path, path))  # type: ignore[misc]
            again = send(running, path, path)
            assert {reply.stored() for reply in [*replies, again]} == {again.stored()}
            assert again.status == 201
            assert replays([*replies, again]) == 64
        names = iter(range(64))
        others = together(64, lambda: send(running, "/order", f"order-{next(names)}"))
        assert [reply.status for reply in others] == [201] * 64
    assert sorted(site.orders) == sorted([*PATHS, *[f"order-{number}" for number in range(64)]])


def test_a_malformed_chunked_body_is_400_and_no_fault_of_the_service(site: Project) -> None:
    """Nobody has to sign it: a stranger could fill the log with tracebacks."""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(gunicorn, 1, site) as running:
        answers = [running.begin(head % path.encode() + chunks) for path in PATHS for chunks in MALFORMED]
    assert [answer.split()[1] for answer in answers] == [b"400"] * len(PATHS) * len(MALFORMED)
    assert "Traceback" not in "".join(running.log)


def test_a_service_that_is_killed_under_load_loses_nothing_and_repeats_nothing(site: Project) -> None:
    """Every order that anybody tried is applied exactly once, and all of its answers are the same bytes."""
    port = 0
    environment = {"ORDERS_DB": where(site), "ORDERS_SECRET": "a secret of the tests, 32 octets"}

    def start() -> Server:
        nonlocal port
        command = served(port, workers=2, threads=8, more=(f"--chdir={SERVICES}",), app="orders_django:wsgi")
        server = Server(command, environment, ready=2).__enter__()
        port = server.port
        return server

    result = crash(start, lambda: site.orders, rounds=ROUNDS, seed=SEED)
    assert result.wrong == []
    assert sorted(site.orders) == sorted(result.orders)
    # Otherwise no crash hit a request, and nothing has been shown.
    assert result.unanswered > 0
