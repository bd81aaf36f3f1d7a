import socket

import pytest

from tocsin.wire import Address
from tocsin.wire._transports import open_transport
from tocsin.wire._udp import UdpTransport


@pytest.fixture
def peer() -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    listening.settimeout(20)
    return listening


def _address(port: int, ip: str = "127.0.0.1") -> Address:
    return Address("https", "h", port, ip, protocol="h3")


def test_http_3_goes_over_udp_and_nothing_else_does(peer: socket.socket) -> None:
    with peer:
        transport = open_transport(_address(peer.getsockname()[1]))
        assert isinstance(transport, UdpTransport)
        assert (transport.is_open(), transport.sample()) == (True, None)
        transport.close(reset=False)


def test_what_flies_together_leaves_back_to_back_and_each_send_is_counted(peer: socket.socket) -> None:
    with peer:
        transport = UdpTransport(_address(peer.getsockname()[1]))
        octets = transport.seal(transport.fly_together([b"one", b"two", b"three"]))
        assert transport.release(octets) == len(octets)
        assert [peer.recv(100) for _ in range(3)] == [b"one", b"two", b"three"]
        assert transport.released == 3
        transport.close(reset=True)


def test_only_the_address_that_was_checked_is_heard(peer: socket.socket) -> None:
    with peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        transport = UdpTransport(_address(peer.getsockname()[1]))
        transport.send(b"hello")
        _, ours = peer.recvfrom(100)
        stranger.sendto(b"from a stranger", ours)
        assert transport.receive() is None
        peer.sendto(b"answer", ours)
        arrival = transport.receive()
        assert arrival is not None
        assert arrival.data == b"answer"
        transport.close(reset=False)


def test_an_address_to_which_there_is_no_way_is_told_when_it_opens() -> None:
    transport = UdpTransport(_address(443, "255.255.255.255"))  # broadcasting takes a permission that nobody asked for
    with pytest.raises(OSError, match=r"denied|reach"):
        transport.is_open()
    transport.close(reset=False)
