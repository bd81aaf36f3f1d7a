"""The client's half of HTTP/2 and h2's server, joined without a wire."""

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, PingReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire import Failure, Response, Style, request_bytes
from tocsin.wire._h2 import Parts, parts_of
from tocsin.wire._response import MAX_BODY_BYTES
from tocsin.wire._streams import Streams


class Pair:
    """Both halves; nothing moves until told."""

    def __init__(self, **settings: int) -> None:
        self.client = Streams()
        self.server = H2Connection(H2Configuration(client_side=False))
        for name, value in settings.items():
            self.server.local_settings[SettingCodes[name]] = value
        self.server.local_settings.acknowledge()
        self.server.initiate_connection()
        self.seen: list[Event] = []
        self.to_client()

    def to_server(self, data: bytes = b"") -> list[Event]:
        self.seen += self.server.receive_data(self.client.outgoing() + data)
        return self.seen

    def to_client(self, data: bytes = b"") -> bool:
        return self.client.receive(self.server.data_to_send() + data)

    def talk(self) -> None:
        """Until nobody has anything to say."""
        for _ in range(4):
            self.to_server()
            self.to_client()

    def ended(self) -> list[int]:
        return [event.stream_id for event in self.seen if isinstance(event, StreamEnded)]

    def body(self) -> bytes:
        return b"".join(event.data for event in self.seen if isinstance(event, DataReceived))


def _post(body: bytes) -> Parts:
    return parts_of(request_bytes("POST", "/order", [("X-Nonce", "a1")], body, host="h"), "http")


def _opened(body: bytes = b"order", style: Style = "last-frame", n: int = 1, **settings: int) -> Pair:
    pair = Pair(**settings)
    pair.client.open([_post(body)] * n, style)
    pair.talk()
    return pair


def test_nothing_is_known_of_a_server_before_its_settings() -> None:
    assert not Streams().introduced
    pair = Pair(MAX_CONCURRENT_STREAMS=7)
    assert pair.client.introduced
    assert pair.client.limit == 7


@given(
    body=st.one_of(st.binary(max_size=50), st.just(b"a" * 40_000)),
    style=st.sampled_from(["last-frame", "empty-end", "whole", "record"]),
)
def test_a_request_is_complete_with_its_finals_and_not_before(body: bytes, style: Style) -> None:
    pair = _opened(body, style)
    assert pair.client.confirmed
    assert pair.ended() == []
    early = {"last-frame": body[:-1], "empty-end": body}.get(style, b"")
    assert pair.body() == early
    assert any(isinstance(event, RequestReceived) for event in pair.seen) == (style in {"last-frame", "empty-end"})
    pair.to_server(pair.client.finals([0]))
    assert pair.ended() == [1]
    assert pair.body() == body


def test_finals_complete_the_members_asked_for_in_that_order() -> None:
    pair = _opened(n=3)
    pair.to_server(pair.client.finals([2, 0]))
    assert pair.ended() == [5, 1]
    pair.to_server(pair.client.finals([1]))
    assert pair.ended() == [5, 1, 3]


def test_the_ping_goes_last_and_its_answer_is_what_confirms() -> None:
    pair = Pair()
    pair.client.open([_post(b"order")], "last-frame")
    assert isinstance(pair.to_server()[-1], PingReceived)
    before = pair.client.confirmed
    pair.to_client()
    assert (before, pair.client.confirmed) == (False, True)


def test_a_ping_of_somebody_else_confirms_nothing() -> None:
    pair = Pair()
    pair.client.open([_post(b"order")], "last-frame")
    ack = (8).to_bytes(3, "big") + b"\x06\x01" + bytes(4)
    assert pair.client.receive(ack + b"anothers")
    assert not pair.client.confirmed


def test_answers_are_taken_apart_by_stream() -> None:
    pair = _opened(n=2)
    pair.to_server(pair.client.finals([0, 1]))
    pair.server.send_headers(1, [(":status", "103"), ("link", "x")])
    pair.server.send_headers(3, [(":status", "409"), ("x-a", "b")], end_stream=True)
    pair.server.send_headers(1, [(":status", "200")])
    pair.to_client()
    first, second = pair.client.all
    assert (first.status, first.outcome) == (200, None)
    assert second.outcome == Response(409, (("x-a", "b"),), b"")
    pair.server.send_data(1, b"o")
    pair.server.send_data(1, b"k")
    pair.server.send_headers(1, [("x-trailer", "t")], end_stream=True)
    pair.to_client()
    assert first.outcome == Response(200, (), b"ok")


