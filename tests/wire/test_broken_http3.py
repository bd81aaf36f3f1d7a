"""What keeps a burst over HTTP/3 together, each with a twin that lacks it and a check that sees the difference.

And what happens to it from outside: datagrams that are lost, a server that points elsewhere, Ctrl-C.
"""

import os
import random
import socket
from collections.abc import Callable, Sequence

import pytest
from aioquic.h3.connection import ErrorCode
from aioquic.quic.packet import QuicPreferredAddress, push_quic_transport_parameters

from tests.wire.certificates import Certificates, made
from tests.wire.ctrl_c import ctrl_c
from tests.wire.h3_peer import Behaviour, H3Peer
from tocsin.wire import Burst, Delivery, deliver
from tocsin.wire import _h3_line as h3_line
from tocsin.wire._h3_line import H3Line
from tocsin.wire._quic import Flight, Quic

BurstFor = Callable[..., Burst]
_N = 20
_LONG_HEADER = 0x80  # RFC 9000 section 17.2: of handshakes


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("tls"), "localhost")


def _delivered(peer: H3Peer, burst_for: BurstFor, n: int = _N, **options: object) -> Delivery:
    return deliver(burst_for(peer.address, n, **options), peer.address, rng=random.Random(7))


_flight = Quic.flight


def _one_packet_a_member(quic: Quic, numbers: Sequence[int], now: float) -> Flight:
    """The streams are written to already; what of the others is held back here, QUIC sends with the next."""
    queue = list(quic.connection._streams_queue)
    datagrams: list[bytes] = []
    for number in numbers:
        quic.connection._streams_queue[:] = [stream for stream in queue if stream.stream_id == number]
        datagrams += _flight(quic, [number], now).datagrams
    quic.connection._streams_queue[:] = queue
    return Flight(tuple(datagrams), whole=True)


def test_a_packet_for_each_member_is_no_burst(
    certificates: Certificates, burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with H3Peer(certificates) as peer:
        delivery = _delivered(peer, burst_for)
        assert (delivery.void, delivery.datagrams) == ("", 1)
        assert [len(streams) for streams in peer.seen[0].completing] == [_N]

        monkeypatch.setattr(Quic, "flight", _one_packet_a_member)
        void = _delivered(peer, burst_for).void
        assert f"is completed by one of {_N} datagrams, where 1 would hold what was withheld" in void

        monkeypatch.setattr(h3_line, "datagrams_fault", lambda _: "")
        unseen = _delivered(peer, burst_for)
        assert (unseen.void, unseen.datagrams) == ("", _N)
        assert [len(streams) for streams in peer.seen[-1].completing] == [1] * _N


def test_more_than_may_leave_at_once_is_no_burst(
    certificates: Certificates, burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normally what leaves on one connection is kept below that; losses on the way can still make the window small."""
    monkeypatch.setattr("tocsin.wire._h3.FLIGHT_BYTES", 100_000)
    with H3Peer(certificates) as peer:
        delivery = _delivered(peer, burst_for, style="whole", body=b"a" * 2000)
        assert (delivery.connections, delivery.gate_opened_ns) == (1, None)
        assert "was not whole in what congestion control lets through at once" in delivery.void
        assert peer.seen[0].ended == []


class _Deaf(Behaviour):
    """Introduces itself, and then hears nothing."""

    greeted = False

    def greet(self) -> None:
        self.greeted = True

    def drops(self, datagram: bytes) -> bool:
        return self.greeted and not datagram[0] & _LONG_HEADER


def test_without_waiting_for_acknowledgements_the_gate_opens_before_the_server_has_the_prefixes(
    certificates: Certificates, burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with H3Peer(certificates, _Deaf) as peer:
        kept_shut = _delivered(peer, burst_for, timeout_s=2.0)
        assert "was not confirmed: the server did not acknowledge it within 2 s" in kept_shut.void
        monkeypatch.setattr(H3Line, "confirmed", property(lambda _: True))
        opened = _delivered(peer, burst_for, timeout_s=2.0)
        assert (opened.void, opened.unanswered) == ("", True)


class _LosesOne(Behaviour):
    """The first datagram that is long and not of the handshake never arrives."""

    lost = False

    def drops(self, datagram: bytes) -> bool:
        loses = not self.lost and not datagram[0] & _LONG_HEADER and len(datagram) > 500
        self.lost = self.lost or loses
        return loses


def test_a_datagram_that_is_lost_from_among_others_makes_the_burst_void(
    certificates: Certificates, burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delivered() -> Delivery:
        with H3Peer(certificates, _LosesOne) as peer:
            return _delivered(peer, burst_for, style="whole", body=b"a" * 300)

    delivery = delivered()
    assert delivery.datagrams > 1
    assert delivery.history.statuses() == {"200": _N}
    assert "had datagrams repeated after the gate opened" in delivery.void
    monkeypatch.setattr(H3Line, "repeated_fault", lambda _: "")
    assert delivered().void == ""


def test_the_only_datagram_is_lost_for_all_of_them_and_comes_again_for_all(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _LosesOne) as peer:
        delivery = _delivered(peer, burst_for, 2, style="whole", body=b"a" * 300)
        assert (delivery.void, delivery.datagrams) == ("", 1)
        assert [len(streams) for streams in peer.seen[0].completing] == [2]


def test_a_server_that_asks_for_another_address_gets_nothing_there(
    certificates: Certificates, burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9000 section 9.6: where to go is what the rails have checked, and not what a server says."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere, H3Peer(certificates) as peer:
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.setblocking(False)

        def pointing(buffer: object, parameters: object) -> None:
            if getattr(parameters, "original_destination_connection_id", None) is not None:
                preferred = QuicPreferredAddress(elsewhere.getsockname(), None, os.urandom(8), os.urandom(16))
                parameters.preferred_address = preferred  # type: ignore[attr-defined]
            push_quic_transport_parameters(buffer, parameters)  # type: ignore[arg-type]

        monkeypatch.setattr("aioquic.quic.connection.push_quic_transport_parameters", pointing)
        assert _delivered(peer, burst_for).void == ""
        with pytest.raises(BlockingIOError):
            elsewhere.recvfrom(1)


def test_an_interrupt_while_the_prefixes_are_held_drops_them(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates) as peer:
        held = ctrl_c(
            lambda: peer.wait_until(lambda seen: bool(seen) and list(seen[0].bodies.values()) == [b"orde"] * 5)
        )
        with held, pytest.raises(KeyboardInterrupt):
            _delivered(peer, burst_for, 5, hold_s=60.0)
        (seen,) = peer.wait_until(lambda seen: seen[0].closed is not None)
    assert (seen.closed, seen.ended) == (ErrorCode.H3_REQUEST_CANCELLED, [])


class _NeverAnswers(Behaviour):
    def complete(self, number: int) -> None:
        pass


def test_an_interrupt_while_answers_are_awaited_ends_the_connection(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _NeverAnswers) as peer:
        waiting = ctrl_c(lambda: peer.wait_until(lambda seen: bool(seen) and len(seen[0].ended) == 5))
        with waiting, pytest.raises(KeyboardInterrupt):
            _delivered(peer, burst_for, 5, timeout_s=60.0)
        (seen,) = peer.wait_until(lambda seen: seen[0].closed is not None)
    assert seen.closed == ErrorCode.H3_REQUEST_CANCELLED


def test_members_that_are_not_answered_in_time_are_told(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates, _NeverAnswers) as peer:
        delivery = _delivered(peer, burst_for, 3, timeout_s=2.0)
    assert delivery.unanswered
    assert {str(failure) for failure in delivery.failures} == {"timed_out"}
