"""A connection is ended on our side as soon as its answer is there: some servers wait for that before they go on."""

import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Self

import pytest

from tocsin.wire import Address, Burst, DeliveryError, Failure, Response, deliver, exchanges, request_bytes
from tocsin.wire._proof import Sample
from tocsin.wire._sockets import TcpTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BurstFor = Callable[..., Burst]


class OneAtATime:
    """Answers, ends its half, and accepts nobody before the client has ended its own, as gunicorn does for 2 s."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        host, port = self.listener.getsockname()
        self.address = Address("http", host, port, host)
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self.listener.accept()
                with accepted, suppress(ConnectionError):
                    self._answer(accepted)

    def _answer(self, accepted: socket.socket) -> None:
        received = b""
        while not received.endswith(b"order"):
            piece = accepted.recv(4096)
            if not piece:
                return
            received += piece
        self.received.append(received)
        accepted.sendall(OK)
        accepted.shutdown(socket.SHUT_WR)
        while accepted.recv(4096):
            pass


def _requests(address: Address, n: int) -> list[bytes]:
    return [request_bytes("POST", f"/{place}", [], b"order", host=address.authority) for place in range(n)]


def test_a_server_that_waits_for_the_end_of_each_connection_answers_a_whole_burst(burst_for: BurstFor) -> None:
    with OneAtATime() as server:
        delivery = deliver(burst_for(server.address, 6), server.address, rng=random.Random(1))
    assert [response.status for response in delivery.responses if response] == [200] * 6
    assert delivery.void == ""


def test_an_engine_that_ends_its_connections_all_at_once_waits_for_answers_that_cannot_come(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TcpTransport, "finish", lambda _: None)
    with OneAtATime() as server:
        delivery = deliver(burst_for(server.address, 6, timeout_s=0.5), server.address, rng=random.Random(1))
    assert delivery.failures.count(Failure.TIMED_OUT) == 5


def test_what_the_kernel_repeats_of_our_end_says_nothing_of_the_request(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIN that is not acknowledged at once is probed for (RFC 8985 section 7), which counts as a retransmission."""
    ended: set[TcpTransport] = set()
    real_finish, real_sample = TcpTransport.finish, TcpTransport.sample

    def finish(transport: TcpTransport) -> None:
        real_finish(transport)
        ended.add(transport)

    def sample(transport: TcpTransport) -> Sample | None:
        found = real_sample(transport)
        if found is None or transport not in ended:
            return found
        return replace(found, retransmissions=found.retransmissions + 1)

    monkeypatch.setattr(TcpTransport, "finish", finish)
    monkeypatch.setattr(TcpTransport, "sample", sample)
    with OneAtATime() as server:
        delivery = deliver(burst_for(server.address, 6), server.address, rng=random.Random(1))
    assert len(ended) == 6
    assert delivery.void == ""


def test_requests_side_by_side_are_each_answered_in_their_own_place() -> None:
    with OneAtATime() as server:
        outcomes = exchanges(_requests(server.address, 5), server.address, timeout_s=10)
        assert [outcome.status for outcome in outcomes if isinstance(outcome, Response)] == [200] * 5
    assert sorted(one.split(b" ")[1] for one in server.received) == [b"/0", b"/1", b"/2", b"/3", b"/4"]


def test_of_requests_side_by_side_each_has_its_own_reason_for_no_answer() -> None:
    class HangsUpOnTheSecond(OneAtATime):
        def _answer(self, accepted: socket.socket) -> None:
            if len(self.received) == 1:
                self.received.append(accepted.recv(4096))
                return
            super()._answer(accepted)

    with HangsUpOnTheSecond() as server:
        outcomes = exchanges(_requests(server.address, 3), server.address, timeout_s=10)
    [refused] = [outcome for outcome in outcomes if isinstance(outcome, DeliveryError)]
    assert (refused.kind, refused.request_sent) == (Failure.CLOSED, True)
