"""The guard behind real servers, with one process and with several."""

import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from tests.guard.server import SCHEME, SECRET, Reply, Server, environment, gunicorn
from tests.guard.test_flask_concurrency import together
from tests.guard.test_gunicorn import orders_in
from tocsin.signing import Message, sign

PATHS = ("/order", "/order/on-a-thread", "/order/plain", "/order/starlette")
APP = "orders_fastapi:app"
ServerOptions = Callable[[int], list[str]]


def uvicorn(fd: int) -> list[str]:
    return ["uvicorn", f"--fd={fd}", "--log-level=warning"]


def hypercorn(fd: int) -> list[str]:
    return ["hypercorn", f"--bind=fd://{fd}", "--log-level=warning"]


def serving(server: ServerOptions, workers: int, database: Path, app: str = APP) -> Server:
    """The service, on a socket that listens before it does: no request is refused while it starts."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    module, *options = server(listener.fileno())
    command = [sys.executable, "-m", module, app, *options, f"--workers={workers}"]
    return Server(command, environment(database), ready=workers, listener=listener)


def send(server: Server, path: str, order_id: str) -> Reply:
    body = b'{"order_id":"%s"}' % order_id.encode()
    signed = sign(Message("POST", path, (), body), SCHEME, SECRET, now=0)
    return server.send(body, {"Content-Type": "application/json", **dict(signed)}, path=path)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("server", [uvicorn, hypercorn], ids=lambda server: server.__name__)
def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(
    tmp_path: Path, server: ServerOptions, workers: int
) -> None:
    """On every adapter for ASGI, under a middleware that makes a stream of every answer."""
    database = tmp_path / "orders.db"
    with serving(server, workers, database) as running:
        for path in PATHS:
            replies = together(64, lambda path=path: send(running, path, path))  # type: ignore[misc]
            again = send(running, path, path)
            assert {reply.stored() for reply in [*replies, again]} == {again.stored()}
            assert again.status == 201
            assert sum(("idempotent-replayed", "true") in reply.headers for reply in [*replies, again]) == 64
    assert orders_in(database) == list(PATHS)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("server", [uvicorn, hypercorn], ids=lambda server: server.__name__)
@pytest.mark.parametrize("app", ["orders_litestar:app", "orders_quart:app"])
def test_64_identical_requests_at_once_to_litestar_and_to_quart(
    tmp_path: Path, app: str, server: ServerOptions, workers: int
) -> None:
    """In both kinds of handlers."""
    database = tmp_path / "orders.db"
    with serving(server, workers, database, app) as running:
        for path in ("/order", "/order/on-a-thread"):
            replies = together(64, lambda path=path: send(running, path, path))  # type: ignore[misc]
            again = send(running, path, path)
            assert {reply.stored() for reply in [*replies, again]} == {again.stored()}
            assert again.status == 201
            assert sum(("idempotent-replayed", "true") in reply.headers for reply in [*replies, again]) == 64
    assert orders_in(database) == ["/order", "/order/on-a-thread"]


def test_two_processes_answer_different_requests_at_once_without_a_fault(tmp_path: Path) -> None:
    """ "database is locked" is nobody's answer."""
    database = tmp_path / "orders.db"
    numbers = count()
    with serving(uvicorn, 2, database) as running:
        for path in PATHS:
            replies = together(64, lambda path=path: send(running, path, f"order-{next(numbers)}"))  # type: ignore[misc]
            assert [reply.status for reply in replies] == [201] * 64
    assert len(set(orders_in(database))) == len(orders_in(database)) == len(PATHS) * 64


@pytest.mark.parametrize("workers", [1, 2])
def test_64_identical_requests_at_once_to_an_application_on_plain_wsgi(tmp_path: Path, workers: int) -> None:
    """It makes its answer in pieces, on threads of gunicorn."""
    database = tmp_path / "orders.db"
    command = gunicorn(workers=workers, threads=32, app="orders_wsgi:app")
    with Server(command, environment(database), ready=workers) as running:
        replies = together(64, lambda: running.order("17"))
        again = running.order("17")
        assert "Traceback" not in "".join(running.log)
    assert {reply.stored() for reply in [*replies, again]} == {again.stored()}
    assert again.status == 201
    assert sum(("Idempotent-Replayed", "true") in reply.headers for reply in [*replies, again]) == 64
    assert orders_in(database) == ["17"]


def test_a_chunked_body_reaches_an_application_on_plain_wsgi_whole_or_is_413(tmp_path: Path) -> None:
    """gunicorn says that wsgi.input has an end. Bytes that follow the request are left for the next one."""
    database = tmp_path / "orders.db"
    body = b'{"order_id":"in parts"}'
    signed = dict(sign(Message("POST", "/order", (), body), SCHEME, SECRET, now=0))
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.items()).encode()
    start = b"POST /order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with Server(gunicorn(app="orders_wsgi:app"), environment(database)) as running:
        with connected(running) as client:
            client.sendall(start + head + b"\r\n" + chunks)
            assert b" 201 " in client.recv(1000).partition(b"\r\n")[0]
        with connected(running) as client:
            client.sendall(start + b"\r\n")
            with suppress(ConnectionError):
                client.sendall(b"".join([*[b"10000\r\n" + b"x" * 0x10000 + b"\r\n"] * 17, b"0\r\n\r\n"]))
            assert b" 413 " in client.recv(1000).partition(b"\r\n")[0]
    assert orders_in(database) == ["in parts"]


@pytest.mark.parametrize("server", [uvicorn, hypercorn], ids=lambda server: server.__name__)
def test_bodies_that_come_slowly_not_at_all_or_without_end(tmp_path: Path, server: ServerOptions) -> None:
    """Byte for byte: verified as one. Cut off: nothing happens. Chunked and over the cap: 413, by the bytes counted."""
    database = tmp_path / "orders.db"
    body = b'{"order_id":"slow"}'
    fields = sign(Message("POST", "/order", (), body), SCHEME, SECRET, now=0)
    signed = b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in fields)
    head = b"POST /order HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + signed
    with serving(server, 1, database) as running:
        with connected(running) as client:
            client.sendall(head + b"Content-Length: 19\r\n\r\n" + body[:5])
        with connected(running) as client:
            client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for byte in body:
                client.sendall(b"1\r\n%c\r\n" % byte)
            client.sendall(b"0\r\n\r\n")
            assert b" 201 " in client.recv(1000).partition(b"\r\n")[0]
        with connected(running) as client:
            client.sendall(b"POST /order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with suppress(ConnectionError):
                client.sendall(b"".join([*[b"10000\r\n" + b"x" * 0x10000 + b"\r\n"] * 17, b"0\r\n\r\n"]))
            assert b" 413 " in client.recv(1000).partition(b"\r\n")[0]
        assert "Traceback" not in "".join(running.log)
    assert orders_in(database) == ["slow"]


def connected(server: Server) -> "closing[socket.socket]":
    return closing(socket.create_connection(("127.0.0.1", server.port), timeout=30))
