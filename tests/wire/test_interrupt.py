"""Ctrl-C at any point of a burst closes every connection, so that no server keeps half a request."""

import random
from collections.abc import Callable

import pytest

from tests.wire.ctrl_c import ctrl_c
from tocsin.wire import Burst, deliver, exchange
from tocsin.wire import _engine as engine
from tocsin.wire._gate import Gate, Opening, Release
from tocsin.wire.testing import Recording, RecordingPeer, Script

BurstFor = Callable[..., Burst]


def _assert_nothing_left(peer: RecordingPeer, n: int) -> tuple[Recording, ...]:
    seen = peer.wait_ended(n)
    assert {one.ended for one in seen} == {"reset"}
    return seen


def test_an_interrupt_while_the_prefixes_are_held_drops_them(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer() as peer:
        burst = burst_for(peer.address, 5, hold_s=60.0)
        held = ctrl_c(lambda: peer.wait_until(lambda seen: len(seen) == 5 and all(one.received for one in seen)))
        with held, pytest.raises(KeyboardInterrupt):
            deliver(burst, peer.address, rng=rng)
        assert all(one.completed_ns is None for one in _assert_nothing_left(peer, 5))


def test_an_interrupt_while_answers_are_awaited_drops_the_connections(burst_for: BurstFor, rng: random.Random) -> None:
    with RecordingPeer(Script(then="keep")) as peer:
        burst = burst_for(peer.address, 5, timeout_s=60.0)
        delivered = ctrl_c(lambda: peer.wait_until(lambda seen: sum(one.completed_ns is not None for one in seen) == 5))
        with delivered, pytest.raises(KeyboardInterrupt):
            deliver(burst, peer.address, rng=rng)
        _assert_nothing_left(peer, 5)


def test_an_interrupt_in_the_middle_of_the_gate_drops_those_that_were_not_released(
    burst_for: BurstFor, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Gate):
        def __init__(self, releases: list[Release], *_: object, **__: object) -> None:
            self._half = releases[: len(releases) // 2]
            super().__init__(releases)

        def open(self) -> Opening:
            for send, withheld in self._half:
                send(withheld)
            raise KeyboardInterrupt

    monkeypatch.setattr(engine, "Gate", Interrupted)
    with RecordingPeer(Script(then="keep")) as peer:
        with pytest.raises(KeyboardInterrupt):
            deliver(burst_for(peer.address, 4), peer.address, rng=rng)
        seen = _assert_nothing_left(peer, 4)
        assert sum(one.completed_ns is None for one in seen) >= 2


def test_an_interrupt_during_an_exchange_drops_the_connection() -> None:
    with RecordingPeer(Script(then="keep")) as peer:
        arrived = ctrl_c(lambda: peer.wait_until(lambda seen: bool(seen) and seen[0].completed_ns is not None))
        with arrived, pytest.raises(KeyboardInterrupt):
            exchange(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", peer.address, timeout_s=60)
        _assert_nothing_left(peer, 1)
