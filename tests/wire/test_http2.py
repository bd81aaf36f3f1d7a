"""HTTP/2 bursts against a server that behaves, and against ones that do not: no clean burst ever comes of these."""

import random
import socket
import sys
from collections.abc import Callable

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, PingReceived
from h2.settings import SettingCodes

from tests.wire.h2_peer import HEADERS, Behaviour, H2Peer, ThreeStreams, refuse
from tocsin.wire import (
    Address,
    Burst,
    Delivery,
    DeliveryError,
    Failure,
    RequestError,
    Style,
    deliver,
    exchange,
    request_bytes,
)

BurstFor = Callable[..., Burst]
_STYLES: tuple[Style, ...] = ("last-frame", "empty-end", "whole")
_PROOF = "tcp_info" if sys.platform == "linux" else "unverified"


def _delivered(peer: H2Peer, burst_for: BurstFor, n: int = 4, **options: object) -> Delivery:
    return deliver(burst_for(peer.address, n, **options), peer.address, rng=random.Random(7))


def _kept_shut(delivery: Delivery) -> str:
    """The reason why the gate stayed shut."""
    assert delivery.gate_opened_ns is None
    assert delivery.void
    return delivery.void


@pytest.mark.parametrize("style", _STYLES)
@pytest.mark.parametrize("body", [b"order", b"x", b""])
def test_every_request_arrives_whole_and_on_one_connection(burst_for: BurstFor, style: Style, body: bytes) -> None:
    with H2Peer() as peer:
        delivery = _delivered(peer, burst_for, 20, style=style, body=body)
        assert (delivery.void, delivery.proof, delivery.connections) == ("", _PROOF, 1)
        assert (delivery.protocol, delivery.style) == ("h2c", style)
        assert delivery.history.statuses() == {"200": 20}
        assert delivery.send_skew_us == 0
        (seen,) = peer.seen
        assert list(seen.bodies.values()) == [body] * 20


@pytest.mark.parametrize(("style", "early"), [("last-frame", b"orde"), ("empty-end", b"order"), ("whole", b"")])
def test_before_the_ping_the_server_has_what_the_style_sends_early_and_no_end(
    burst_for: BurstFor, style: Style, early: bytes
) -> None:
    with H2Peer() as peer:
        assert _delivered(peer, burst_for, 3, style=style).void == ""
        (seen,) = peer.seen
    ping = next(place for place, event in enumerate(seen.events) if isinstance(event, PingReceived))
    before = [event.data for event in seen.events[:ping] if isinstance(event, DataReceived)]
    assert b"".join(before) == early * 3
    assert len(seen.ended) == 3


def test_the_order_of_the_last_frames_is_the_one_that_chance_gives(burst_for: BurstFor) -> None:
    orders = []
    for seed in (1, 1, 2):
        with H2Peer() as peer:
            deliver(burst_for(peer.address, 10), peer.address, rng=random.Random(seed))
            orders.append(peer.seen[0].ended)
    assert orders[0] == orders[1] != orders[2]


def test_members_leave_as_far_apart_as_asked_for(burst_for: BurstFor) -> None:
    with H2Peer() as peer:
        delivery = _delivered(peer, burst_for, 3, offsets_us=(0, 3000, 0))
        assert delivery.void == ""
        assert delivery.offsets_us[0] == delivery.offsets_us[2] == 0
        assert delivery.offsets_us[1] >= 3000
        assert peer.seen[0].ended[-1] == 3


def test_requests_of_different_kinds_go_together() -> None:
    with H2Peer() as peer:
        host = peer.address.authority
        requests = (request_bytes("GET", "/a", [], host=host), request_bytes("PUT", "/b?x=1", [], b"body", host=host))
        delivery = deliver(Burst(requests, ("a", "b")), peer.address, rng=random.Random(1))
        assert delivery.void == ""
        assert sorted(peer.seen[0].bodies.values()) == [b"", b"body"]


# Limits that are announced


def test_a_limit_on_streams_takes_as_many_connections_as_needed_and_is_told(burst_for: BurstFor) -> None:
    with H2Peer(ThreeStreams()) as peer:
        delivery = _delivered(peer, burst_for, 8)
        assert (delivery.void, delivery.connections) == ("", 3)
        assert delivery.choice.endswith(
            "3 connections with at most 3 requests each, because of the streams that the server allows"
        )
        assert sorted(len(seen.ended) for seen in peer.seen) == [2, 3, 3]


