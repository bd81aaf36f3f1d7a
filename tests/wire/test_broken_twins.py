"""Engines that look like ours and do not deliver together. Each must be caught by the check named for it."""

import functools
import random
import select
import sys
import threading
from collections.abc import Callable

import pytest
from h2.connection import H2Connection

from tests.wire.h2_peer import Behaviour, H2Peer, ThreeStreams, refuse
from tocsin.wire import Burst, Delivery, deliver
from tocsin.wire import _account as account
from tocsin.wire import _carry as carry
from tocsin.wire import _engine as engine
from tocsin.wire._account import Account
from tocsin.wire._gate import Gate, Release
from tocsin.wire._h1 import Split
from tocsin.wire._h2_line import H2Line
from tocsin.wire._line import Line
from tocsin.wire.testing import RecordingPeer, Script, answer

BurstFor = Callable[..., Burst]
_N = 4
_needs_counters = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts data segments per connection")


def _all_up_front(request: bytes) -> Split:
    return Split(request, b"")


def _two_bytes(request: bytes) -> Split:
    return Split(request[:-2], request[-2:])


class _InTwoSegments(Gate):
    """Sends what is withheld a byte at a time."""

    def __init__(self, releases: list[Release], *_: object, **__: object) -> None:
        def split(send: Callable[[bytes], int], data: bytes) -> int:
            return send(data[:1]) + send(data[1:])

        super().__init__([(functools.partial(split, send), withheld) for send, withheld in releases])


class _OneAfterAnother(Gate):
    """Waits for each answer before it releases the next member, and gives up where none comes."""

    def __init__(self, releases: list[Release], *_: object, **__: object) -> None:
        self._gave_up = False

        def send_and_wait(send: Callable[[bytes], int], data: bytes) -> int:
            if self._gave_up:
                raise TimeoutError
            taken = send(data)
            self._gave_up = not select.select([send.__self__], [], [], 0.2)[0]  # type: ignore[attr-defined]
            return taken

        # What only wakes the server has no answer.
        wake, *others = releases
        super().__init__([wake, *((functools.partial(send_and_wait, send), withheld) for send, withheld in others)])


def _deliver(peer: RecordingPeer, burst_for: BurstFor, *, timeout_s: float = 10.0) -> Delivery:
    return deliver(burst_for(peer.address, _N, timeout_s=timeout_s), peer.address, rng=random.Random(7))


def _none_complete_before_the_gate(peer: RecordingPeer, delivery: Delivery) -> bool:
    opened_ns = delivery.gate_opened_ns
    return all(
        seen.completed_ns is None or (opened_ns is not None and seen.completed_ns >= opened_ns)
        for seen in peer.recordings()
    )


def _all_answered_when_none_is_answered_before_all_are_complete(burst_for: BurstFor, *, timeout_s: float) -> bool:
    with RecordingPeer(together=_N) as peer:
        return _deliver(peer, burst_for, timeout_s=timeout_s).history.statuses() == {"200": _N}


def test_the_engine_itself_passes_every_check(burst_for: BurstFor) -> None:
    with RecordingPeer(together=_N) as peer:
        delivery = _deliver(peer, burst_for)
        assert delivery.void == ""
        assert delivery.history.most_in_flight() == _N
        assert _none_complete_before_the_gate(peer, delivery)
    assert _all_answered_when_none_is_answered_before_all_are_complete(burst_for, timeout_s=10)


def test_whole_requests_up_front_are_void_where_the_server_answers_at_once(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry, "last_byte", _all_up_front)
    with RecordingPeer() as peer:
        delivery = _deliver(peer, burst_for)
        assert "was answered 200 before the gate opened" in delivery.void
        assert not _none_complete_before_the_gate(peer, delivery)


@_needs_counters
def test_whole_requests_up_front_are_void_where_the_server_takes_its_time(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry, "last_byte", _all_up_front)
    with RecordingPeer(Script(then="keep")) as peer:
        delivery = _deliver(peer, burst_for, timeout_s=0.5)
        assert "sent 0 segments at the gate, where 1 was due" in delivery.void
        assert not _none_complete_before_the_gate(peer, delivery)


