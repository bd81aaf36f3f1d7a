import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest

from tests.guard.xor import Xor
from tocsin.guard._answer import Answer, StoredAnswer, collect, collect_async, encode, replay, replay_status, storable
from tocsin.guard._errors import AnswerTooLarge

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