def test_every_node_gets_a_connection_of_its_own(burst_for: BurstFor) -> None:
    with H2Peer() as first, H2Peer() as second:
        burst = burst_for(first.address, 5)
        nodes = (first.address, second.address)
        delivery = deliver(burst, first.address, rng=random.Random(7), nodes=nodes)
        assert (delivery.void, delivery.connections) == ("", 2)
        assert delivery.choice.endswith("2 connections with at most 3 requests each, one for each node at least")
        assert sorted(len(peer.seen[0].ended) for peer in (first, second)) == [2, 3]


class NoStreams(Behaviour):
    def greet(self, connection: H2Connection) -> None:
        connection.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 0
        connection.local_settings.acknowledge()
        connection.initiate_connection()


def test_a_server_that_allows_no_stream_gets_no_burst(burst_for: BurstFor) -> None:
    with H2Peer(NoStreams()) as peer:
        assert _kept_shut(_delivered(peer, burst_for)) == "the server allows no stream at all"


def test_a_limit_that_differs_from_connection_to_connection_is_no_plan(burst_for: BurstFor) -> None:
    with H2Peer(ThreeStreams(), NoStreams()) as peer:
        void = _kept_shut(_delivered(peer, burst_for, 6))
    assert void == "the server allowed 3 streams on one connection and 0 on another"


# Servers that do not do as they say


class RefusesTheFourth(Behaviour):
    def headers(self, connection: H2Connection, number: int) -> None:
        if number > 5:
            refuse(connection, number)


def test_a_stream_that_is_refused_before_the_gate_makes_the_burst_void(burst_for: BurstFor) -> None:
    with H2Peer(RefusesTheFourth()) as peer:
        assert "was refused by the server before the gate opened" in _kept_shut(_delivered(peer, burst_for))


class RefusesLate(Behaviour):
    def complete(self, connection: H2Connection, number: int) -> None:
        (refuse if number == 5 else self.answer)(connection, number)


def test_a_stream_that_is_refused_after_the_gate_did_not_run_and_makes_the_burst_void(burst_for: BurstFor) -> None:
    with H2Peer(RefusesLate()) as peer:
        delivery = _delivered(peer, burst_for)
    assert delivery.void.endswith("was refused by the server, so it did not run")
    assert sorted(map(str, delivery.failures)) == ["None", "None", "None", "stream_refused"]


class ResetsLate(Behaviour):
    def complete(self, connection: H2Connection, number: int) -> None:
        connection.reset_stream(number, ErrorCodes.INTERNAL_ERROR)


def test_a_stream_that_is_reset_after_the_gate_is_a_member_without_an_answer(burst_for: BurstFor) -> None:
    with H2Peer(ResetsLate()) as peer:
        delivery = _delivered(peer, burst_for)
    assert delivery.unanswered
    assert set(delivery.failures) == {Failure.CLOSED}


class AnswersHeaders(Behaviour):
    def headers(self, connection: H2Connection, number: int) -> None:
        connection.send_headers(number, HEADERS)

    def complete(self, connection: H2Connection, number: int) -> None:
        connection.send_data(number, b"ok", end_stream=True)


def test_even_the_head_of_an_early_answer_makes_the_burst_void(burst_for: BurstFor) -> None:
    with H2Peer(AnswersHeaders()) as peer:
        assert "was answered 200 before the gate opened" in _kept_shut(_delivered(peer, burst_for))


class ActsOnContentLength(Behaviour):
    """Answers once it has as many bytes as Content-Length says, whether or not the stream has ended."""

    def __init__(self) -> None:
        self.length: dict[int, int] = {}

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        super().data(connection, event)
        self.length[event.stream_id] = self.length.get(event.stream_id, 0) + len(event.data)
        if self.length[event.stream_id] == len(b"order"):
            self.answer(connection, event.stream_id)

    def complete(self, connection: H2Connection, number: int) -> None:
        pass


def test_one_member_tells_whether_a_server_waits_for_an_empty_end(burst_for: BurstFor) -> None:
    """The canary: a burst of one."""
    with H2Peer(ActsOnContentLength()) as peer:
        assert "before the gate" in _kept_shut(_delivered(peer, burst_for, 1, style="empty-end"))
    with H2Peer(ActsOnContentLength()) as peer:
        assert _delivered(peer, burst_for, style="last-frame").void == ""
    with H2Peer() as peer:
        assert _delivered(peer, burst_for, 1, style="empty-end").void == ""


