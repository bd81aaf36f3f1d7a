"""HTTP/3 bursts against a server that behaves, and against ones that do not: no clean burst ever comes of these."""

import random
from collections.abc import Callable

import pytest
from aioquic.h3.connection import ErrorCode
from aioquic.quic.packet import QuicErrorCode

from tests.wire.asgi import Recorder, hypercorn
from tests.wire.certificates import Certificates, made
from tests.wire.h3_peer import Behaviour, H3Peer
from tocsin.wire import (
    Burst,
    Delivery,
    DeliveryError,
    Failure,
    Style,
    deliver,
    exchange,
    request_bytes,
)

BurstFor = Callable[..., Burst]
_STYLES: tuple[Style, ...] = ("last-frame", "empty-end", "whole")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


def _delivered(peer: H3Peer, burst_for: BurstFor, n: int = 4, **options: object) -> Delivery:
    return deliver(burst_for(peer.address, n, **options), peer.address, rng=random.Random(7))


def _kept_shut(delivery: Delivery) -> str:
    """The reason why the gate stayed shut."""
    assert delivery.gate_opened_ns is None
    assert delivery.void
    return delivery.void


@pytest.mark.parametrize("style", _STYLES)
@pytest.mark.parametrize("n", [2, 20, 30])
def test_every_request_arrives_whole_and_on_one_connection(
    certificates: Certificates, burst_for: BurstFor, style: Style, n: int
) -> None:
    with H3Peer(certificates) as peer:
        delivery = _delivered(peer, burst_for, n, style=style)
        assert (delivery.void, delivery.connections) == ("", 1)
        assert (delivery.protocol, delivery.style, delivery.choice) == ("h3", style, "h3 was asked for")
        assert delivery.history.statuses() == {"200": n}
        (seen,) = peer.seen
    assert list(seen.bodies.values()) == [b"order"] * n
    assert {seen.heads[number]["x-order"] for number in seen.heads} == {f"POST /order order-{at}" for at in range(n)}
    assert not seen.resumed


@pytest.mark.parametrize("style", ["last-frame", "empty-end"])
@pytest.mark.parametrize("body", [b"order", b"x", b""])
def test_twenty_requests_are_completed_by_one_datagram(
    certificates: Certificates, burst_for: BurstFor, style: Style, body: bytes
) -> None:
    """Counted by the sends here, and by what the server's socket gave."""
    with H3Peer(certificates) as peer:
        delivery = _delivered(peer, burst_for, 20, style=style, body=body)
        (seen,) = peer.seen
    assert (delivery.void, delivery.datagrams) == ("", 1)
    assert [len(streams) for streams in seen.completing] == [20]
    assert delivery.send_skew_us == 0


def test_no_kernel_vouches_for_a_datagram(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates) as peer:
        assert _delivered(peer, burst_for).proof == "unverified"


def test_what_does_not_fit_into_a_datagram_leaves_in_several_back_to_back(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates) as peer:
        delivery = _delivered(peer, burst_for, 20, style="whole", body=b"a" * 300)
        (seen,) = peer.seen
    assert (delivery.void, delivery.connections) == ("", 1)
    assert 1 < len(seen.completing) <= delivery.datagrams


def test_requests_too_long_to_leave_at_once_take_more_connections_and_that_is_told(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates) as peer:
        delivery = _delivered(peer, burst_for, 10, style="whole", body=b"a" * 2000)
        assert (delivery.void, delivery.history.statuses()) == ("", {"200": 10})
        assert delivery.connections > 1
        assert delivery.choice.endswith("because of what may leave at once on a new connection of QUIC")
        assert "more than 11000 bytes" in _kept_shut(_delivered(peer, burst_for, 2, style="whole", body=b"a" * 12_000))


@pytest.mark.parametrize(("style", "early"), [("last-frame", b"orde"), ("empty-end", b"order"), ("whole", None)])
def test_until_the_gate_opens_the_server_has_what_the_style_sends_early_and_no_end(
    certificates: Certificates, burst_for: BurstFor, style: Style, early: bytes | None
) -> None:
    had: list[bytes] = []

    class Notes(Behaviour):
        def complete(self, number: int) -> None:
            # By the first that is complete, the others have at most been released with it.
            if not had:
                had.extend(self.seen.bodies.values())
            self.answer(number)

        def data(self, number: int) -> None:
            if early is not None and not self.seen.ended:
                assert self.seen.bodies[number] in {early, b"order"}

    with H3Peer(certificates, Notes) as peer:
        delivery = _delivered(peer, burst_for, 3, style=style)
    assert delivery.void == ""
    if early is not None:
        assert min(had) == early
    else:
        assert len(had) == 1


