"""Bursts and exchanges over TLS, with a real server and an authority of the test's own."""

import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.wire.asgi import Recorder, hypercorn
from tests.wire.certificates import Certificates, made
from tocsin.wire import (
    Address,
    Burst,
    DeliveryError,
    Failure,
    Protocol,
    RequestError,
    Style,
    Trust,
    chosen,
    deliver,
    exchange,
    request_bytes,
)
from tocsin.wire import _engine as engine
from tocsin.wire import _tls as tls
from tocsin.wire._account import Release
from tocsin.wire._carry import _Together
from tocsin.wire._line import Line
from tocsin.wire._lines import Lines
from tocsin.wire._tls import TlsTransport, tls_context

BurstFor = Callable[..., Burst]
_GET = request_bytes("GET", "/", [], host="localhost")
_PROOF = "tcp_info" if sys.platform == "linux" else "unverified"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


@pytest.mark.parametrize(
    ("protocol", "style"),
    [
        ("http/1.1", "last-byte"),
        ("http/1.1", "threads"),
        ("http/1.1", "whole"),
        ("http/1.1", "record"),
        ("h2", "last-frame"),
        ("h2", "empty-end"),
        ("h2", "whole"),
        ("h2", "record"),
    ],
)
def test_no_request_is_complete_before_the_gate_and_all_are_answered(
    certificates: Certificates, burst_for: BurstFor, protocol: Protocol, style: Style
) -> None:
    """None is answered before all are complete: a mode that sends one after the other would wait for ever."""
    app = Recorder(together=20)
    with hypercorn(app, certificates=certificates, protocol=protocol) as address:
        burst = burst_for(address, 20, style=style)
        delivery = deliver(burst, address, rng=random.Random(7))
        assert (delivery.void, delivery.proof) == ("", _PROOF)
        assert (delivery.protocol, delivery.style) == (protocol, style)
        assert delivery.connections == (1 if protocol == "h2" else 20)
        assert delivery.history.most_in_flight() == 20
        assert {request[0] for request in app.requests} == {"2" if protocol == "h2" else "1.1"}
        assert {request[4] for request in app.requests} == {b"order"}
        assert delivery.gate_opened_ns is not None
        assert min(app.complete_ns) >= delivery.gate_opened_ns


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_record_shows_the_server_nothing_before_the_gate(
    certificates: Certificates, burst_for: BurstFor, protocol: Protocol
) -> None:
    """Not even headers, which is what it is for."""
    app = Recorder(together=10)
    with hypercorn(app, certificates=certificates, protocol=protocol) as address:
        delivery = deliver(burst_for(address, 10, style="record"), address, rng=random.Random(7))
        assert delivery.void == ""
        assert min(app.begun_ns) >= (delivery.gate_opened_ns or sys.maxsize)


