"""What PEP 3333 lets servers and applications do, and what the guard makes of it."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Any
from wsgiref.validate import validator

import pytest
from flask import Flask

from tests.guard.adapters.on_wsgi import OnWSGI, call, environ_of
from tests.guard.adapters.service import Reply
from tests.guard.shop import NOW, SECRET
from tocsin.guard import GuardError, json_pointer
from tocsin.guard.adapters.wsgi import SIGNED, TX
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import Message, preset, sign

BODY = b'{"order_id":"17"}'
INSERT = "INSERT INTO orders VALUES ('17')"
App = Callable[[Any, Any], Iterable[bytes]]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[OnWSGI]:
    made = OnWSGI(tmp_path / "orders.db")
    yield made
    made.close()


def guarded(service: OnWSGI, app: App, **options: Any) -> Any:
    """The application, guarded in place of the usual one."""
    service.app = service.guard.wsgi(name="/order", key=json_pointer("/order_id"), **options)(app)
    return service.app


def ordered(service: OnWSGI, app: App, **environ: object) -> Reply:
    """What the application answers to an order."""
    return call(guarded(service, app), environ_of("/order", service.signed(BODY), BODY, **environ))


@pytest.mark.parametrize("length", ["abc", "-1", "+17", "1e1", "\xb2", " 17"])
def test_a_length_that_is_none_is_400(service: OnWSGI, length: str) -> None:
    answer = call(service.app, environ_of("/order", service.signed(BODY), BODY, CONTENT_LENGTH=length))
    assert (answer.status, service.claims) == (400, 0)


@pytest.mark.parametrize("length", ["1048577", "9" * 5000])
def test_a_length_over_the_cap_is_413_and_nothing_is_read(service: OnWSGI, length: str) -> None:
    """More digits than int() reads are no fault of the service either."""
    environ = environ_of("/order", service.signed(BODY), BODY, CONTENT_LENGTH=length)
    assert call(service.app, environ).status == 413
    assert environ["wsgi.input"].read() == BODY


def test_a_body_that_ends_early_is_400(service: OnWSGI) -> None:
    answer = call(service.app, environ_of("/order", service.signed(BODY), BODY[:5], CONTENT_LENGTH="17"))
    assert (answer.status, service.claims) == (400, 0)


def test_a_body_whose_end_the_server_does_not_tell_is_refused_and_not_waited_for(service: OnWSGI) -> None:
    """Reading on would wait for a next request on the connection. Where there is no body at all, there is none."""
    chunked = environ_of("/order", service.signed(BODY), [BODY])
    del chunked["wsgi.input_terminated"]
    bare = environ_of("/order", service.signed(BODY), BODY)
    del bare["CONTENT_LENGTH"]
    assert [call(service.app, environ).status for environ in (chunked, bare)] == [400, 401]
    assert [environ["wsgi.input"].read() for environ in (chunked, bare)] == [BODY, BODY]


def test_the_application_reads_the_bytes_that_were_verified_and_its_environ_is_its_own(service: OnWSGI) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        environ["HTTP_X_SIGNATURE"] = "spoiled"
        start_response("200 OK", [])
        return [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])), environ["wsgi.input"].read(1)]

    parts = environ_of("/order", service.signed(BODY), [BODY[:3], BODY[3:]])
    kept = dict(parts)
    assert call(guarded(service, app), parts).body == BODY
    assert parts == kept


def test_it_keeps_to_the_protocol_on_both_sides(service: OnWSGI) -> None:
    """As wsgiref's validator judges it."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        environ[TX].execute(INSERT)
        start_response("201 Created", [("Content-Type", "text/plain")])
        return [b"ok"]

    whole = validator(guarded(service, validator(app)))
    assert [call(whole, environ_of("/order", service.signed(BODY), BODY)).status for _ in range(2)] == [201, 201]
    assert service.orders == ["17"]


def test_not_one_byte_goes_to_the_server_before_commit(service: OnWSGI) -> None:
    """By a generator, by `write`, or by a file wrapper of the server's."""
    committed: list[list[str]] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        assert "wsgi.file_wrapper" not in environ
        write = start_response("200 OK", [])
        environ[TX].execute(INSERT)
        write(b"a")
        yield b"b"
        environ[TX].execute("INSERT INTO orders VALUES ('in the generator')")
        yield b"c"

    environ = environ_of("/order", service.signed(BODY), BODY, **{"wsgi.file_wrapper": object})
    answer = guarded(service, app)(environ, lambda *_: committed.append(service.orders))
    assert (committed, b"".join(answer)) == ([["17", "in the generator"]], b"abc")


def test_a_generator_runs_on_the_thread_of_its_transaction(service: OnWSGI) -> None:
    threads: list[int] = []

    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        threads.append(get_ident())
        start_response("200 OK", [])
        yield b""

    ordered(service, app)
    assert threads == [get_ident()]


def fails(environ: Any, start_response: Any, before: bytes = b"") -> Iterable[bytes]:
    """As frameworks do it: the error is caught, and an answer is made of it."""
    environ[TX].execute(INSERT)
    write = start_response("200 OK", [("X-First", "1")])
    write(before)
    try:
        int("a defect")
    except ValueError:
        start_response("400 Bad Request", [("X-Second", "1")], sys.exc_info())
    return [b"sorry"]


