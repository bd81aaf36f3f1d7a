import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tocsin.wire import Address, DeliveryError, Failure, RequestError, exchange, request_bytes
from tocsin.wire._response import MAX_BODY_BYTES
from tocsin.wire.testing import RecordingPeer, Script, answer

_REQUEST = request_bytes("POST", "/order", [], b"order", host="h")


def _failed(address: Address, *, request: bytes = _REQUEST, timeout_s: float = 10.0) -> DeliveryError:
    with pytest.raises(DeliveryError) as error:
        exchange(request, address, timeout_s=timeout_s)
    assert error.value.address == str(address)
    assert str(error.value) == f"{address}: {error.value.reason}"
    return error.value


@contextmanager
def _full_listener() -> Iterator[Address]:
    """A server that is too busy to accept: its queue is full, and the kernel drops what knocks."""
    with ExitStack() as closing:
        listener = closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            knocking = closing.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        yield Address("http", "127.0.0.1", listener.getsockname()[1], "127.0.0.1")


def test_the_answer_comes_back_whole_and_the_request_arrived_unchanged() -> None:
    with RecordingPeer(Script(reply=answer(201, b"made", (("X-Id", "7"),)))) as peer:
        response = exchange(_REQUEST, peer.address, timeout_s=10)
        assert (response.status, response.body, response.values("x-id")) == (201, b"made", ("7",))
        assert peer.recordings()[0].received == _REQUEST


def test_a_redirect_is_an_answer_like_any_other() -> None:
    with RecordingPeer(Script(reply=answer(302, headers=(("Location", "http://192.0.2.1/"),)))) as peer:
        assert exchange(_REQUEST, peer.address, timeout_s=10).status == 302
        assert len(peer.recordings()) == 1


def test_an_answer_may_come_a_byte_at_a_time() -> None:
    with RecordingPeer(Script(reply=answer(200, b"slowly"), piece_bytes=1)) as peer:
        assert exchange(_REQUEST, peer.address, timeout_s=10).body == b"slowly"


def test_an_answer_of_the_largest_size_is_taken() -> None:
    with RecordingPeer(Script(reply=answer(200, b"a" * MAX_BODY_BYTES))) as peer:
        assert len(exchange(_REQUEST, peer.address, timeout_s=10).body) == MAX_BODY_BYTES


def test_a_refusal_before_the_request_is_complete_is_an_answer() -> None:
    """A server that will not read a large body says so, closes, and resets what still comes."""
    request = request_bytes("POST", "/", [], b"a" * 20_000_000, host="h")
    with RecordingPeer(Script(when="begun", reply=answer(413))) as peer:
        assert exchange(request, peer.address, timeout_s=10).status == 413


def test_the_connection_is_closed_after_the_answer() -> None:
    with RecordingPeer(Script(reply=answer(), then="keep")) as peer:
        exchange(_REQUEST, peer.address, timeout_s=10)
        assert peer.wait_ended()[0].ended == "closed"


def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = _failed(Address("http", "localhost", bound.getsockname()[1], "127.0.0.1"))
    assert (error.kind, error.request_sent, error.can_retry) == (Failure.REFUSED, False, True)


def test_an_address_without_a_route_is_unreachable() -> None:
    error = _failed(Address("http", "shop.example", 80, "255.255.255.255"))
    assert (error.kind, error.request_sent) == (Failure.UNREACHABLE, False)


def test_a_connection_that_does_not_open_in_time_is_timed_out() -> None:
    with _full_listener() as address:
        error = _failed(address, timeout_s=0.2)
    assert (error.kind, error.request_sent) == (Failure.TIMED_OUT, False)
    assert error.reason == "no connection within 0.2 s"


def test_an_answer_that_does_not_come_in_time_is_timed_out() -> None:
    with RecordingPeer(Script(then="keep")) as peer:
        error = _failed(peer.address, timeout_s=0.2)
        assert (error.kind, error.request_sent) == (Failure.TIMED_OUT, True)
        assert error.reason == "no complete answer within 0.2 s"
        assert peer.wait_ended()[0].ended == "reset"


def test_a_request_that_is_not_taken_in_time_is_timed_out_and_was_not_sent() -> None:
    request = request_bytes("POST", "/", [], b"a" * 20_000_000, host="h")
    with RecordingPeer(Script(when="complete", then="keep", reads=False)) as peer:
        error = _failed(peer.address, request=request, timeout_s=0.3)
    assert (error.kind, error.request_sent) == (Failure.TIMED_OUT, False)


@pytest.mark.parametrize(
    "script",
    [
        Script(then="close"),
        Script(then="reset"),
        Script(reply=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", then="close"),
        Script(reply=b"HTTP/1.1 200 OK\r\n\r\nno length", then="reset"),
        Script(reply=b"HTTP/1.1 200", then="close"),
    ],
)
def test_a_connection_that_ends_without_a_whole_answer_is_closed(script: Script) -> None:
    with RecordingPeer(script) as peer:
        error = _failed(peer.address)
    assert (error.kind, error.request_sent, error.can_retry) == (Failure.CLOSED, True, True)


def test_a_connection_that_is_reset_while_the_request_is_sent_is_closed_and_was_not_sent() -> None:
    request = request_bytes("POST", "/", [], b"a" * 20_000_000, host="h")
    with RecordingPeer(Script(when="begun", then="reset")) as peer:
        error = _failed(peer.address, request=request)
    assert (error.kind, error.request_sent) == (Failure.CLOSED, False)


def test_an_answer_that_is_not_http_is_told_without_being_repeated() -> None:
    with RecordingPeer(Script(reply=b"echo of cafe\r\n\r\n")) as peer:
        error = _failed(peer.address)
    assert (error.kind, error.can_retry) == (Failure.NOT_HTTP, False)
    assert "cafe" not in str(error)


def test_an_answer_over_the_cap_is_too_large() -> None:
    with RecordingPeer(Script(reply=answer(200, b"a" * (MAX_BODY_BYTES + 1)))) as peer:
        error = _failed(peer.address)
    assert (error.kind, error.request_sent) == (Failure.TOO_LARGE, True)


def test_a_machine_without_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", none_left)
    error = _failed(Address("http", "127.0.0.1", 9, "127.0.0.1"))
    assert (error.kind, error.can_retry) == (Failure.EXHAUSTED, True)
    assert "limit on open files" in error.reason


@pytest.mark.parametrize(("request_", "timeout_s"), [(b"", 1.0), (b"r", 0.0)])
def test_nothing_to_send_or_no_time_is_our_own_mistake(request_: bytes, timeout_s: float) -> None:
    with pytest.raises(RequestError):
        exchange(request_, Address("http", "127.0.0.1", 9, "127.0.0.1"), timeout_s=timeout_s)
