import errno
import os
import random
import socket
import sys
from collections.abc import Callable, Sequence

import pytest

from tocsin.wire import Address, Burst, Delivery, DeliveryError, Failure, RequestError, Style, deliver
from tocsin.wire import _engine as engine
from tocsin.wire._gate import Gate, Opening, Release
from tocsin.wire._response import MAX_BODY_BYTES
from tocsin.wire._sockets import TcpTransport
from tocsin.wire._transports import TRANSPORTS
from tocsin.wire.testing import RecordingPeer, Script, answer

BurstFor = Callable[..., Burst]
_EARLY = Script(when="begun", reply=answer(400))
_PROOF = "tcp_info" if sys.platform == "linux" else "unverified"


def _assert_kept_shut(delivery: Delivery, peer: RecordingPeer) -> None:
    """The gate was not opened: no request was completed, and no half of one is left with the server."""
    assert delivery.gate_opened_ns is None
    assert (len(delivery.history), delivery.send_skew_us, delivery.proof) == (0, 0, "unverified")
    assert not delivery.unanswered
    assert all(seen.completed_ns is None for seen in peer.wait_ended(len(delivery.responses)))


def test_every_request_arrives_unchanged_and_is_answered(burst_for: BurstFor, rng: random.Random) -> None:
    scripts = [Script(reply=answer(200, str(place).encode())) for place in range(20)]
    with RecordingPeer(*scripts, together=20) as peer:
        burst = burst_for(peer.address, 20)
        delivery = deliver(burst, peer.address, rng=rng)
        assert (delivery.void, delivery.proof) == ("", _PROOF)
        assert [response and response.body for response in delivery.responses] == [b"%d" % n for n in range(20)]
        assert delivery.failures == (None,) * 20
        assert tuple(seen.received for seen in peer.recordings()) == burst.requests


