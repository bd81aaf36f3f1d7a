import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire import Failure, Response
from tocsin.wire._response import MAX_BODY_BYTES, MAX_HEAD_BYTES, ResponseReader


def _read(pieces: list[bytes], *, method: bytes = b"POST") -> Response | Failure | None:
    """What a reader makes of the pieces; the last one is b"" where the connection ended."""
    reader = ResponseReader(method)
    for piece in pieces:
        outcome = reader.receive(piece)
        if outcome is not None:
            return outcome
    return None


def test_an_answer_with_a_length_is_whole_at_that_length() -> None:
    response = _read([b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-Id: 7\r\n\r\nok"])
    assert response == Response(201, (("Content-Length", "2"), ("X-Id", "7")), b"ok")


def test_an_answer_that_is_still_coming_is_none() -> None:
    assert _read([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"]) is None


def test_a_chunked_answer_is_put_together() -> None:
    response = _read([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"])
    assert isinstance(response, Response)
    assert response.body == b"ok"


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    pieces = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", b""]
    response = _read(pieces)
    assert isinstance(response, Response)
    assert response.body == b"ok"
    assert _read(pieces[:1]) is None


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
def test_an_interim_answer_is_not_an_answer(interim: bytes) -> None:
    assert _read([interim]) is None
    response = _read([interim + b"HTTP/1.1 204 No Content\r\n\r\n"])
    assert isinstance(response, Response)
    assert response.status == 204


@pytest.mark.parametrize("method", [b"HEAD"])
def test_the_answer_to_head_has_no_body(method: bytes) -> None:
    response = _read([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"], method=method)
    assert isinstance(response, Response)
    assert response.body == b""


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        ([b""], Failure.CLOSED),
        ([b"HTTP/1.1 200", b""], Failure.CLOSED),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", b""], Failure.CLOSED),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b""], Failure.CLOSED),
        ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"], Failure.NOT_HTTP),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], Failure.NOT_HTTP),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n"], Failure.NOT_HTTP),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES], Failure.TOO_LARGE),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (MAX_BODY_BYTES + 1)], Failure.TOO_LARGE),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", *([b"a" * 65536] * 17)], Failure.TOO_LARGE),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(pieces: list[bytes], failure: Failure) -> None:
    assert _read(pieces) is failure


def test_a_body_of_exactly_the_cap_is_taken() -> None:
    response = _read([b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * MAX_BODY_BYTES, b""])
    assert isinstance(response, Response)
    assert len(response.body) == MAX_BODY_BYTES


def test_header_values_are_found_in_any_case() -> None:
    response = Response(200, (("Set-Cookie", "a"), ("set-cookie", "b"), ("X", "c")), b"")
    assert response.values("SET-COOKIE") == ("a", "b")
    assert response.values("missing") == ()


def test_an_answer_does_not_show_what_it_holds() -> None:
    """A server may echo a signature."""
    assert repr(Response(200, (("X", "cafe"),), b"cafe")) == "Response(status=200)"


@st.composite
def _answers(draw: st.DrawFn) -> bytes:
    """An answer as a server writes it: any framing, perhaps after an interim one, perhaps cut short or spoilt."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    while server.next_event() is not h11.PAUSED and server.their_state is not h11.DONE:
        pass
    written = b""
    if draw(st.booleans()):
        written += server.send(h11.InformationalResponse(status_code=103, headers=[])) or b""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=3))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    headers = [(b"X-Id", b"7")]
    if framing == "length":
        headers.append((b"Content-Length", str(sum(map(len, pieces))).encode()))
    written += server.send(h11.Response(status_code=draw(st.sampled_from([200, 409, 503])), headers=headers)) or b""
    if framing == "close":
        written = written.replace(b"Transfer-Encoding: chunked\r\n", b"")
        written += b"".join(pieces)
    else:
        for piece in pieces:
            written += server.send(h11.Data(data=piece)) or b""
        written += server.send(h11.EndOfMessage()) or b""
    spoil = draw(st.sampled_from([None, None, b"\0", b"\r\n"]))
    if spoil is not None:
        at = draw(st.integers(0, len(written)))
        written = written[:at] + spoil + written[at:]
    return written[: draw(st.sampled_from([len(written), len(written) // 2]))]


@given(answer=_answers())
def test_an_answer_read_byte_by_byte_is_the_answer_read_whole(answer: bytes) -> None:
    whole = _read([answer, b""])
    assert whole is not None
    assert _read([*(answer[at : at + 1] for at in range(len(answer))), b""]) == whole
