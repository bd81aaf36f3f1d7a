"""The guard behind a real server: threads, several processes, preloaded applications."""

import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.guard.server import MALFORMED, Server, environment, gunicorn
from tests.guard.test_flask_concurrency import together


def orders_in(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as db:
        return [order_id for (order_id,) in db.execute("SELECT order_id FROM orders ORDER BY rowid")]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("more", [(), ("--preload",)], ids=["", "preload"])
def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(
    tmp_path: Path, workers: int, more: tuple[str, ...]
) -> None:
    database = tmp_path / "orders.db"
    command = gunicorn(workers=workers, threads=32, more=more)
    with Server(command, environment(database), ready=1 if more else workers) as server:
        replies = together(64, lambda: server.order("17"))
        again = server.order("17")
    assert {reply.stored() for reply in [*replies, again]} == {again.stored()}
    assert again.status == 201
    assert sum(("Idempotent-Replayed", "true") in reply.headers for reply in [*replies, again]) == 64
    assert orders_in(database) == ["17"]


def test_two_processes_answer_different_requests_at_once_without_a_fault(tmp_path: Path) -> None:
    """ "database is locked" is nobody's answer."""
    database = tmp_path / "orders.db"
    with Server(gunicorn(workers=2, threads=16), environment(database), ready=2) as server:
        names = iter([f"order-{number}" for number in range(64)])
        replies = together(64, lambda: server.order(next(names)))
    assert [reply.status for reply in replies] == [201] * 64
    assert len(set(orders_in(database))) == len(orders_in(database)) == 64


def test_a_malformed_chunked_body_is_400_and_no_fault_of_the_service(tmp_path: Path) -> None:
    """Nobody has to sign it: a stranger could fill the log with tracebacks."""
    head = b"POST /order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Server(gunicorn(), environment(tmp_path / "orders.db")) as server:
        answers = [server.begin(head + chunks) for chunks in MALFORMED]
    assert [answer.split()[1] for answer in answers] == [b"400"] * len(MALFORMED)
    assert "Traceback" not in "".join(server.log)


def test_a_chunked_body_over_the_cap_is_413(tmp_path: Path) -> None:
    """It has no Content-Length that would say so: the guard stops reading."""
    chunks = [b"10000\r\n" + b"x" * 0x10000 + b"\r\n"] * 17
    with (
        Server(gunicorn(), environment(tmp_path / "orders.db")) as server,
        closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as client,
    ):
        client.sendall(b"POST /order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            client.sendall(b"".join([*chunks, b"0\r\n\r\n"]))
        answer = client.recv(1000)
    assert b" 413 " in answer.partition(b"\r\n")[0]