class TinyWindow(Behaviour):
    """Lets two bytes of each body through, and never more."""

    def greet(self, connection: H2Connection) -> None:
        connection.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = 2
        connection.local_settings.acknowledge()
        connection.initiate_connection()

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        pass


@pytest.mark.parametrize("style", _STYLES)
def test_a_window_that_never_opens_makes_the_burst_void(burst_for: BurstFor, style: Style) -> None:
    with H2Peer(TinyWindow()) as peer:
        void = _kept_shut(_delivered(peer, burst_for, style=style, timeout_s=0.2))
    assert "did not fit into the server's flow-control window within 0.2 s (and 3 more with it)" in void


class SlowWindow(TinyWindow):
    """The same, but what has been read makes room."""

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        if event.flow_controlled_length:
            connection.increment_flow_control_window(event.flow_controlled_length, event.stream_id)


@pytest.mark.parametrize("style", ["last-frame", "empty-end"])
def test_a_small_window_that_opens_again_only_takes_longer(burst_for: BurstFor, style: Style) -> None:
    with H2Peer(SlowWindow()) as peer:
        delivery = _delivered(peer, burst_for, style=style)
        assert (delivery.void, delivery.history.statuses()) == ("", {"200": 4})
        assert list(peer.seen[0].bodies.values()) == [b"order"] * 4


def test_bodies_larger_than_the_connections_window_wait_for_room(burst_for: BurstFor) -> None:
    with H2Peer() as peer:
        assert _delivered(peer, burst_for, body=b"a" * 100_000).void == ""
        assert [len(body) for body in peer.seen[0].bodies.values()] == [100_000] * 4


class SaysGoodbye(Behaviour):
    def data(self, connection: H2Connection, _event: DataReceived) -> None:
        connection.close_connection(last_stream_id=3)


def test_a_goodbye_before_the_gate_makes_the_burst_void(burst_for: BurstFor) -> None:
    with H2Peer(SaysGoodbye()) as peer:
        assert "before the gate opened" in _kept_shut(_delivered(peer, burst_for))


class SaysGoodbyeToLaterOnes(Behaviour):
    def headers(self, _connection: H2Connection, number: int) -> None:
        self.last = number

    def raw(self) -> bytes:
        return (8).to_bytes(3, "big") + b"\x07\0\0\0\0\0" + (2**31 - 1).to_bytes(4, "big") + bytes(4)


def test_a_goodbye_that_lets_all_streams_through_makes_the_burst_void_all_the_same(burst_for: BurstFor) -> None:
    """The connection may end at any moment, and the gate has not been opened yet."""
    with H2Peer(SaysGoodbyeToLaterOnes()) as peer:
        void = _kept_shut(_delivered(peer, burst_for))
    assert "was on a connection that the server is about to end" in void


class AnswersOneAndSaysGoodbye(Behaviour):
    def complete(self, connection: H2Connection, number: int) -> None:
        if number == 1:
            self.answer(connection, number)
        connection.close_connection(last_stream_id=1)


def test_what_comes_after_the_last_stream_of_a_goodbye_did_not_run(burst_for: BurstFor) -> None:
    with H2Peer(AnswersOneAndSaysGoodbye()) as peer:
        delivery = _delivered(peer, burst_for)
    assert "was refused by the server, so it did not run" in delivery.void


class HangsUp(Behaviour):
    def headers(self, _connection: H2Connection, _number: int) -> None:
        raise ConnectionResetError


def test_a_server_that_hangs_up_before_the_gate_makes_the_burst_void(burst_for: BurstFor) -> None:
    with H2Peer(HangsUp()) as peer:
        assert "was cut off before the gate opened (and 3 more with it)" in _kept_shut(_delivered(peer, burst_for))


class HangsUpAtTheEnd(Behaviour):
    def complete(self, _connection: H2Connection, _number: int) -> None:
        raise ConnectionResetError


def test_a_server_that_hangs_up_after_the_gate_leaves_the_burst_unanswered(burst_for: BurstFor) -> None:
    with H2Peer(HangsUpAtTheEnd()) as peer:
        delivery = _delivered(peer, burst_for)
    assert delivery.unanswered
    assert set(delivery.failures) == {Failure.CLOSED}