def test_what_comes_in_pieces_of_a_byte_is_the_same() -> None:
    pair = _opened()
    pair.to_server(pair.client.finals([0]))
    pair.server.send_headers(1, [(":status", "200")])
    pair.server.send_data(1, b"ok", end_stream=True)
    assert all(pair.client.receive(bytes([octet])) for octet in pair.server.data_to_send())
    assert pair.client.all[0].outcome == Response(200, (), b"ok")


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (ErrorCodes.REFUSED_STREAM, Failure.STREAM_REFUSED),
        (ErrorCodes.HTTP_1_1_REQUIRED, Failure.UNSUPPORTED),
        (ErrorCodes.CANCEL, Failure.CLOSED),
    ],
)
def test_a_reset_stream_says_why(code: ErrorCodes, failure: Failure) -> None:
    pair = _opened()
    pair.server.reset_stream(1, code)
    pair.to_client()
    assert pair.client.all[0].outcome is failure


def test_a_reset_after_the_answer_changes_nothing() -> None:
    pair = _opened()
    pair.server.send_headers(1, [(":status", "413")], end_stream=True)
    pair.server.reset_stream(1, ErrorCodes.NO_ERROR)
    pair.to_client()
    assert pair.client.all[0].outcome == Response(413, (), b"")


def test_a_body_beyond_the_cap_is_no_answer() -> None:
    pair = _opened()
    pair.to_server(pair.client.finals([0]))
    pair.server.send_headers(1, [(":status", "200")])
    for _ in range(MAX_BODY_BYTES // 16_384):
        pair.server.send_data(1, bytes(16_384))
    pair.to_client()
    before = pair.client.all[0].outcome
    pair.server.send_data(1, b"!")
    pair.to_client()
    assert (before, pair.client.all[0].outcome) == (None, Failure.TOO_LARGE)
    pair.server.reset_stream(1)
    assert pair.to_client()


def test_a_goodbye_is_one_for_later_streams_only_and_earlier_ones_are_still_answered() -> None:
    pair = _opened(n=3)
    pair.to_server(pair.client.finals([0, 1, 2]))
    goodbye = (8).to_bytes(3, "big") + b"\x07" + bytes(5) + (3).to_bytes(4, "big") + bytes(4)
    assert pair.to_client(goodbye)
    pair.server.send_headers(3, [(":status", "200")], end_stream=True)
    assert pair.to_client()
    assert [stream.outcome for stream in pair.client.all] == [None, Response(200, (), b""), Failure.STREAM_REFUSED]
    assert pair.client.last_allowed == 3


def test_a_goodbye_before_any_stream_refuses_those_that_were_to_come() -> None:
    pair = _opened(style="whole")
    pair.to_client((8).to_bytes(3, "big") + b"\x07" + bytes(5) + (9).to_bytes(4, "big") + bytes(4))
    assert pair.client.all[0].outcome is Failure.STREAM_REFUSED


@pytest.mark.parametrize("style", ["last-frame", "empty-end", "whole"])
def test_a_window_too_small_keeps_back_what_does_not_fit(style: Style) -> None:
    pair = _opened(b"order", style, INITIAL_WINDOW_SIZE=3)
    assert (pair.client.short_of_window, pair.client.confirmed) == (True, False)
    pair.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 5})
    pair.talk()
    assert (pair.client.short_of_window, pair.client.confirmed) == (False, True)
    pair.to_server(pair.client.finals([0]))
    assert pair.body() == b"order"


def test_what_is_withheld_keeps_its_room_in_the_connections_window() -> None:
    """65,535 bytes for all streams together (RFC 9113 section 6.9.2): the last bytes need some of them."""
    pair = Pair()
    pair.client.open([_post(b"a" * 33_000)] * 2, "last-frame")
    pair.to_server()
    assert len(pair.body()) == 65_533
    pair.server.increment_flow_control_window(20_000)
    pair.talk()
    pair.to_server(pair.client.finals([0, 1]))
    assert pair.body() == b"a" * 66_000


def test_early_answers_do_not_wait_for_room() -> None:
    pair = _opened(b"order", INITIAL_WINDOW_SIZE=1)
    pair.server.reset_stream(1, ErrorCodes.REFUSED_STREAM)
    pair.to_client()
    assert not pair.client.short_of_window


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff" + bytes(6),
        bytes(3) + b"\x01\x05\0\0\0\x09",
        (1).to_bytes(3, "big") + b"\x06" + bytes(6),
    ],
)
def test_what_is_not_http_2_is_told(nonsense: bytes) -> None:
    pair = Pair()
    assert not pair.client.receive(nonsense)


def test_a_status_that_is_no_number_is_not_http_2() -> None:
    pair = _opened()
    pair.to_server(pair.client.finals([0]))
    pair.server.config.validate_outbound_headers = False
    pair.server.send_headers(1, [(":status", "fine")], end_stream=True)
    assert not pair.to_client()


def test_no_request_is_shown() -> None:
    """It holds a live signature."""
    assert "a1" not in repr(_opened().client.all)