def test_the_order_in_the_datagram_is_the_one_that_chance_gives(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    orders = []
    for seed in (1, 1, 2):
        with H3Peer(certificates) as peer:
            delivery = deliver(burst_for(peer.address, 10), peer.address, rng=random.Random(seed))
            orders.append([f"POST /order order-{number // 4}" for number in peer.seen[0].ended])
            assert [operation.label for operation in delivery.history] == orders[-1]
    assert orders[0] == orders[1] != orders[2]


def test_members_leave_as_far_apart_as_asked_for(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates) as peer:
        delivery = _delivered(peer, burst_for, 3, offsets_us=(0, 3000, 0))
        assert (delivery.void, delivery.datagrams) == ("", 2)
        assert delivery.offsets_us[0] == delivery.offsets_us[2] == 0
        assert delivery.offsets_us[1] >= 3000
        assert sorted(peer.seen[0].completing[0]) == [0, 8]


def test_requests_of_different_kinds_go_together(certificates: Certificates) -> None:
    with H3Peer(certificates) as peer:
        host = peer.address.authority
        requests = (request_bytes("GET", "/a", [], host=host), request_bytes("PUT", "/b?x=1", [], b"body", host=host))
        delivery = deliver(Burst(requests, ("a", "b")), peer.address, rng=random.Random(1))
        assert delivery.void == ""
        assert sorted(peer.seen[0].bodies.values()) == [b"", b"body"]
        assert [head[":path"] for head in peer.seen[0].heads.values()] == ["/a", "/b?x=1"]


# Limits that are announced


class _ThreeStreams(Behaviour):
    streams = 3


class _NoStreams(Behaviour):
    streams = 0


def test_a_limit_on_streams_takes_as_many_connections_as_needed_and_is_told(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _ThreeStreams) as peer:
        delivery = _delivered(peer, burst_for, 8)
        assert (delivery.void, delivery.connections, delivery.datagrams) == ("", 3, 3)
        assert delivery.choice.endswith(
            "3 connections with at most 3 requests each, because of the streams that the server allows"
        )
        assert sorted(len(seen.ended) for seen in peer.seen) == [2, 3, 3]


def test_every_node_gets_a_connection_of_its_own(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates) as first, H3Peer(certificates) as second:
        nodes = (first.address, second.address)
        delivery = deliver(burst_for(first.address, 5), first.address, rng=random.Random(7), nodes=nodes)
        assert (delivery.void, delivery.connections) == ("", 2)
        assert delivery.choice.endswith("one for each node at least")
        assert sorted(len(peer.seen[0].ended) for peer in (first, second)) == [2, 3]


def test_a_server_that_allows_no_stream_gets_no_burst(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates, _NoStreams) as peer:
        assert _kept_shut(_delivered(peer, burst_for)) == "the server allows no stream at all"


def test_a_limit_that_differs_from_connection_to_connection_is_no_plan(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _ThreeStreams, _NoStreams) as peer:
        void = _kept_shut(_delivered(peer, burst_for, 6))
    assert void == "the server allowed 3 streams on one connection and 0 on another"


class _TinyWindow(Behaviour):
    """Takes less of each stream than a request has."""

    window = 20


@pytest.mark.parametrize("style", ["last-frame", "whole"])
def test_a_window_that_never_opens_makes_the_burst_void(
    certificates: Certificates, burst_for: BurstFor, style: Style
) -> None:
    class Tinier(_TinyWindow):
        """aioquic doubles a window that is half full; this one says nothing of it."""

        def greet(self) -> None:
            self.quic._write_stream_limits = lambda **_: None  # type: ignore[method-assign]

    with H3Peer(certificates, Tinier) as peer:
        void = _kept_shut(_delivered(peer, burst_for, style=style, body=b"a" * 100, timeout_s=2.0))
    assert "did not fit into the server's flow-control window within 2 s (and 3 more with it)" in void


@pytest.mark.parametrize("style", ["last-frame", "empty-end"])
def test_a_small_window_that_opens_again_only_takes_longer(
    certificates: Certificates, burst_for: BurstFor, style: Style
) -> None:
    with H3Peer(certificates, _TinyWindow) as peer:
        delivery = _delivered(peer, burst_for, style=style, body=b"a" * 1000)
        assert (delivery.void, delivery.history.statuses()) == ("", {"200": 4})
        assert list(peer.seen[0].bodies.values()) == [b"a" * 1000] * 4


def test_bodies_larger_than_the_connections_window_wait_for_room(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    class Narrow(Behaviour):
        connection_window = 65_536

    with H3Peer(certificates, Narrow) as peer:
        assert _delivered(peer, burst_for, body=b"a" * 100_000).void == ""
        assert [len(body) for body in peer.seen[0].bodies.values()] == [100_000] * 4


# Servers that do not do as they say


class _RefusesTheFourth(Behaviour):
    def headers(self, number: int) -> None:
        if number == 12:
            self.refuse(number)


def test_a_stream_that_is_refused_before_the_gate_makes_the_burst_void(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _RefusesTheFourth) as peer:
        void = _kept_shut(_delivered(peer, burst_for))
    assert void.startswith("member 4 of 4")
    assert "was refused by the server before the gate opened" in void


class _WantsNoMore(Behaviour):
    def headers(self, number: int) -> None:
        self.quic.stop_stream(number, ErrorCode.H3_INTERNAL_ERROR)


def test_a_server_that_wants_no_more_of_a_request_before_the_gate_makes_the_burst_void(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _WantsNoMore) as peer:
        assert "was cut off before the gate opened" in _kept_shut(_delivered(peer, burst_for))


class _RefusesLate(Behaviour):
    def complete(self, number: int) -> None:
        (self.refuse if number == 4 else self.answer)(number)


def test_a_stream_that_is_refused_after_the_gate_did_not_run_and_makes_the_burst_void(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _RefusesLate) as peer:
        delivery = _delivered(peer, burst_for)
    assert delivery.void.endswith("was refused by the server, so it did not run")
    assert delivery.failures == (None, Failure.STREAM_REFUSED, None, None)


class _ResetsLate(Behaviour):
    def complete(self, number: int) -> None:
        self.quic.reset_stream(number, ErrorCode.H3_INTERNAL_ERROR)


def test_a_stream_that_is_reset_after_the_gate_is_a_member_without_an_answer(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _ResetsLate) as peer:
        delivery = _delivered(peer, burst_for)
    assert delivery.unanswered
    assert set(delivery.failures) == {Failure.CLOSED}


class _AnswersHeaders(Behaviour):
    def headers(self, number: int) -> None:
        self.http.send_headers(number, [(b":status", b"200")])

    def complete(self, number: int) -> None:
        self.http.send_data(number, b"ok", end_stream=True)


def test_even_the_head_of_an_early_answer_makes_the_burst_void(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates, _AnswersHeaders) as peer:
        assert "was answered 200 before the gate opened" in _kept_shut(_delivered(peer, burst_for))


class _SaysContinue(Behaviour):
    def headers(self, number: int) -> None:
        self.http.send_headers(number, [(b":status", b"100")])


def test_an_interim_answer_is_none(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates, _SaysContinue) as peer:
        delivery = _delivered(peer, burst_for)
    assert (delivery.void, delivery.history.statuses()) == ("", {"200": 4})


class _ActsOnContentLength(Behaviour):
    """Answers once it has as many bytes as Content-Length says, whether or not the stream has ended."""

    def data(self, number: int) -> None:
        if self.seen.bodies[number] == b"order":
            self.answer(number)

    def complete(self, number: int) -> None:
        pass


def test_one_member_tells_whether_a_server_waits_for_an_empty_end(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    """The canary: a burst of one."""
    with H3Peer(certificates, _ActsOnContentLength) as peer:
        assert "before the gate" in _kept_shut(_delivered(peer, burst_for, 1, style="empty-end"))
        assert _delivered(peer, burst_for, style="last-frame").void == ""
    with H3Peer(certificates) as peer:
        assert _delivered(peer, burst_for, 1, style="empty-end").void == ""


class _SaysGoodbye(Behaviour):
    first = 4

    def headers(self, number: int) -> None:
        if number == 12:
            self.say_goodbye(self.first)


def test_a_goodbye_before_the_gate_makes_the_burst_void(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates, _SaysGoodbye) as peer:
        void = _kept_shut(_delivered(peer, burst_for))
    assert void.startswith("member 2 of 4")
    assert "was refused by the server before the gate opened (and 2 more with it)" in void


class _SaysGoodbyeToLaterOnes(_SaysGoodbye):
    first = 16


def test_a_goodbye_that_lets_all_streams_through_makes_the_burst_void_all_the_same(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    """The connection may end at any moment, and the gate has not been opened yet."""
    with H3Peer(certificates, _SaysGoodbyeToLaterOnes) as peer:
        assert "was on a connection that the server is about to end" in _kept_shut(_delivered(peer, burst_for))


class _AnswersOneAndSaysGoodbye(Behaviour):
    def complete(self, number: int) -> None:
        if number == 0:
            self.answer(number)
        if len(self.seen.ended) == 4:
            self.say_goodbye(4)


def test_what_comes_after_the_last_stream_of_a_goodbye_did_not_run(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _AnswersOneAndSaysGoodbye) as peer:
        delivery = _delivered(peer, burst_for)
    assert "was refused by the server, so it did not run" in delivery.void


class _HangsUp(Behaviour):
    def headers(self, _number: int) -> None:
        self.quic.close(error_code=QuicErrorCode.INTERNAL_ERROR, reason_phrase="signature s3cret")


def test_a_server_that_hangs_up_before_the_gate_makes_the_burst_void(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _HangsUp) as peer:
        void = _kept_shut(_delivered(peer, burst_for))
    assert "was cut off before the gate opened (and 3 more with it)" in void
    assert "s3cret" not in void


class _HangsUpAtTheEnd(Behaviour):
    def complete(self, _number: int) -> None:
        self.quic.close(error_code=ErrorCode.H3_INTERNAL_ERROR)


def test_a_server_that_hangs_up_after_the_gate_leaves_the_burst_unanswered(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates, _HangsUpAtTheEnd) as peer:
        delivery = _delivered(peer, burst_for)
    assert delivery.unanswered
    assert set(delivery.failures) == {Failure.CLOSED}


class _TalksNonsense(Behaviour):
    def headers(self, number: int) -> None:
        self.quic.send_stream_data(number, b"\x04\x00", end_stream=True)  # SETTINGS, which belong elsewhere


def test_what_is_not_http_3_makes_the_burst_void(certificates: Certificates, burst_for: BurstFor) -> None:
    with H3Peer(certificates, _TalksNonsense) as peer:
        assert "not HTTP" in _kept_shut(_delivered(peer, burst_for))


class _SendsWithoutEnd(Behaviour):
    """A head that claims to be longer than any, and goes on."""

    def complete(self, number: int) -> None:
        self.quic.send_stream_data(number, b"\x01\x80\x80\x00\x00" + bytes(3 * 1_048_576))


def test_an_answer_that_does_not_end_is_cut_off(certificates: Certificates) -> None:
    with H3Peer(certificates, _SendsWithoutEnd) as peer, pytest.raises(DeliveryError, match="larger than the cap"):
        exchange(request_bytes("GET", "/", [], host="localhost"), peer.address, timeout_s=20)


# A server that is not ours


@pytest.mark.parametrize("n", [2, 20, 30])
def test_hypercorn_answers_all_of_a_burst_and_none_ran_before_the_gate(
    certificates: Certificates, burst_for: BurstFor, n: int
) -> None:
    recorder = Recorder(together=n)
    with hypercorn(recorder, certificates=certificates, protocol="h3") as address:
        delivery = deliver(burst_for(address, n), address, rng=random.Random(1))
    assert (delivery.void, delivery.datagrams, delivery.history.most_in_flight()) == ("", 1, n)
    assert delivery.gate_opened_ns is not None
    assert delivery.gate_opened_ns < min(recorder.complete_ns)
    assert sorted(body for *_, body in recorder.requests) == [b"order"] * n
    assert {version for version, *_ in recorder.requests} == {"3"}