def test_two_hundred_whole_requests_are_released_by_one_byte(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Recorder(together=200)
    written: list[bytes] = []
    original = TlsTransport.__init__

    def watched(self: TlsTransport, address: Address) -> None:
        original(self, address)
        send = self.release

        def noted(octets: bytes) -> int:
            written.append(octets)
            return send(octets)

        self.release = noted  # type: ignore[assignment]  # a socket's own send has more overloads

    monkeypatch.setattr(TlsTransport, "__init__", watched)
    with hypercorn(app, certificates=certificates, protocol="h2", h2_max_concurrent_streams=256) as address:
        requests = tuple(
            request_bytes("POST", "/order", [("X-Nonce", f"{place:032x}")], b'{"id":1}', host=address.authority)
            for place in range(200)
        )
        burst = Burst(requests, tuple(map(str, range(200))), style="record")
        delivery = deliver(burst, address, rng=random.Random(7))
        assert (delivery.void, delivery.connections, delivery.proof) == ("", 1, _PROOF)
        assert delivery.history.statuses() == {"200": 200}
        assert min(app.begun_ns) >= (delivery.gate_opened_ns or sys.maxsize)
    assert len(written[-1]) == 1
    assert sum(map(len, written)) <= 16_384 + 256


def test_what_one_record_does_not_hold_takes_more_connections_and_is_told(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with hypercorn(Recorder(together=5), certificates=certificates, protocol="h2") as address:
        delivery = deliver(burst_for(address, 5, style="record", body=b"a" * 6000), address, rng=random.Random(7))
        assert (delivery.void, delivery.connections) == ("", 3)
        assert delivery.choice.endswith("because of what a TLS record holds")


def test_requests_that_turn_out_longer_than_a_record_are_void(
    certificates: Certificates, burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that keeps no table of header fields makes them longer than was reckoned."""
    monkeypatch.setattr(_Together, "_groups", lambda self, *_: [range(len(self._requests))])
    with hypercorn(Recorder(), certificates=certificates, protocol="h2") as address:
        delivery = deliver(burst_for(address, 5, style="record", body=b"a" * 6000), address, rng=random.Random(7))
    assert delivery.void == "the requests on one connection make more than one TLS record"
    assert delivery.gate_opened_ns is None


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_request_that_no_record_holds_makes_the_burst_void(
    certificates: Certificates, burst_for: BurstFor, protocol: Protocol
) -> None:
    with hypercorn(Recorder(), certificates=certificates, protocol=protocol) as address:
        burst = burst_for(address, 2, style="record", body=b"a" * 20_000)
        delivery = deliver(burst, address, rng=random.Random(7))
    assert delivery.void == "a request alone makes more than 16384 bytes, which a TLS record holds"
    assert delivery.gate_opened_ns is None


def test_members_of_one_record_cannot_leave_apart(certificates: Certificates, burst_for: BurstFor) -> None:
    with hypercorn(Recorder(), certificates=certificates, protocol="h2") as address:
        burst = burst_for(address, 2, style="record", offsets_us=(0, 5))
        with pytest.raises(RequestError, match="wanted no offsets"):
            deliver(burst, address, rng=random.Random(7))


def test_what_is_withheld_is_encrypted_before_the_gate_opens(
    certificates: Certificates, burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed: list[bytes] = []
    original = TlsTransport.seal

    def seal(self: TlsTransport, withheld: bytes) -> bytes:
        sealed.append(original(self, withheld))
        return sealed[-1]

    monkeypatch.setattr(TlsTransport, "seal", seal)
    with hypercorn(Recorder(together=3), certificates=certificates, protocol="http/1.1") as address:
        assert deliver(burst_for(address, 3), address, rng=random.Random(7)).void == ""
    assert len(sealed) == 3 + 1  # and the byte that wakes the server
    for octets in sealed:  # application data in one record that holds one byte
        assert octets[:3] == b"\x17\x03\x03"
        assert len(octets) == 5 + int.from_bytes(octets[3:5], "big") < 40


# Who chooses


@pytest.mark.parametrize(
    ("alpn", "protocol", "why"),
    [
        (("h2", "http/1.1"), "h2", "h2, which the server chose by ALPN"),
        (("http/1.1",), "http/1.1", "http/1.1, which the server chose by ALPN"),
        ((), "http/1.1", "http/1.1, because the server chose nothing by ALPN"),
    ],
)
def test_the_server_chooses_the_protocol(
    certificates: Certificates, burst_for: BurstFor, alpn: tuple[str, ...], protocol: str, why: str
) -> None:
    with hypercorn(Recorder(), certificates=certificates, alpn=alpn) as address:
        assert (chosen(address, timeout_s=10).protocol, chosen(address, timeout_s=10).why) == (protocol, why)
        delivery = deliver(burst_for(address), address, rng=random.Random(7))
        assert (delivery.void, delivery.protocol, delivery.choice) == ("", protocol, why)
        assert exchange(_GET, address, timeout_s=10).status == 200


def test_http_2_that_the_server_does_not_speak_is_an_error_and_no_silent_change(certificates: Certificates) -> None:
    with hypercorn(Recorder(), certificates=certificates, alpn=("http/1.1",), protocol="h2") as address:
        with pytest.raises(DeliveryError, match=r"ALPN|handshake") as error:
            exchange(_GET, address, timeout_s=10)
        assert error.value.kind in {Failure.UNSUPPORTED, Failure.NOT_TLS}
        assert not error.value.request_sent


def test_a_protocol_of_the_wrong_scheme_is_refused() -> None:
    with pytest.raises(RequestError, match="h2c goes with http://, and the address is https://"):
        Address("https", "h", 1, "127.0.0.1", protocol="h2c")


# Who is trusted


def _refused(address: Address) -> DeliveryError:
    with pytest.raises(DeliveryError) as error:
        exchange(_GET, address, timeout_s=10)
    return error.value


def test_a_certificate_is_verified_unless_told_otherwise(certificates: Certificates, burst_for: BurstFor) -> None:
    app = Recorder()
    with hypercorn(app, certificates=certificates) as address:
        stranger = replace(address, trust=Trust())
        error = _refused(stranger)
        assert (error.kind, error.can_retry, error.request_sent) == (Failure.UNTRUSTED, False, False)
        assert "name its authority with ca_file, or say insecure = true" in error.reason
        with pytest.raises(DeliveryError, match="the certificate is not trusted"):
            deliver(burst_for(stranger), stranger, rng=random.Random(7))
        assert app.requests == []
        assert exchange(_GET, replace(address, trust=Trust(insecure=True)), timeout_s=10).status == 200


def test_a_certificate_for_another_name_is_not_trusted(certificates: Certificates) -> None:
    with hypercorn(Recorder(), certificates=certificates) as address:
        assert exchange(_GET, replace(address, host="127.0.0.1"), timeout_s=10).status == 200
        error = _refused(replace(address, host="shop.example"))
    assert error.kind is Failure.UNTRUSTED
    assert "shop.example" in error.reason


def test_an_expired_certificate_is_not_trusted(tmp_path: Path) -> None:
    with hypercorn(Recorder(), certificates=made(tmp_path, "localhost", expired=True)) as address:
        assert "expired" in _refused(address).reason


def test_the_name_is_told_to_the_server(certificates: Certificates) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with _answering(context) as address:
        exchange(_GET, replace(address, trust=Trust(certificates.ca_file)), timeout_s=10)
    assert names == ["localhost"]


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_of_authorities_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    address = Address("https", "h", 1, "127.0.0.1", protocol="http/1.1", trust=Trust(str(path)))
    with pytest.raises(RequestError, match=r"ca\.pem.*wanted a PEM file of authorities"):
        exchange(_GET, address, timeout_s=10)


# Servers that end it otherwise


@contextmanager
def _answering(
    context: ssl.SSLContext | None, reply: bytes = b"HTTP/1.1 200 OK\r\n\r\nto the end"
) -> Iterator[Address]:
    """A server for one connection that hangs up after its answer, without TLS's own goodbye."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                if context is None:
                    accepted.recv(65536)
                    accepted.sendall(reply)
                    return
                try:
                    with context.wrap_socket(accepted, server_side=True) as secured:
                        secured.recv(65536)
                        secured.sendall(reply)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            port: int = listener.getsockname()[1]
            yield Address("https", "localhost", port, "127.0.0.1", protocol="http/1.1")
        finally:
            thread.join()


def test_an_answer_that_ends_with_the_connection_is_whole(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with _answering(context) as address:
        response = exchange(_GET, replace(address, trust=Trust(certificates.ca_file)), timeout_s=10)
    assert response.body == b"to the end"


def test_a_server_without_tls_is_told_from_one_with_a_bad_certificate() -> None:
    with _answering(None) as address:
        error = _refused(address)
    assert error.kind is Failure.NOT_TLS
    assert "is it https that the server speaks there?" in error.reason


def test_a_server_that_hangs_up_in_the_handshake_has_no_tls() -> None:
    with _answering(None, b"") as address:
        assert _refused(address).kind is Failure.NOT_TLS


def test_the_question_who_is_there_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("https", "h", silent.getsockname()[1], "127.0.0.1")
        with pytest.raises(DeliveryError, match=r"no connection within 0\.1 s") as error:
            chosen(address, timeout_s=0.1)
    assert error.value.kind is Failure.TIMED_OUT


def test_a_protocol_that_was_asked_for_is_told_as_such() -> None:
    asked = Address("http", "h", 1, "127.0.0.1", protocol="h2c")
    assert chosen(asked, timeout_s=1).why == "h2c was asked for"
    assert chosen(chosen(asked, timeout_s=1), timeout_s=1).why == "h2c was asked for"


def test_large_requests_and_answers_go_through(certificates: Certificates) -> None:
    body = b"a" * 900_000
    protocols: tuple[Protocol, ...] = ("http/1.1", "h2")
    for protocol in protocols:
        with hypercorn(Recorder(), certificates=certificates, protocol=protocol) as address:
            request = request_bytes("POST", "/", [], body, host=address.authority)
            assert exchange(request, address, timeout_s=10).body == body


def test_nothing_else_leaves_between_sealing_and_release(certificates: Certificates, burst_for: BurstFor) -> None:
    """TLS numbers its records: what is sealed has to leave first."""
    offered: list[bool] = []
    original = Line.push

    def push(self: Line) -> None:
        offered.append(self._ahead is None or bool(self._ahead))
        original(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Line, "push", push)
        with hypercorn(Recorder(together=3), certificates=certificates, protocol="h2") as address:
            assert deliver(burst_for(address, 3, style="record"), address, rng=random.Random(7)).void == ""
    assert all(offered)


# Broken twins


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts data segments per connection")
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_record_that_was_sent_whole_before_the_gate_is_void(
    certificates: Certificates, burst_for: BurstFor, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_of_it(lines: Lines, releases: list[Release], burst: Burst) -> tuple[list[Release], str]:
        for release in releases:
            release.line.send_ahead(release.octets)
        lines.park(time.monotonic() + burst.timeout_s)
        return [replace(release, octets=b"") for release in releases], ""

    monkeypatch.setattr(engine, "_sent_ahead", all_of_it)
    # Nobody is answered before twice as many are there: only the counters can tell.
    with hypercorn(Recorder(together=8), certificates=certificates, protocol=protocol) as address:
        delivery = deliver(burst_for(address, 4, style="record", timeout_s=0.3), address, rng=random.Random(7))
    assert "sent 0 segments at the gate, where 1 was due" in delivery.void


def test_a_client_that_verifies_nothing_gives_a_stranger_the_signature(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Recorder()
    with hypercorn(app, certificates=certificates) as address:
        stranger = replace(address, trust=Trust(), protocol="h2")
        assert _refused(stranger).kind is Failure.UNTRUSTED
        assert app.requests == []
        monkeypatch.setattr(tls, "tls_context", lambda _, offered: tls_context(Trust(insecure=True), offered))
        exchange(_GET, stranger, timeout_s=10)
        assert len(app.requests) == 1
