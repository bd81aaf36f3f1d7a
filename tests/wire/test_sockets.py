import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tocsin.wire import Address
from tocsin.wire._sockets import TcpTransport
from tocsin.wire.testing import RecordingPeer, Script

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts data segments per connection")


@contextmanager
def _opened(address: Address) -> Iterator[TcpTransport]:
    transport = TcpTransport(address)
    try:
        while not transport.is_open():
            select.select([], [transport], [])
        yield transport
    finally:
        transport.close(reset=True)


def _receive(transport: TcpTransport) -> bytes:
    select.select([transport], [], [])
    arrival = transport.receive()
    assert arrival is not None
    return arrival.data


def test_bytes_go_out_and_come_in() -> None:
    with RecordingPeer() as peer, _opened(peer.address) as transport:
        assert transport.receive() is None
        request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        assert transport.send(request) == len(request)
        assert _receive(transport).startswith(b"HTTP/1.1 200 ")
        assert peer.recordings()[0].received == request


def test_ipv6_is_served_too() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener, _opened(Address("http", "::1", listener.getsockname()[1], "::1")) as transport:
        assert transport.is_open()


def test_a_full_pipe_takes_nothing_and_does_not_block() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("http", "127.0.0.1", listener.getsockname()[1], "127.0.0.1")
        with _opened(address) as transport:
            while transport.send(b"a" * 1_000_000):
                pass
            assert transport.send(b"a") == 0


def test_a_refusal_is_told_by_is_open() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there; not listening
        with (
            pytest.raises(ConnectionRefusedError),
            _opened(Address("http", "127.0.0.1", bound.getsockname()[1], "127.0.0.1")),
        ):
            pass


def test_a_connection_on_its_way_is_neither_open_nor_refused() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as closing:
        address = Address("http", "127.0.0.1", listener.getsockname()[1], "127.0.0.1")
        knocking = [TcpTransport(address) for _ in range(4)]
        for transport in knocking:
            closing.callback(transport.close, reset=True)
        assert not knocking[-1].is_open()


def test_an_interrupt_while_a_connection_is_begun_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[socket.socket] = []

    class Interrupted(socket.socket):
        def connect_ex(self, _: object) -> int:
            begun.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(socket, "socket", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        TcpTransport(Address("http", "127.0.0.1", 9, "127.0.0.1"))
    assert begun[0].fileno() == -1


def test_a_socket_connected_to_itself_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may draw the very port that nobody listens on as our own; TCP then connects the socket to itself."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]

    class DrawnTheSamePort(socket.socket):
        def connect_ex(self, address: object) -> int:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", port))
            return super().connect_ex(address)  # type: ignore[arg-type]  # socket addresses have no public type

    monkeypatch.setattr(socket, "socket", DrawnTheSamePort)
    with pytest.raises(ConnectionRefusedError), _opened(Address("http", "127.0.0.1", port, "127.0.0.1")):
        pass


def test_a_reset_connection_was_reset_for_the_server_too() -> None:
    with RecordingPeer() as peer:
        transport = TcpTransport(peer.address)
        select.select([], [transport], [])
        transport.send(b"GET / HTTP/1.1\r\n")
        peer.wait_until(lambda seen: bool(seen and seen[0].received))
        transport.close(reset=True)
        assert peer.wait_ended()[0].ended == "reset"


def test_a_closed_connection_was_closed_in_order() -> None:
    with RecordingPeer() as peer:
        transport = TcpTransport(peer.address)
        select.select([], [transport], [])
        transport.close(reset=False)
        assert peer.wait_ended()[0].ended == "closed"


@_LINUX
def test_an_arrival_is_stamped_when_the_kernel_has_it_and_not_when_it_is_read() -> None:
    with RecordingPeer() as peer, _opened(peer.address) as transport:
        transport.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        select.select([transport], [], [])
        there_ns = time.monotonic_ns()
        arrival = transport.receive()
        assert arrival is not None
        # Wall and monotonic clock are read one after the other, so what they say of one instant differs by that much.
        assert arrival.at_ns < there_ns + 1_000_000


def test_elsewhere_an_arrival_is_stamped_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with RecordingPeer(Script(when="opened", reply=b"hello")) as peer, _opened(peer.address) as transport:
        select.select([transport], [], [])
        there_ns = time.monotonic_ns()
        arrival = transport.receive()
        assert arrival is not None
        assert arrival.at_ns >= there_ns


@_LINUX
def test_the_kernel_counts_one_data_segment_per_send() -> None:
    with RecordingPeer() as peer, _opened(peer.address) as transport:
        before = transport.sample()
        transport.send(b"GET / HTTP/1.1\r\n")
        transport.send(b"Host: h\r\n")
        after = transport.sample()
        assert before is not None
        assert after is not None
        assert after.data_segments - before.data_segments == 2


def test_elsewhere_there_is_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with RecordingPeer() as peer, _opened(peer.address) as transport:
        assert transport.sample() is None


def test_a_machine_without_descriptors_says_so_and_leaks_nothing() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, hard))
    try:
        with socket.socket(), pytest.raises(OSError, match="Too many open files"):
            TcpTransport(Address("http", "127.0.0.1", 9, "127.0.0.1"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