def test_no_request_is_complete_before_the_gate_opens(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(together=20) as peer:
        burst = burst_for(peer.address, 20)
        delivery = deliver(burst, peer.address, rng=rng)
        assert delivery.gate_opened_ns is not None
        last = burst.requests[burst.labels.index([operation.label for operation in delivery.history][-1])]
        for seen, request in zip(peer.recordings(), burst.requests, strict=True):
            assert seen.completed_ns is not None
            assert seen.completed_ns >= delivery.gate_opened_ns
            missing = len(request) - [length for at, length in seen.arrivals if at < delivery.gate_opened_ns][-1]
            # The one that is completed last may not have its waking byte yet.
            assert missing in ({1, 2} if request is last else {1})


@pytest.mark.parametrize("style", ["last-byte", "whole", "threads"])
def test_in_the_usual_style_the_last_request_to_leave_first_wakes_the_server_with_a_byte_that_completes_nothing(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch, style: Style
) -> None:
    writes: list[list[tuple[object, int]]] = []

    class Noting(Gate):
        def __init__(self, releases: Sequence[Release], *more: object, **options: object) -> None:
            writes.append([(send.__self__, len(octets)) for send, octets in releases])  # type: ignore[attr-defined]
            super().__init__(releases, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "Gate", Noting)
    with RecordingPeer() as peer:
        together = deliver(burst_for(peer.address, 3, style=style), peer.address, rng=random.Random(7))
        apart = deliver(
            burst_for(peer.address, 3, style=style, offsets_us=(0, 50, 90)), peer.address, rng=random.Random(7)
        )
        alone = deliver(burst_for(peer.address, 1, style=style), peer.address, rng=random.Random(7))
    assert [one.void for one in (together, apart, alone)] == ["", "", ""]
    assert [len(found) for found in writes] == [3 + (style == "last-byte"), 3, 1]
    if style == "last-byte":
        assert writes[0][0] == writes[0][-1]
        assert {size for _, size in writes[0]} == {1}
        assert next(operation.called_at_us for operation in together.history) == 0


def test_the_history_tells_of_all_of_them_in_the_order_of_their_release(
    burst_for: BurstFor, rng: random.Random
) -> None:
    with RecordingPeer(together=20) as peer:
        burst = burst_for(peer.address, 20)
        delivery = deliver(burst, peer.address, rng=rng)
    called = [operation.called_at_us for operation in delivery.history]
    assert called == sorted(called)
    assert (called[0], called[-1]) == (0, delivery.send_skew_us)
    assert delivery.history.statuses() == {"200": 20}
    assert delivery.history.most_in_flight() == 20
    labels = [operation.label for operation in delivery.history]
    assert labels != list(burst.labels)
    assert sorted(labels) == sorted(burst.labels)


def test_the_order_of_release_is_the_one_that_chance_gives(burst_for: BurstFor) -> None:
    with RecordingPeer() as peer:
        burst = burst_for(peer.address, 10, hold_s=0.0)
        orders = [
            [operation.label for operation in deliver(burst, peer.address, rng=random.Random(seed)).history]
            for seed in (1, 1, 2)
        ]
    assert orders[0] == orders[1] != orders[2]


def test_every_burst_has_connections_of_its_own(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer() as peer:
        for _ in range(2):
            deliver(burst_for(peer.address, 3, hold_s=0.0), peer.address, rng=rng)
        assert len(peer.recordings()) == 6


def test_an_interim_answer_is_not_an_early_one(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(Script(when="begun", reply=b"HTTP/1.1 100 Continue\r\n\r\n", then="keep")) as peer:
        delivery = deliver(burst_for(peer.address, timeout_s=0.2), peer.address, rng=rng)
    assert delivery.void == ""
    assert delivery.failures == (Failure.TIMED_OUT, Failure.TIMED_OUT)


def test_an_early_answer_makes_the_burst_void(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(Script(reply=answer()), _EARLY, _EARLY) as peer:
        delivery = deliver(burst_for(peer.address, 3), peer.address, rng=rng)
        _assert_kept_shut(delivery, peer)
    assert delivery.void.startswith("member 2 of 3, 'POST /order order-1', was answered 400 before the gate opened")
    assert delivery.void.endswith("(and 1 more with it)")
    assert [response and response.status for response in delivery.responses] == [None, 400, 400]


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_connection_that_ends_before_the_gate_makes_the_burst_void(
    burst_for: BurstFor, rng: random.Random, then: str
) -> None:
    with RecordingPeer(Script(reply=answer()), Script(when="begun", then=then)) as peer:  # type: ignore[arg-type]
        delivery = deliver(burst_for(peer.address), peer.address, rng=rng)
        _assert_kept_shut(delivery, peer)
    assert delivery.void == "member 2 of 2, 'POST /order order-1', was cut off before the gate opened"
    assert delivery.failures == (None, Failure.CLOSED)


def test_a_peer_that_speaks_first_makes_the_burst_void(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(Script(when="opened", reply=b"220 mail ready\r\n\r\n", then="keep")) as peer:
        delivery = deliver(burst_for(peer.address), peer.address, rng=rng)
        _assert_kept_shut(delivery, peer)
    # Of the first connection, or of both: the second greeting may come after the first has decided.
    assert "was sent something that is not HTTP before the gate opened" in delivery.void


def test_a_connection_that_does_not_open_makes_the_burst_void(burst_for: BurstFor, rng: random.Random) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port: int = listener.getsockname()[1]
        burst = burst_for(Address("http", "h", port, "127.0.0.1"), 8, timeout_s=0.3)
        delivery = deliver(burst, Address("http", "h", port, "127.0.0.1"), rng=rng)
    assert "could not connect: nothing came in time" in delivery.void
    assert delivery.gate_opened_ns is None
    assert None in delivery.failures
    assert Failure.TIMED_OUT in delivery.failures


def test_a_prefix_that_the_server_does_not_take_makes_the_burst_void(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(Script(reply=answer()), Script(reads=False)) as peer:
        burst = burst_for(peer.address, timeout_s=0.3, body=b"a" * 20_000_000)
        delivery = deliver(burst, peer.address, rng=rng)
        assert delivery.gate_opened_ns is None
    assert "of its prefix to send after 0.3 s" in delivery.void


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what has been acknowledged")
def test_a_prefix_that_waits_in_our_own_kernel_makes_the_burst_void(burst_for: BurstFor, rng: random.Random) -> None:
    """Our kernel takes more than the server's has room for; a byte sent at the gate would queue behind that."""
    with RecordingPeer(Script(reads=False)) as peer:
        delivery = deliver(burst_for(peer.address, 1, body=b"a" * 1_000_000), peer.address, rng=rng)
        assert delivery.gate_opened_ns is None
    assert "a prefix that the server's kernel did not acknowledge in time" in delivery.void


def test_a_connection_that_ends_just_as_the_gate_opens_makes_the_burst_void(
    burst_for: BurstFor, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutOff(Gate):
        def __init__(self, releases: list[Release], *_: object, **__: object) -> None:
            self._first = releases[0][0]
            super().__init__(releases)

        def open(self) -> Opening:
            self._first.__self__.shutdown(socket.SHUT_WR)  # type: ignore[attr-defined]  # a socket's bound method
            return super().open()

    monkeypatch.setattr(engine, "Gate", CutOff)
    with RecordingPeer() as peer:
        delivery = deliver(burst_for(peer.address), peer.address, rng=rng)
    assert "was cut off just as the gate opened" in delivery.void
    assert sorted(delivery.history.statuses().values()) == [1, 1]


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (Script(then="close"), Failure.CLOSED),
        (Script(then="reset"), Failure.CLOSED),
        (Script(then="keep"), Failure.TIMED_OUT),
        (Script(reply=b"garbage\r\n\r\n"), Failure.NOT_HTTP),
        (Script(reply=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Failure.CLOSED),
        (Script(reply=answer(200, b"a" * (MAX_BODY_BYTES + 1))), Failure.TOO_LARGE),
    ],
)
def test_a_member_without_an_answer_was_delivered_all_the_same(
    burst_for: BurstFor, rng: random.Random, script: Script, failure: Failure
) -> None:
    with RecordingPeer(Script(reply=answer()), script) as peer:
        timeout_s = 1.0 if failure is Failure.TIMED_OUT else 10.0
        delivery = deliver(burst_for(peer.address, timeout_s=timeout_s), peer.address, rng=rng)
    assert delivery.void == ""
    assert delivery.failures == (None, failure)
    assert delivery.responses[1] is None
    assert not delivery.unanswered
    silent = [operation for operation in delivery.history if operation.label == "POST /order order-1"]
    assert [(operation.returned_at_us, operation.status) for operation in silent] == [(None, None)]


def test_a_service_that_dies_during_a_burst_leaves_it_unanswered(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(Script(then="reset"), together=5) as peer:
        delivery = deliver(burst_for(peer.address, 5), peer.address, rng=rng)
    assert delivery.unanswered
    assert delivery.history.statuses() == {"none": 5}


def test_an_answer_may_come_a_byte_at_a_time(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(Script(reply=answer(200, b"slowly"), piece_bytes=1)) as peer:
        delivery = deliver(burst_for(peer.address), peer.address, rng=rng)
    assert [response and response.body for response in delivery.responses] == [b"slowly", b"slowly"]


def test_without_one_connection_there_is_no_delivery(burst_for: BurstFor, rng: random.Random) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = Address("http", "localhost", bound.getsockname()[1], "127.0.0.1")
        with pytest.raises(DeliveryError, match="refused") as error:
            deliver(burst_for(address), address, rng=rng)
    assert (error.value.kind, error.value.can_retry, error.value.request_sent) == (Failure.REFUSED, True, False)


def test_a_machine_that_runs_out_of_sockets_closes_those_it_had(
    burst_for: BurstFor, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [TcpTransport, TcpTransport]

    def scarce(address: Address) -> TcpTransport:
        if not left:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return left.pop()(address)

    monkeypatch.setitem(TRANSPORTS, "http", scarce)
    with RecordingPeer() as peer:
        with pytest.raises(DeliveryError, match="limit on open files") as error:
            deliver(burst_for(peer.address, 3), peer.address, rng=rng)
        assert error.value.kind is Failure.EXHAUSTED
        assert len(peer.wait_ended(2)) == 2


def test_a_request_that_cannot_be_held_back_is_refused_before_anything_is_sent(rng: random.Random) -> None:
    with RecordingPeer() as peer:
        with pytest.raises(RequestError, match="needs Content-Length"):
            deliver(
                Burst((b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",), ("a",)),
                peer.address,
                rng=rng,
            )
        assert peer.recordings() == ()


def test_where_the_kernel_counts_nothing_the_delivery_is_called_unverified(
    burst_for: BurstFor, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with RecordingPeer(together=2) as peer:
        delivery = deliver(burst_for(peer.address), peer.address, rng=rng)
    assert (delivery.void, delivery.proof) == ("", "unverified")
