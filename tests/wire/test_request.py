import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire import RequestError, request_bytes


def test_what_is_absent_is_added_and_what_is_given_stays_in_its_order() -> None:
    raw = request_bytes("POST", "/order?x=1", [("X-Signature", "s"), ("a", " 1 ")], b"body", host="h:8000")
    assert raw == (
        b"POST /order?x=1 HTTP/1.1\r\nHost: h:8000\r\nX-Signature: s\r\na:  1 \r\n"
        b"Content-Length: 4\r\nConnection: close\r\n\r\nbody"
    )


def test_what_is_given_is_not_added_again() -> None:
    given_headers = [("host", "h"), ("content-length", "4"), ("connection", "keep-alive")]
    raw = request_bytes("PUT", "/", given_headers, b"body", host="other")
    assert raw == b"PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\nconnection: keep-alive\r\n\r\nbody"


@pytest.mark.parametrize(("method", "has_length"), [("POST", True), ("PUT", True), ("GET", False), ("DELETE", False)])
def test_an_empty_body_has_a_length_where_the_method_expects_one(method: str, *, has_length: bool) -> None:
    assert (b"Content-Length: 0\r\n" in request_bytes(method, "/", [], host="h")) is has_length


def test_a_chunked_body_is_left_as_it_is() -> None:
    raw = request_bytes("POST", "/", [("Transfer-Encoding", "chunked")], b"0\r\n\r\n", host="h")
    assert b"Content-Length" not in raw
    assert raw.endswith(b"\r\n\r\n0\r\n\r\n")


def test_octets_beyond_ascii_travel_as_their_latin_1_view() -> None:
    assert b"\r\nX: \xc3\xa4\r\n" in request_bytes("GET", "/", [("X", "\xc3\xa4")], host="h")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("PO ST", "/", []), "method 'PO ST' is not a token"),
        (("", "/", []), "method '' is not a token"),
        (("POST\r\n", "/", []), "not a token"),
        (("CONNECT", "/", []), "CONNECT opens a tunnel"),
        (("GET", "", []), "request target"),
        (("GET", "order", []), "request target"),
        (("GET", "http://other.example/", []), "request target"),
        (("GET", "/a b", []), "request target"),
        (("GET", "/a#b", []), "request target"),
        (("GET", "/a\r\nX: y", []), "request target"),
        (("GET", "/a\n", []), "request target"),
        (("GET", "/\u00e4", []), "percent-encode"),
        (("GET", "/", [("", "v")]), "header name '' is not a token"),
        (("GET", "/", [("X Y", "v")]), "'X Y' is not a token"),
        (("GET", "/", [("X:", "v")]), "is not a token"),
        (("GET", "/", [("X\n", "v")]), "is not a token"),
        (("GET", "/", [("X", "a\rb")]), "header X holds a carriage return"),
        (("GET", "/", [("X", "a\nb")]), "header X holds a line feed"),
        (("GET", "/", [("X", "a\0b")]), "header X holds a NUL"),
        (("GET", "/", [("X", "\u20ac")]), "beyond latin-1"),
        (("GET", "/", [("Host", "a"), ("host", "b")]), "2 host headers, wanted one"),
        (("POST", "/", [("Content-Length", "5")]), "not the body's length, 0"),
        (("POST", "/", [("Content-Length", "0"), ("Content-Length", "0")]), "2 content-length headers"),
        (("POST", "/", [("Content-Length", "0"), ("Transfer-Encoding", "chunked")]), "both"),
    ],
)
def test_a_part_that_would_change_the_framing_is_refused(
    parts: tuple[str, str, list[tuple[str, str]]], said: str
) -> None:
    method, target, headers = parts
    with pytest.raises(RequestError, match=said):
        request_bytes(method, target, headers, host="h")


def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(RequestError, match="no Host header"):
        request_bytes("GET", "/", [])


def test_a_host_that_breaks_out_of_its_header_is_refused() -> None:
    with pytest.raises(RequestError, match="header Host holds a line feed"):
        request_bytes("GET", "/", [], host="h\nX: y")


def test_a_refusal_never_repeats_a_signature() -> None:
    with pytest.raises(RequestError) as refusal:
        request_bytes("GET", "/", [("X-Signature", "cafe\n")], host="h")
    assert "cafe" not in str(refusal.value)


_TOKENS = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True)
_VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)


@given(
    target=st.from_regex(r"/[!$-~]{0,30}", fullmatch=True),
    headers=st.lists(st.tuples(_TOKENS.map("X-".__add__), _VALUES), max_size=4),
    body=st.binary(max_size=200),
)
def test_a_strict_server_reads_the_parts_that_were_given(
    target: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(request_bytes("POST", target, headers, body, host="h"))
    head = server.next_event()
    assert isinstance(head, h11.Request)
    assert head.target == target.encode()
    read = [(name.decode(), value.decode("latin-1")) for name, value in head.headers.raw_items()]
    assert read[1 : 1 + len(headers)] == [(name, value.strip(" ")) for name, value in headers]
    received = b""
    while isinstance(event := server.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == body