def test_an_answer_that_was_made_of_an_error_is_sent_and_rolled_back_whole(service: OnWSGI) -> None:
    """exc_info says so; what type of error it was, nobody can tell. So a retry runs."""
    for _ in range(2):
        answer = ordered(service, fails)
        assert (answer.status, answer.body, answer.is_replay) == (400, b"sorry", False)
        assert [name for name, _ in answer.headers] == ["X-Second", "Content-Length"]
        assert (service.orders, service.claims) == ([], 0)


def test_after_the_first_byte_it_is_too_late_to_answer_otherwise(service: OnWSGI) -> None:
    with pytest.raises(ValueError, match="a defect"):
        ordered(service, lambda environ, start_response: fails(environ, start_response, b"half"))
    assert service.claims == 0


def twice(_environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    with suppress(GuardError):
        start_response("201 Created", [])
    return [b"ok"]


def never(_environ: Any, _start_response: Any) -> Iterable[bytes]:
    return []


def too_late(_environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b"ok"
    start_response("200 OK", [])


@pytest.mark.parametrize("app", [twice, never, too_late])
def test_an_answer_that_is_not_begun_once_and_first_is_a_defect_and_rolled_back(service: OnWSGI, app: App) -> None:
    """Also where the application swallows that it was told so."""
    with pytest.raises(GuardError, match="start_response"):
        ordered(service, app)
    assert service.claims == 0


def test_more_than_the_cap_by_write_is_500_also_where_the_application_swallows_it(service: OnWSGI) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        environ[TX].execute(INSERT)
        write = start_response("200 OK", [])
        with suppress(Exception):
            write(bytes((1 << 20) + 1))
        return [b"ok"]

    assert ordered(service, app).status == 500
    assert (service.orders, service.claims) == ([], 0)


class Closing:
    """An iterable that says what was committed when it was closed."""

    def __init__(self, service: OnWSGI, status: int) -> None:
        self.service = service
        self.status = status
        self.closed: list[list[str]] = []

    def __call__(self, environ: Any, start_response: Any) -> "Closing":
        environ[TX].execute(INSERT)
        start_response(f"{self.status} X", [])
        return self

    def __iter__(self) -> Iterator[bytes]:
        if not self.status:
            raise RuntimeError("of the test")
        return iter([b"ok"])

    def close(self) -> None:
        self.closed.append(self.service.orders)


@pytest.mark.parametrize(("status", "committed"), [(200, ["17"]), (503, [])])
def test_close_follows_commit_or_rollback_once_and_not_for_duplicates(
    service: OnWSGI, status: int, committed: list[str]
) -> None:
    app = Closing(service, status)
    assert ordered(service, app).status == status
    assert app.closed == [committed]


def test_close_is_called_where_the_application_has_failed(service: OnWSGI) -> None:
    app = Closing(service, 0)
    with pytest.raises(RuntimeError, match="of the test"):
        ordered(service, app)
    assert app.closed == [[]]


def test_as_a_middleware_it_guards_what_it_is_told_to_and_nothing_else(service: OnWSGI) -> None:
    """Around any framework. Whoever comes past it finds no transaction, and so writes nothing."""
    flask = Flask("shop")

    @flask.get("/")
    def index() -> str:
        return "open"

    @flask.post("/order")
    @flask.post("/elsewhere")
    def order() -> tuple[str, int]:
        from flask import request  # noqa: PLC0415  as a handler of another framework would

        request.environ[TX].execute(INSERT)
        return str(request.environ[SIGNED].json()["order_id"]), 201

    flask.testing = True
    app = guarded(service, flask.wsgi_app, only=lambda environ: bool(environ["PATH_INFO"] == "/order"))
    assert call(app, environ_of("/", (), b"", REQUEST_METHOD="GET")).body == b"open"
    answers = [call(app, environ_of("/order", service.signed(BODY), BODY)) for _ in range(2)]
    assert [(answer.status, answer.body) for answer in answers] == [(201, b"17")] * 2
    with pytest.raises(KeyError, match=TX):
        call(app, environ_of("/elsewhere", service.signed(BODY), BODY))
    assert service.orders == ["17"]


@pytest.mark.parametrize(
    ("target", "status"), [("/order/a%20b", 201), ("/order/a%20b?x=%7E", 201), ("/order/%7E", 401)]
)
def test_where_the_server_keeps_no_raw_path_it_is_quoted_again(tmp_path: Path, target: str, status: int) -> None:
    """An unusual spelling then does not verify under a scheme that signs the path, and changes nothing."""
    service = OnWSGI(tmp_path / "orders.db", scheme=preset("tocsin-v1"))
    headers = (("Idempotency-Key", "a"),)
    signed = sign(Message("POST", target, headers, BODY), preset("tocsin-v1"), SECRET, now=NOW)
    environ = environ_of(target, (*headers, *signed), BODY)
    del environ["RAW_URI"]
    environ["PATH_INFO"] = target.partition("?")[0].replace("%20", " ").replace("%7E", "~")
    assert call(service.app, environ).status == status
    service.close()


def test_a_store_for_tasks_is_refused_at_the_start(service: OnWSGI) -> None:
    class ForTasks:
        take_async = SQLiteStore.take_async

    service.guard._store = ForTasks()  # type: ignore[assignment]
    with pytest.raises(GuardError, match=r"guard.wsgi, runs on a thread, and ForTasks is for tasks"):
        service.guard.wsgi(name="/order")
