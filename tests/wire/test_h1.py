import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire import RequestError, request_bytes
from tocsin.wire._h1 import last_byte, waking


def _finishes(pieces: list[bytes]) -> bool:
    """Whether a server that is not ours has a whole request after these pieces."""
    server = h11.Connection(h11.SERVER)
    for piece in filter(None, pieces):
        server.receive_data(piece)
        while (event := server.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.EndOfMessage):
                return True
    return False


_REQUESTS = st.builds(
    request_bytes,
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    st.sampled_from(["/", "/order?x=1"]),
    st.lists(st.tuples(st.sampled_from(["X-Signature", "Expect", "Cookie"]), st.sampled_from(["a", "100-continue"]))),
    st.one_of(st.just(b""), st.just(b"\r\n\r\n"), st.binary(max_size=40)),
    host=st.just("h"),
)


@given(request=_REQUESTS)
def test_prefix_and_withheld_are_the_request_and_exactly_one_byte_is_withheld(request: bytes) -> None:
    split = last_byte(request)
    assert split.prefix + split.withheld == request
    assert len(split.withheld) == 1


@given(request=_REQUESTS)
def test_one_that_wakes_the_server_holds_back_a_byte_more_and_is_complete_with_the_last_alone(request: bytes) -> None:
    split = waking(last_byte(request))
    assert split.prefix + split.wake + split.withheld == request
    assert (len(split.wake), len(split.withheld)) == (1, 1)
    assert not _finishes([split.prefix, split.wake])


@given(request=_REQUESTS, data=st.data())
def test_no_prefix_lets_a_server_finish_a_request(request: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(request) - 1))
    assert not _finishes([request[:cut], request[cut:-1]])
    assert _finishes([request[:cut], request[cut:-1], last_byte(request).withheld])


def test_a_head_larger_than_the_usual_cap_can_be_held_back() -> None:
    request = request_bytes("GET", "/", [("X-Signature", "a" * 100_000)], host="h")
    assert last_byte(request).withheld == b"\n"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"", "not complete with its last byte"),
        (b"G", "not complete with its last byte"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r", "not complete with its last byte"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfour", "shorter than its length"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nfour", "complete before its last byte"),
        (b"POST / HTTP/1.1\r\nHost: h\r\n\r\nbody", "complete before its last byte"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "complete before its last byte"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "needs Content-Length"),
        (b"not a request\r\n\r\n", "not HTTP/1.1"),
    ],
)
def test_a_request_that_one_byte_cannot_hold_is_refused(request_: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        last_byte(request_)


def test_neither_half_is_shown() -> None:
    """A request holds a live signature."""
    assert repr(last_byte(b"GET / HTTP/1.1\r\nHost: h\r\nX-Signature: cafe\r\n\r\n")) == "Split()"
