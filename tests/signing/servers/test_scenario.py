"""The same requests at four real servers."""

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.signing.servers.apps import MOST_BYTES, SCHEME, SECRET
from tocsin.signing import Header, Message, Secret, sign
from tocsin.signing.servers._admission import MOST_IN_MEMORY_BYTES

BODY = b'{"item":"sku-1","note":"\xff\x00"}'
ANSWER_401 = {
    "type": "about:blank",
    "title": "Unauthorized",
    "status": 401,
    "detail": "The request is not validly signed.",
}
Server = tuple[str, int]


def signed(
    body: bytes = BODY, target: str = "/order", *, secret: Secret = SECRET, age_s: float = 0
) -> tuple[Header, ...]:
    message = Message("POST", target, (("Idempotency-Key", "order-17"),), body)
    return message.headers + sign(message, SCHEME, secret, now=time.time() - age_s)


def send(
    server: Server, headers: Iterable[Header], body: object = BODY, *, target: str = "/order"
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server[1], timeout=20)
    try:
        chunked = not isinstance(body, bytes)
        fields = [*headers, *([("Transfer-Encoding", "chunked")] if chunked else [])]
        connection.request("POST", target, body, dict(fields), encode_chunked=chunked)  # type: ignore[arg-type]
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("body", [BODY, b"", b"x" * 70_000], ids=["json", "empty", "several reads"])
def test_a_signed_request_reaches_the_application_with_the_octets_that_were_verified(
    server: Server, body: bytes
) -> None:
    status, _headers, answer = send(server, signed(body), body)
    assert status == 200
    assert json.loads(answer) == {
        "scheme": "tocsin-v1",
        "message_id": "order-17",
        "sha256": hashlib.sha256(body).hexdigest(),
        "length": len(body),
        "content_length": str(len(body)),
    }


def test_a_body_beyond_memory_is_verified_piece_by_piece_and_arrives_whole(server: Server) -> None:
    body = bytes(range(256)) * (MOST_BYTES // 256)
    status, _headers, answer = send(server, signed(body), body)
    assert (status, json.loads(answer)["sha256"]) == (200, hashlib.sha256(body).hexdigest())
    changed = body[:-1] + b"!"
    assert send(server, signed(body), changed)[0] == 401


def test_a_query_is_verified_as_it_was_sent(server: Server) -> None:
    assert send(server, signed(target="/order?a=%7E&b=+%20"), target="/order?a=%7E&b=+%20")[0] == 200
    assert send(server, signed(target="/order?a=~&b=+%20"), target="/order?a=%7E&b=+%20")[0] == 401


def test_a_path_is_verified_as_it_was_sent(server: Server) -> None:
    if server[0] == "wsgiref":
        pytest.skip("wsgiref decodes the path and keeps no raw one")
    assert send(server, signed(target="/a%2Fb/%7e"), target="/a%2Fb/%7e")[0] == 200
    assert send(server, signed(target="/a/b/~"), target="/a%2Fb/%7e")[0] == 401


def test_whatever_is_wrong_with_a_signature_the_answer_is_the_same(server: Server) -> None:
    good = signed()
    name, value = good[-1]
    refused = [
        send(server, headers)
        for headers in (
            good[:-1],
            [(name, value)],
            [*good[:-1], (name, value[:-1])],
            [*good[:-1], (name, value.replace("k=k1", "k=k2"))],
            [*good[:-1], (name, value + "\u00e9")],
            [*good[:-1], ("X-Other", value)],
            signed(age_s=400),
            signed(age_s=-400),
            signed(BODY + b" "),
            signed(target="/other"),
            signed(secret=Secret(b"another secret, 16 octets", "k1")),
        )
    ]
    assert {status for status, _headers, _answer in refused} == {401}
    assert [json.loads(answer) for _status, _headers, answer in refused] == [ANSWER_401] * len(refused)
    for _status, headers, _answer in refused:
        kept = {key: headers[key] for key in ("content-type", "cache-control", "www-authenticate")}
        assert kept == {
            "content-type": "application/problem+json",
            "cache-control": "no-store",
            "www-authenticate": "HMAC",
        }


def test_a_longer_body_is_refused_by_its_declared_length_alone(server: Server) -> None:
    """Nothing of the body is ever sent, and the answer is there."""
    with socket.create_connection(("127.0.0.1", server[1]), timeout=20) as client:
        client.sendall(b"POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MOST_BYTES + 1))
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 413
        assert json.loads(response.read())["detail"] == f"The body may have {MOST_BYTES} bytes at most."


def test_a_body_in_chunks_is_verified_like_any_other(server: Server) -> None:
    if server[0] == "wsgiref":
        # It hands the chunks on as they are, so nobody can know where the body ends.
        assert chunked(server, signed(), b"") == 411
    else:
        status, _headers, answer = send(server, signed(), iter([BODY[:3], BODY[3:]]))
        assert (status, json.loads(answer)["length"]) == (200, len(BODY))


def test_a_longer_body_in_chunks_is_refused_where_it_gets_too_long(server: Server) -> None:
    if server[0] == "wsgiref":
        pytest.skip("wsgiref takes no chunks")
    assert chunked(server, signed(), bytes(MOST_BYTES + 1) + b"\r\n0\r\n\r\n") == 413


def test_a_long_body_without_a_signature_is_refused_where_it_would_leave_memory(server: Server) -> None:
    """Two thirds of it are still to come."""
    if server[0] == "wsgiref":
        pytest.skip("wsgiref takes no chunks")
    # Through WSGI, bodies are read by 64 KiB. What the server has not read when it closes would reset the connection.
    sent = MOST_IN_MEMORY_BYTES + (64 * 1024 if server[0] == "gunicorn" else 1)
    assert chunked(server, (), bytes(sent)) == 401


def chunked(server: Server, headers: Iterable[Header], sent: bytes) -> int:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"POST /order HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{MOST_BYTES + 1:x}\r\n"
    with socket.create_connection(("127.0.0.1", server[1]), timeout=20) as client:
        client.sendall(head.encode() + sent)
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status


def test_a_request_can_be_repeated_on_a_kept_connection(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server[1], timeout=20)
    for _ in range(3):
        connection.request("POST", "/order", BODY, dict(signed()))
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["length"]) == (200, len(BODY))
    connection.close()


def test_a_header_that_is_given_twice_is_not_verified(server: Server) -> None:
    """ASGI servers keep both; WSGI servers join them, and the joined value is none."""
    good = replace(Message("POST", "/order", signed(), BODY))
    fields = [("Host", "a"), ("Content-Length", str(len(BODY))), *good.headers, ("Idempotency-Key", "order-18")]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    with socket.create_connection(("127.0.0.1", server[1]), timeout=20) as client:
        client.sendall(f"POST /order HTTP/1.1\r\n{head}\r\n".encode() + BODY)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 401
