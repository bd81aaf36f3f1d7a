"""The answer to a request, and the form in which duplicates will get it. PURE.

Rule: a duplicate gets the status, header fields and body that the handler produced, byte for byte. Left out is only
what belongs to one connection or one moment: hop-by-hop fields, Date, Server, and Content-Length, which follows from
the body; and the body of an answer that has none.
"""

import json
import re
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias

from tocsin.guard._errors import AnswerTooLarge, GuardError
from tocsin.signing import Header

HeaderFilter: TypeAlias = Callable[[tuple[Header, ...]], tuple[Header, ...]]

# RFC 9110 section 7.6.1 and RFC 9112: fields about one connection. Date and Server are the server's own to set.
_NOT_STORED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# RFC 9110 section 8.6: answers that have no body have no Content-Length either.
NO_CONTENT = frozenset({*range(100, 200), 204, 304})
# From here on a status says that the server failed: it undoes everything, and nothing is left to remember.
LEAST_FAILURE = 500
# RFC 9110 sections 5.1 and 5.5: a token; and text of octets, without control characters but the tab.
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Stripe's name for it, and by now the most common one; the IETF draft names none.
REPLAYED: Header = ("Idempotent-Replayed", "true")
# json.dumps makes one for every text that is not spelled its own way.
_JSON = json.JSONEncoder(separators=(",", ":"))


@dataclass(slots=True, unsafe_hash=True)
class Answer:
    """What is sent back: status, header fields in order, whole body."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


@dataclass(slots=True, unsafe_hash=True)
class StoredAnswer:
    """An answer as a store keeps it.

    Args:
        headers: a JSON list of [name, value] pairs in ASCII, perhaps sealed.
        body: the body, perhaps sealed.
    """

    status: int
    headers: bytes
    body: bytes


class Seal(Protocol):
    """Encrypts what the store keeps, so that whoever reads the database does not read answers."""

    def seal(self, plain: bytes, /) -> bytes:
        """What the store may hold instead of `plain`."""
        ...

    def unseal(self, sealed: bytes, /) -> bytes:
        """The inverse of `seal`."""
        ...


def storable(answer: Answer) -> Answer:
    """The answer without what belongs to one connection or one moment, and without a body where it is to have none."""
    kept = tuple([field for field in answer.headers if field[0].lower() not in _NOT_STORED])
    return Answer(answer.status, kept, b"" if answer.status in NO_CONTENT else answer.body)


def encode(answer: Answer, keep: HeaderFilter | None, seal: Seal | None) -> StoredAnswer:
    """The answer as the store will hold it.

    Args:
        answer: a storable answer.
        keep: which of its header fields duplicates get; None keeps all, Set-Cookie too.
        seal: encrypts header fields and body; None stores them as they are.

    Raises:
        GuardError: it has a header field that no server can send: whoever asked, and every duplicate, would get 500.
    """
    kept = answer.headers
    if keep is not None:
        _check(kept)
        kept = keep(kept)
    if seal is None:
        return StoredAnswer(answer.status, _spelled(kept), answer.body)
    # What is to be sealed is not to stay in memory.
    return StoredAnswer(answer.status, seal.seal(_spelled.__wrapped__(kept)), seal.seal(answer.body))


def replay(stored: StoredAnswer, seal: Seal | None) -> Answer:
    """The stored answer for a duplicate, marked as such."""
    if seal is None:
        return Answer(stored.status, _replayed(stored.headers), stored.body)
    # What is sealed is not to stay in memory either.
    return Answer(stored.status, _replayed.__wrapped__(seal.unseal(stored.headers)), seal.unseal(stored.body))


def replay_status(status: int) -> Answer:
    """What a duplicate gets when the stored answer has gone and its status is still known."""
    return Answer(status, (REPLAYED,), b"")


def _check(headers: Iterable[tuple[object, object]]) -> None:
    for name, value in headers:
        if not (_is(_FIELD_NAME, name) and _is(_FIELD_VALUE, value)):
            # Not with its value, which may be a cookie.
            raise GuardError(
                f"the answer has a header field {name!r} that no server can send; wanted a name of letters, digits and "
                "hyphens, and a value of Latin-1 text without line breaks and other control characters"
            )


def _is(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


# The header fields of an operation's answers are mostly the same ones; writing and reading them takes 1.5 us each.
@lru_cache(maxsize=64)
def _spelled(headers: tuple[Header, ...]) -> bytes:
    _check(headers)
    return _JSON.encode(headers).encode("ascii")


@lru_cache(maxsize=64)
def _replayed(plain: bytes) -> tuple[Header, ...]:
    return (*[(name, value) for name, value in json.loads(plain)], REPLAYED)


def collect(chunks: Iterable[bytes], most_bytes: int) -> bytes:
    """The chunks of a body, joined.

    Raises:
        AnswerTooLarge: there is more than `most_bytes`; the rest is not asked for. An empty chunk counts as one byte,
            or a stream of nothing would never end.
    """
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk) or 1
        if size > most_bytes:
            raise AnswerTooLarge(most_bytes)
        parts.append(chunk)
    return b"".join(parts)


async def collect_async(chunks: AsyncIterable[bytes], most_bytes: int) -> bytes:
    """See collect."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk) or 1
        if size > most_bytes:
            raise AnswerTooLarge(most_bytes)
        parts.append(chunk)
    return b"".join(parts)
