import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

from tests.guard.xor import Xor
from tocsin.guard._answer import Answer, StoredAnswer, collect, collect_async, encode, replay, replay_status, storable
from tocsin.guard._errors import AnswerTooLarge, GuardError

ANSWER = Answer(
    201,
    (("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe4"), ("Location", "/x")),
    b"\xff\x00",
)


def test_a_replay_is_the_answer_marked_as_one() -> None:
    """Repeated fields, their order, octets beyond ASCII and a binary body included."""
    again = replay(encode(ANSWER, None, None), None)
    assert again == Answer(201, (*ANSWER.headers, ("Idempotent-Replayed", "true")), b"\xff\x00")


@pytest.mark.parametrize("name", ["Connection", "KEEP-ALIVE", "Transfer-Encoding", "Date", "Server", "Content-Length"])
def test_what_belongs_to_one_connection_or_moment_is_left_out(name: str) -> None:
    assert storable(Answer(200, ((name, "x"), ("X-Kept", "y")), b"")).headers == (("X-Kept", "y"),)


@pytest.mark.parametrize("status", [100, 204, 304])
def test_an_answer_without_a_body_has_none(status: int) -> None:
    """Servers that send it none the less put it in front of the next answer on the connection."""
    assert storable(Answer(status, (), b"x")).body == b""


@pytest.mark.parametrize(
    "field",
    [
        ("Content-Disposition", 'attachment; filename="\u20ac.txt"'),
        ("X-A", "a\r\nX-B: c"),
        ("X-A", "a\nb"),
        ("X-A", "a\x00"),
        ("X-A", 5),
        (b"X-A", "a"),
        ("X A", "a"),
        ("X-\xe4", "a"),
        ("", "a"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("seal", [None, Xor()], ids=["", "sealed"])
def test_a_header_field_that_no_server_can_send_is_refused_by_name(field: Any, seal: Xor | None) -> None:
    with pytest.raises(GuardError, match="that no server can send") as refused:
        encode(Answer(200, (("X-B", "\tvalue \xff"), field), b""), None, seal)
    assert repr(field[0]) in str(refused.value)
    assert repr(field[1]) not in str(refused.value)


def test_what_only_the_first_request_gets_has_to_be_sendable_too() -> None:
    with pytest.raises(GuardError, match="that no server can send"):
        encode(Answer(200, (("X-A", "a\r\nb"),), b""), lambda _: (), None)


def test_header_fields_can_be_kept_from_duplicates() -> None:
    stored = encode(ANSWER, lambda fields: tuple(field for field in fields if field[0] != "Set-Cookie"), None)
    assert [name for name, _ in replay(stored, None).headers] == ["Content-Type", "Location", "Idempotent-Replayed"]


def test_a_seal_hides_header_fields_and_body_from_the_store() -> None:
    stored = encode(ANSWER, None, Xor())
    assert b"Location" not in stored.headers
    assert stored.body != ANSWER.body
    assert replay(stored, Xor()).body == ANSWER.body
    assert replay(stored, Xor()).headers[:-1] == ANSWER.headers


def test_stored_header_fields_are_json_that_other_languages_read() -> None:
    stored = encode(Answer(200, (("X-A", "\xe4"),), b""), None, None)
    assert stored == StoredAnswer(200, b'[["X-A","\\u00e4"]]', b"")


def test_what_is_left_of_an_answer_is_its_status() -> None:
    assert replay_status(204) == Answer(204, (("Idempotent-Replayed", "true"),), b"")


async def on_a_loop(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_chunks_are_joined_up_to_the_limit() -> None:
    chunks = [b"ab", b"", b"cd"]
    assert collect(chunks, 5) == b"abcd"
    assert asyncio.run(collect_async(on_a_loop(chunks), 5)) == b"abcd"


@pytest.mark.parametrize("chunk", [b"x", b""], ids=["endless", "endless and empty"])
def test_an_endless_stream_is_left_at_the_limit(chunk: bytes) -> None:
    def stream() -> Iterator[bytes]:
        while True:
            yield chunk

    with pytest.raises(AnswerTooLarge, match="max_answer_bytes = 1000"):
        collect(stream(), 1000)
    with pytest.raises(AnswerTooLarge, match="max_answer_bytes = 1000"):
        asyncio.run(collect_async(on_a_loop(stream()), 1000))
