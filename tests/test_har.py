import json
from typing import Any

import pytest

from tocsin.har import Entry, HarError, entries, entry_of


def request(**changes: Any) -> dict[str, Any]:
    return {"method": "POST", "url": "http://a/b?c=1", "headers": [], "postData": {"text": "é"}} | changes


def one(**changes: Any) -> Entry:
    [found] = entries(json.dumps({"log": {"entries": [{"request": request(**changes)}]}}).encode())
    return entry_of(found)


def test_an_entry_is_told_in_octets_without_what_the_archive_has_undone() -> None:
    headers = [{"name": ":path", "value": "/b"}, {"name": "Transfer-Encoding", "value": "chunked"}]
    sent = one(headers=[*headers, {"name": "X", "value": "é"}], url="https://me:hush@a:8443#x", bodySize=2).sent()

    assert (sent.method, sent.origin, sent.target) == ("POST", "https://a:8443", "/")
    assert (sent.headers, sent.body) == ((("Host", "a:8443"), ("X", "é")), "é".encode())
    assert "é" not in repr(sent)


def test_a_host_that_was_sent_stays_where_and_as_it_was() -> None:
    headers = [{"name": "X", "value": "1"}, {"name": "hOST", "value": "b"}]
    assert one(headers=headers).sent().headers == (("X", "1"), ("hOST", "b"))


def test_an_answer_is_text_or_base64_and_nothing_where_it_is_neither() -> None:
    answers = [
        ({"status": 200, "content": {"text": "aGk=", "encoding": "base64"}}, (200, b"hi")),
        ({"status": 200, "content": {"text": "hi"}}, (200, b"hi")),
        ({"status": 200, "content": {"text": "é", "encoding": "base64"}}, (200, b"")),
        ({"status": 204}, (204, b"")),
        ({"status": "?"}, (None, b"")),
        (None, (None, b"")),
    ]
    for response, told in answers:
        entry = entry_of({"request": request(), "response": response})
        assert (entry.status, entry.answer) == told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "GET /x HTTP/1.1\r\nX: 1"}, "method 'GET /x HTTP"),
        ({"url": "http://a/é"}, "wanted an http URL"),
        ({"headers": [{"name": "X", "value": "a\nb"}]}, "header 'X' cannot stand in a request"),
        ({"headers": [{"name": "Content-Length", "value": "3"}]}, "3 octets were sent and the archive's text has 2"),
        ({"bodySize": 0}, "0 octets were sent and the archive's text has 2"),
        ({"postData": {"params": []}}, "the body is not there as text"),
        ({"postData": {"text": "", "encoding": "base64"}}, "the body is not there as text"),
    ],
)
def test_octets_that_cannot_be_known_are_refused_though_the_text_is_there(changes: dict[str, Any], said: str) -> None:
    entry = one(**changes)
    with pytest.raises(HarError, match=said):
        entry.sent()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (17, "is no request of an archive"),
        ({"request": {}}, "is no request of an archive"),
        ({"request": request(postData=17)}, "is no request of an archive"),
        ({"request": request(postData={"text": 17})}, "headers or body is no text"),
        ({"request": request(headers=[{"name": "X", "value": None}])}, "headers or body is no text"),
    ],
)
def test_what_is_no_request_is_refused(found: object, said: str) -> None:
    with pytest.raises(HarError, match=said):
        entry_of(found)


@pytest.mark.parametrize(
    ("octets", "said", "line"),
    [
        (b"{\n]", "not JSON: ", 2),
        (b"\xff", "not an HTTP archive", 0),
        (b'{"log": []}', "not an HTTP archive", 0),
        (b"[" * 100_000, "not an HTTP archive", 0),
        (b'{"log": {"entries": {}}}', r"log\.entries is no list", 0),
    ],
)
def test_what_is_no_archive_is_refused_with_its_line_where_that_is_known(octets: bytes, said: str, line: int) -> None:
    with pytest.raises(HarError, match=said) as refused:
        entries(octets)
    assert refused.value.line == line
