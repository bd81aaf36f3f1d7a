"""What a server may hand to a WSGI application, down to what only few do."""

import io
import logging
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator

import pytest

from tests.signing.servers.apps import KEYS, SCHEME, SECRET
from tocsin.signing import PRESETS, KeyRing, Message, Scheme, SchemeError, Secret, sign
from tocsin.signing.servers.wsgi import SignedOnly

NOW = 1_700_000_000
BODY = b'{"item":"sku-1"}'
Environ = dict[str, Any]


def environ(body: bytes = BODY, **more: Any) -> Environ:
    message = Message("POST", "/order", (("Idempotency-Key", "order-17"),), body)
    (signature,) = sign(message, SCHEME, SECRET, now=NOW)
    given = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/order",
        "QUERY_STRING": "",
        "SERVER_NAME": "a",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_IDEMPOTENCY_KEY": "order-17",
        "HTTP_TOCSIN_SIGNATURE": signature[1],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body + b"the next request"),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    return {key: value for key, value in {**given, **more}.items() if value is not None}


def echo(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]


def make(app: Any = echo, **options: Any) -> SignedOnly:
    return SignedOnly(app, **{"scheme": SCHEME, "keys": KEYS, "clock": lambda: NOW, **options})


def call(service: Any, given: Environ) -> tuple[int, bytes]:
    status: list[str] = []

    def start_response(line: str, _headers: list[tuple[str, str]], _info: Any = None) -> Callable[[bytes], object]:
        status.append(line)
        return lambda _octets: None

    answer = service(given, start_response)
    body = b"".join(answer)
    close = getattr(answer, "close", None)
    if close is not None:
        close()
    return int(status[0][:3]), body


def test_the_standard_librarys_validator_finds_no_fault_on_either_side() -> None:
    assert call(validator(make(validator(echo))), environ()) == (200, BODY)
    assert call(validator(make(validator(echo))), environ(HTTP_IDEMPOTENCY_KEY="x"))[0] == 401


def test_nothing_after_the_body_is_read() -> None:
    given = environ()
    rest = given["wsgi.input"]
    call(make(), given)
    assert rest.read() == b"the next request"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(BODY)}, 200),
        ({"CONTENT_LENGTH": None, "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(BODY)}, 200),
        ({"CONTENT_LENGTH": None}, 401),
        ({"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}, 411),
        ({"CONTENT_LENGTH": "16x"}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "\u0661"}, 400),
        ({"CONTENT_LENGTH": "100"}, 400),
        ({"CONTENT_LENGTH": str((1 << 20) + 1)}, 413),
        ({"CONTENT_LENGTH": "9" * 5000}, 413),
        ({"CONTENT_LENGTH": None, "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(bytes((1 << 20) + 1))}, 413),
    ],
)
def test_the_end_of_the_body_is_known_or_the_request_refused(more: Environ, status: int) -> None:
    assert call(make(), environ(**more))[0] == status


def test_an_empty_body_may_have_no_length() -> None:
    assert call(make(), environ(b"", CONTENT_LENGTH=None)) == (200, b"")


def test_the_body_is_let_go_when_the_answer_is_closed_and_the_answer_before_it() -> None:
    class Answer:
        def __init__(self, source: Any) -> None:
            self.source = source
            self.was_closed_first = False

        def __iter__(self) -> Any:
            return iter([self.source.read()])

        def close(self) -> None:
            self.was_closed_first = not self.source.closed

    answers: list[Answer] = []

    def app(given: Environ, start_response: Callable[..., Any]) -> Answer:
        start_response("200 OK", [])
        answers.append(Answer(given["wsgi.input"]))
        return answers[0]

    assert call(make(app), environ()) == (200, BODY)
    assert answers[0].was_closed_first
    assert answers[0].source.closed


def test_an_error_of_the_server_while_reading_goes_on() -> None:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise ConnectionResetError

    given = environ()
    given["wsgi.input"] = Broken()
    with pytest.raises(ConnectionResetError):
        call(make(), given)


def test_the_reason_is_in_the_log_and_only_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tocsin.signing")
    _status, answer = call(make(), environ(HTTP_TOCSIN_SIGNATURE=None))
    assert b"Missing" not in answer
    assert caplog.messages == ["tocsin-v1: rejected: Missing: header Tocsin-Signature is missing"]
    call(make(max_body_bytes=3), environ())
    assert caplog.messages[1:] == ["tocsin-v1: refused: the body is longer than 3 bytes"]


def test_keys_may_come_from_a_callable_and_change_without_a_restart() -> None:
    rings = [KeyRing.of(Secret(b"another secret, 16 octets", "k1")), KEYS]
    service = make(keys=lambda: rings[0])
    assert call(service, environ())[0] == 401
    rings.pop(0)
    assert call(service, environ())[0] == 200
    assert call(service, environ())[0] == 200


def test_a_scheme_that_cannot_be_streamed_is_verified_in_one_piece() -> None:
    scheme = Scheme(name="form", content="{form}")
    body = b"a=" + b"x" * (1 << 20)
    message = Message("POST", "/order", (), body)
    (signature,) = sign(message, scheme, SECRET, now=NOW)
    service = make(scheme=scheme, max_body_bytes=2 << 20)
    assert call(service, environ(body, HTTP_X_SIGNATURE=signature[1])) == (200, body)


URL = Scheme(name="url", content="{url}{body}")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"keys": KeyRing.of(Secret(b"a secret without key id"))}, "tocsin-v1 selects secrets by key id"),
        ({"max_body_bytes": -1}, "max_body_bytes = -1: wanted 0 or more"),
        ({"scheme": URL}, "url signs the public URL, which no request says reliably; wanted public_origin"),
    ],
)
def test_wrong_arguments_are_refused_at_start_up(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        make(**options)


def test_a_ring_that_cannot_serve_the_scheme_is_an_error_and_no_verdict() -> None:
    service = make(keys=lambda: KeyRing.of(Secret(b"a secret without key id")))
    with pytest.raises(SchemeError, match="tocsin-v1 selects secrets by key id"):
        call(service, environ())


def test_the_public_origin_is_the_configured_one_and_host_is_ignored() -> None:
    message = Message("POST", "/order", (), BODY, "https://api.example.com")
    (signature,) = sign(message, URL, SECRET, now=NOW)
    for origin, status in (("https://api.example.com", 200), ("https://evil.example.com", 401)):
        service = make(scheme=URL, public_origin=origin)
        assert call(service, environ(HTTP_X_SIGNATURE=signature[1], HTTP_HOST="evil.example.com"))[0] == status


def test_presets_without_a_timestamp_need_no_clock() -> None:
    message = Message("POST", "/order", (), BODY)
    (signature,) = sign(message, PRESETS["github"], SECRET, now=NOW)
    service = make(scheme=PRESETS["github"])
    assert call(service, environ(HTTP_X_HUB_SIGNATURE_256=signature[1])) == (200, BODY)
