"""The guard behind Robyn's own server, which is Actix: what in-process tests of the adapter cannot show."""

import socket
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from robyn import Response, StreamingResponse

from lab._postgres import free_port
from tests.guard.adapters.test_servers import connected, send
from tests.guard.server import SCHEME, SECRET, Server, environment
from tests.guard.test_flask_concurrency import together
from tests.guard.test_gunicorn import orders_in
from tocsin.guard import GuardError
from tocsin.guard._answer import Answer
from tocsin.guard.adapters.robyn import _answer
from tocsin.signing import Message, sign

PATHS = ("/order", "/order/on-the-loop")


async def pieces() -> AsyncGenerator[bytes, None]:
    yield b"piece"


def with_cookie() -> Response:
    response = Response(200, {}, b"")
    response.set_cookie("a", "1")
    return response


def with_file() -> Response:
    response = Response(200, {}, b"")
    response.file_path = __file__
    return response


@pytest.mark.parametrize(
    ("returned", "answer"),
    [
        ({"a": 1}, Answer(200, (("Content-Type", "application/json"),), b'{"a":1}')),
        ([1], Answer(200, (("Content-Type", "application/json"),), b"[1]")),
        ("\xe9", Answer(200, (("Content-Type", "text/plain"),), b"\xc3\xa9")),
        (b"\xff", Answer(200, (("Content-Type", "application/octet-stream"),), b"\xff")),
        (({"a": 1}, {"X-A": "1"}, 202), Answer(202, (("X-A", "1"),), b'{"a":1}')),
        (Response(204, {}, b""), Answer(204, (), b"")),
    ],
    ids=["dict", "list", "str", "bytes", "tuple", "Response"],
)
def test_what_a_handler_may_return(returned: object, answer: Answer) -> None:
    assert _answer(returned, 100) == answer


@pytest.mark.parametrize(
    "returned",
    [None, 7, (b"", {}, "200"), (7, {}, 200), StreamingResponse(pieces()), with_cookie(), with_file()],
    ids=["None", "int", "no status", "no body", "asynchronous stream", "cookie", "file"],
)
def test_what_no_duplicate_could_be_given_again_is_refused(returned: object) -> None:
    with pytest.raises(GuardError, match="wanted"):
        _answer(returned, 100)


@contextmanager
def serving(database: Path, processes: int = 1) -> Iterator[Server]:
    """The service; it says that it is ready a moment before it listens."""
    command = [sys.executable, "orders_robyn.py", f"--processes={processes}", "--workers=2", "--disable-openapi"]
    with Server(command, environment(database, ROBYN_PORT=str(free_port())), ready=processes) as running:
        while True:
            with suppress(ConnectionError), closing(socket.create_connection(("127.0.0.1", running.port), timeout=30)):
                break
        yield running


@pytest.mark.parametrize("processes", [1, 2])
def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(tmp_path: Path, processes: int) -> None:
    database = tmp_path / "orders.db"
    with serving(database, processes) as running:
        for path in PATHS:
            replies = together(64, lambda path=path: send(running, path, path))  # type: ignore[misc]
            again = send(running, path, path)
            assert {(reply.status, reply.body) for reply in [*replies, again]} == {(201, again.body)}
            assert sum(("idempotent-replayed", "true") in reply.headers for reply in [*replies, again]) == 64
            assert {dict(reply.headers)["content-type"] for reply in replies} == {"application/json"}
    assert orders_in(database) == list(PATHS)


def test_two_processes_answer_different_requests_at_once_without_a_fault(tmp_path: Path) -> None:
    database = tmp_path / "orders.db"
    numbers = count()
    with serving(database, 2) as running:
        for path in PATHS:
            replies = together(32, lambda path=path: send(running, path, f"order-{next(numbers)}"))  # type: ignore[misc]
            assert [reply.status for reply in replies] == [201] * 32
    assert len(set(orders_in(database))) == len(orders_in(database)) == 2 * 32


def test_what_strangers_send_is_401_and_a_body_in_parts_is_verified_as_one(tmp_path: Path) -> None:
    """Octets outside of ASCII in the signature and outside of UTF-8 in the body; one that is too long; chunks."""
    database = tmp_path / "orders.db"
    body = b'{"order_id":"in parts"}'
    fields = sign(Message("POST", "/order", (), body), SCHEME, SECRET, now=0)
    signed = b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in fields)
    start = b"POST /order HTTP/1.1\r\nHost: x\r\n"
    with serving(database) as running:
        for field in (b"", b"X-Signature: \xe9\r\n", b"X-Signature: " + b"0" * 64 + b"\r\n", b"X-Signature:\r\n"):
            with connected(running) as client:
                client.sendall(start + field + b"Content-Length: 2\r\n\r\n\xff{")
                assert b" 401 " in client.recv(1000).partition(b"\r\n")[0]
        with connected(running) as client:
            client.sendall(start + b"Content-Length: 1048577\r\n\r\n" + bytes(1_048_577))
            assert b" 413 " in client.recv(1000).partition(b"\r\n")[0]
        with connected(running) as client:
            client.sendall(start + signed + b"Transfer-Encoding: chunked\r\n\r\n")
            for byte in body:
                client.sendall(b"1\r\n%c\r\n" % byte)
            client.sendall(b"0\r\n\r\n")
            assert b" 201 " in client.recv(1000).partition(b"\r\n")[0]
        assert "Traceback" not in "".join(running.log)
    assert orders_in(database) == ["in parts"]