class TalksNonsense(Behaviour):
    def raw(self) -> bytes:
        return b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"


def test_what_is_not_http_2_makes_the_burst_void(burst_for: BurstFor) -> None:
    with H2Peer(TalksNonsense()) as peer:
        try:
            void = _kept_shut(_delivered(peer, burst_for))
        except DeliveryError as error:  # it came with the settings, so that no connection ever opened
            void = str(error)
    assert "not HTTP" in void


def test_a_server_that_never_introduces_itself_is_no_connection(burst_for: BurstFor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("http", "h", silent.getsockname()[1], "127.0.0.1", protocol="h2c")
        with pytest.raises(DeliveryError, match=r"no connection within 0\.2 s") as error:
            deliver(burst_for(address, timeout_s=0.2), address, rng=random.Random(1))
    assert error.value.kind is Failure.TIMED_OUT


def test_a_style_of_the_other_protocol_is_refused_before_anything_is_sent(burst_for: BurstFor) -> None:
    with H2Peer() as peer:
        with pytest.raises(RequestError, match="'last-byte' does not go with h2c; wanted one of last-frame, empty-end"):
            _delivered(peer, burst_for, style="last-byte")
        assert peer.seen == []


# Exchanges


def test_an_exchange_takes_http_2_as_well() -> None:
    with H2Peer() as peer:
        request = request_bytes("POST", "/order", [("X-A", "b")], b"a" * 200_000, host="h")
        response = exchange(request, peer.address, timeout_s=10)
        assert (response.status, response.body, response.values("Content-Length")) == (200, b"ok", ("2",))
        assert list(peer.seen[0].bodies.values()) == [b"a" * 200_000]


def test_a_refused_exchange_was_not_sent_as_far_as_its_effects_go() -> None:
    class Refuses(Behaviour):
        def complete(self, connection: H2Connection, number: int) -> None:
            refuse(connection, number)

    with H2Peer(Refuses()) as peer, pytest.raises(DeliveryError, match="the server refused the stream") as error:
        exchange(request_bytes("POST", "/", [], b"x", host="h"), peer.address, timeout_s=10)
    assert (error.value.kind, error.value.request_sent) == (Failure.STREAM_REFUSED, False)
    assert error.value.can_retry


def test_an_answer_larger_than_the_cap_is_no_answer() -> None:
    class Floods(Behaviour):
        def complete(self, connection: H2Connection, number: int) -> None:
            connection.send_headers(number, [(":status", "200")])
            while (room := connection.local_flow_control_window(number)) > 0:
                connection.send_data(number, b"a" * min(room, 16_384))

    with H2Peer(Floods()) as peer, pytest.raises(DeliveryError, match="larger than the cap"):
        exchange(request_bytes("GET", "/", [], host="h"), peer.address, timeout_s=10)


def test_an_exchange_with_a_silent_server_ends_in_time() -> None:
    class Silent(Behaviour):
        def complete(self, connection: H2Connection, number: int) -> None:
            pass

    with H2Peer(Silent()) as peer, pytest.raises(DeliveryError, match=r"no complete answer within 0\.2 s") as error:
        exchange(request_bytes("GET", "/", [], host="h"), peer.address, timeout_s=0.2)
    assert error.value.request_sent


class LastFirst(Behaviour):
    """Answers all four in one write, the last of them first."""

    def __init__(self) -> None:
        self.complete_so_far: list[int] = []

    def complete(self, connection: H2Connection, number: int) -> None:
        self.complete_so_far.append(number)
        if len(self.complete_so_far) == 4:
            for place in sorted(self.complete_so_far, reverse=True):
                self.answer(connection, place)


def test_answers_in_one_segment_are_told_apart_by_their_frames(burst_for: BurstFor) -> None:
    with H2Peer(LastFirst) as peer:
        delivery = _delivered(peer, burst_for)
    assert delivery.void == ""
    assert delivery.order == (3, 2, 1, 0)


def test_a_member_without_an_answer_has_no_place_in_the_order(burst_for: BurstFor) -> None:
    class RefusesTheSecond(Behaviour):
        def complete(self, connection: H2Connection, number: int) -> None:
            (refuse if number == 3 else self.answer)(connection, number)

    with H2Peer(RefusesTheSecond) as peer:
        order = _delivered(peer, burst_for).order
    assert order[1] is None
    assert sorted(rank for rank in order if rank is not None) == [0, 1, 2]