@_needs_counters
def test_a_release_in_two_segments_is_void(burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carry, "last_byte", _two_bytes)
    monkeypatch.setattr(engine, "Gate", _InTwoSegments)
    with RecordingPeer() as peer:
        delivery = _deliver(peer, burst_for)
        assert f"sent 2 segments at the gate, where 1 was due (and {_N - 1} more with it)" in delivery.void


def test_releases_that_wait_for_each_answer_leave_a_server_that_waits_for_all_with_none(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "Gate", _OneAfterAnother)
    assert not _all_answered_when_none_is_answered_before_all_are_complete(burst_for, timeout_s=0.5)


@_needs_counters
def test_releases_that_wait_for_each_answer_are_never_all_in_flight_together(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "Gate", _OneAfterAnother)
    with RecordingPeer() as peer:
        # Two at most: an answer counts as there once the segment is there that ends its connection.
        assert _deliver(peer, burst_for).history.most_in_flight() <= 2


def test_an_engine_that_does_not_look_before_it_opens_the_gate_counts_early_answers(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the check for early answers is for: without it this burst would pass for a delivered one."""
    with RecordingPeer(Script(when="begun", reply=answer(400), then="keep")) as peer:
        assert _deliver(peer, burst_for).void != ""
        monkeypatch.setattr(Account, "early", lambda *_: "")
        assert _deliver(peer, burst_for).void == ""


# HTTP/2: n requests on one connection have to leave in one write.


class _AWriteEach(Gate):
    """Sends every final frame by itself: n independent requests, on one connection."""

    def __init__(self, releases: list[Release], *_: object, **__: object) -> None:
        def frames(send: Callable[[bytes], int], data: bytes) -> int:
            size = len(data) // _N
            return sum(send(data[start : start + size]) for start in range(0, len(data), size))

        super().__init__([(functools.partial(frames, send), withheld) for send, withheld in releases])


@_needs_counters
def test_a_write_for_every_final_frame_is_void(burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch) -> None:
    with H2Peer() as peer:
        assert deliver(burst_for(peer.address, _N), peer.address, rng=random.Random(7)).void == ""
        monkeypatch.setattr(engine, "Gate", _AWriteEach)
        void = deliver(burst_for(peer.address, _N), peer.address, rng=random.Random(7)).void
    assert f"sent {_N} segments at the gate, where 1 was due" in void


class _ReadsNothingUntilAsked(Behaviour):
    """Sends its settings, and then waits for the test."""

    def __init__(self) -> None:
        self.may_read = threading.Event()

    def raw(self) -> bytes:
        self.may_read.wait(10)
        return b""


def test_without_waiting_for_the_ping_the_gate_opens_before_the_server_has_read_the_prefixes(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has them and says so; the server is busy. Only its answer to a PING tells the two apart."""

    def delivered() -> Delivery:
        behaviour = _ReadsNothingUntilAsked()
        with H2Peer(behaviour) as peer:
            delivery = deliver(burst_for(peer.address, _N, timeout_s=0.3), peer.address, rng=random.Random(7))
            behaviour.may_read.set()
        return delivery

    assert "the server answered no PING within 0.3 s" in delivered().void
    monkeypatch.setattr(H2Line, "parking", Line.parking)
    assert delivered().void == ""


def test_a_burst_that_takes_a_refused_stream_for_a_refusal_would_be_clean(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RefusesAllButOne(Behaviour):
        def complete(self, connection: H2Connection, number: int) -> None:
            (self.answer if number == 1 else refuse)(connection, number)

    with H2Peer(RefusesAllButOne()) as peer:
        assert deliver(burst_for(peer.address, _N), peer.address, rng=random.Random(7)).void != ""
        monkeypatch.setattr(account, "refused_fault", lambda _: "")
        assert deliver(burst_for(peer.address, _N), peer.address, rng=random.Random(7)).void == ""


def test_a_client_that_does_not_wait_for_the_servers_limit_has_its_streams_refused(
    burst_for: BurstFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the server's SETTINGS have come, there is no limit to obey."""
    with H2Peer(ThreeStreams()) as peer:
        assert deliver(burst_for(peer.address, 8), peer.address, rng=random.Random(7)).connections == 3
    monkeypatch.setattr(H2Line, "opened", property(lambda line: line.connected))
    with H2Peer(ThreeStreams()) as peer:
        assert deliver(burst_for(peer.address, 8), peer.address, rng=random.Random(7)).void != ""
