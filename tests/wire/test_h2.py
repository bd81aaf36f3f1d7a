import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire import RequestError, request_bytes
from tocsin.wire._h2 import RECORD_BYTES, Parts, header_blocks, parts_of, record_shares, shares


def _order(place: int, body: bytes = b"") -> Parts:
    return parts_of(request_bytes("POST", "/order", [("X-Nonce", f"{place:032x}")], body, host="shop.example"), "https")


def test_a_request_is_said_as_http_2_says_it() -> None:
    headers = [("X-Signature", "cafe"), ("Content-Type", "application/json"), ("Connection", "close")]
    parts = parts_of(request_bytes("PUT", "/a?b=c", headers, b"{}", host="shop.example:8443"), "https")
    assert parts.fields == (
        (b":method", b"PUT"),
        (b":scheme", b"https"),
        (b":authority", b"shop.example:8443"),
        (b":path", b"/a?b=c"),
        (b"x-signature", b"cafe"),
        (b"content-type", b"application/json"),
        (b"content-length", b"2"),
    )
    assert (parts.method, parts.body) == (b"PUT", b"{}")


def test_headers_given_twice_stay_two_in_their_order() -> None:
    request = request_bytes("GET", "/", [("X-Signature", "a"), ("X-Signature", "b")], host="h")
    assert parts_of(request, "http").fields[4:] == ((b"x-signature", b"a"), (b"x-signature", b"b"))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"", "not complete"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfour", "not complete"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nfour", "complete before its last byte"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "is chunked"),
        (b"nothing of the kind\r\n\r\n", "not HTTP/1.1"),
    ],
)
def test_what_is_not_exactly_one_request_is_refused(request_: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        parts_of(request_, "http")


def test_a_request_is_not_shown() -> None:
    """It holds a live signature."""
    parts = parts_of(request_bytes("GET", "/", [("X-Signature", "cafe")], host="h"), "http")
    assert "cafe" not in repr(parts)


def test_what_requests_have_in_common_costs_a_byte_and_what_differs_is_never_indexed() -> None:
    blocks = header_blocks([_order(place) for place in range(3)])
    encoder, decoder = Encoder(), Decoder()
    encoded = [encoder.encode(block) for block in blocks]
    assert len(encoded[1]) == len(encoded[2]) < 40 < len(encoded[0])
    for place, block in enumerate(encoded):
        assert tuple(decoder.decode(block, raw=True)) == _order(place).fields
    assert [type(field) is NeverIndexedHeaderTuple for field in blocks[1]] == [False] * 4 + [True, False]


def test_no_request_has_no_header_block() -> None:
    assert header_blocks([]) == []


@given(n=st.integers(1, 300), limit=st.integers(1, 300))
def test_every_member_has_a_place_within_the_limit_and_no_connection_is_needless(n: int, limit: int) -> None:
    groups = shares(n, limit)
    assert [place for group in groups for place in group] == list(range(n))
    assert all(1 <= len(group) <= limit for group in groups)
    assert len(groups) == -(-n // limit)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_nodes_get_a_connection_each_if_there_are_members_enough() -> None:
    assert shares(5, 100, nodes=2) == [range(2), range(2, 5)]
    assert shares(2, 100, nodes=3) == [range(1), range(1, 2)]


def test_two_hundred_requests_with_nonces_fit_into_a_record() -> None:
    assert record_shares([_order(place, b'{"id":1}') for place in range(200)], 250) == [range(200)]


def test_what_does_not_fit_into_a_record_goes_into_the_next_one() -> None:
    groups = record_shares([_order(place, b"a" * 6000) for place in range(5)], 250)
    assert groups == [range(2), range(2, 4), range(4, 5)]


def test_a_records_members_are_no_more_than_the_server_allows() -> None:
    assert record_shares([_order(place) for place in range(5)], 2) == [range(2), range(2, 4), range(4, 5)]


def test_a_request_that_no_record_holds_has_no_place() -> None:
    assert record_shares([_order(0), _order(1, b"a" * RECORD_BYTES)], 100) == []
