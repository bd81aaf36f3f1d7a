import socket

import pytest

from tocsin.wire import exchange
from tocsin.wire import testing as peers
from tocsin.wire.testing import RecordingPeer, Script, answer

_REQUEST = b"POST /order HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\norder"


def _connected(peer: RecordingPeer) -> socket.socket:
    return socket.create_connection((peer.address.ip, peer.address.port), timeout=10)


def test_a_peer_without_a_script_answers_200() -> None:
    with RecordingPeer() as peer:
        assert exchange(_REQUEST, peer.address, timeout_s=10).status == 200


def test_scripts_are_followed_in_the_order_of_the_connections_and_the_last_one_goes_on() -> None:
    with RecordingPeer(Script(reply=answer(201)), Script(reply=answer(409))) as peer:
        assert [exchange(_REQUEST, peer.address, timeout_s=10).status for _ in range(3)] == [201, 409, 409]


def test_the_arrival_of_the_last_byte_is_stamped() -> None:
    with RecordingPeer() as peer, _connected(peer) as client:
        client.sendall(_REQUEST[:-1])
        (parked,) = peer.wait_until(lambda seen: bool(seen) and seen[0].received == _REQUEST[:-1])
        assert parked.completed_ns is None
        client.sendall(_REQUEST[-1:])
        (complete,) = peer.wait_until(lambda seen: seen[0].completed_ns is not None)
        assert complete.arrivals[-1] == (complete.completed_ns, len(_REQUEST))


def test_none_is_answered_before_as_many_as_asked_for_are_complete() -> None:
    with RecordingPeer(together=2) as peer, _connected(peer) as first, _connected(peer) as second:
        first.sendall(_REQUEST)
        peer.wait_until(lambda seen: any(one.completed_ns for one in seen))
        first.setblocking(False)
        with pytest.raises(BlockingIOError):
            first.recv(1)
        second.sendall(_REQUEST)
        first.settimeout(10)
        assert first.recv(12) == second.recv(12) == b"HTTP/1.1 200"


def test_what_is_no_request_is_recorded_and_never_complete() -> None:
    with RecordingPeer() as peer, _connected(peer) as client:
        client.sendall(b"\0not a request\r\n\r\n")
        peer.wait_until(lambda seen: bool(seen and seen[0].received))
        client.sendall(_REQUEST)
        (seen,) = peer.wait_until(lambda seen: seen[0].received.endswith(_REQUEST))
        assert seen.completed_ns is None


def test_a_peer_that_does_not_read_can_still_speak() -> None:
    with RecordingPeer(Script(when="opened", reply=b"hello", reads=False)) as peer, _connected(peer) as client:
        assert client.recv(5) == b"hello"


def test_waiting_in_vain_says_what_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_PATIENCE_S", 0.01)
    with RecordingPeer() as peer, pytest.raises(TimeoutError, match=r"waited 0\.01 s in vain; recorded \(\)"):
        peer.wait_until(bool)


def test_a_recording_does_not_show_what_was_received() -> None:
    with RecordingPeer() as peer:
        exchange(_REQUEST, peer.address, timeout_s=10)
        assert "order" not in repr(peer.recordings())
