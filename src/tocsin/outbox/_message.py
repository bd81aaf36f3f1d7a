"""A message that waits to be sent, and what became of it. PURE.

Rule: a message is written in the transaction of the effect that it tells of, under an id that stays the same however
often it is sent. The id is what its receiver knows a repetition by.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from tocsin.outbox._errors import OutboxError

Payload: TypeAlias = bytes | str | int | float | bool | Mapping[str, object] | Sequence[object] | None
# Standard Webhooks (spec, "Payload size") wants less than 20 KiB; more than this would rather be a link.
MAX_BODY_BYTES = 1 << 20
MAX_ERROR_CHARACTERS = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTENT_TYPE = re.compile(r"[!-~]+/[!-~]+(?:; ?[!-~]+=[ -~]+)?")


class State(Enum):
    """Where a message stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a runner has taken, until its lease ends.

    Args:
        id: stays the same for every sending, and after a re-send by hand.
        destination: the name of a [destination] table.
        content_type: of the body.
        body: as it is sent.
        attempt: how often it has been taken, this time included. It fences: whoever took it earlier settles nothing.
        failures: how many sendings have failed since it was put, or re-sent by hand, those included that nobody
            settled.
    """

    id: str
    destination: str
    content_type: str
    body: bytes
    attempt: int
    failures: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as a person may see it, without its body. Times are Unix milliseconds."""

    id: str
    destination: str
    state: State
    attempts: int
    body_bytes: int
    put_unix_ms: int
    due_unix_ms: int | None
    ended_unix_ms: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """How one sending ended.

    Args:
        delivered: it was answered with a 2xx.
        gone: its receiver wants no more of them (410); it is not sent again.
        error: what went wrong, in words without secrets; "" if it was delivered.
        not_before_s: for how long its receiver asked not to be sent to (Retry-After); 0: it did not.
    """

    delivered: bool
    gone: bool = False
    error: str = ""
    not_before_s: float = 0.0


def checked_name(name: str) -> str:
    """The name of a destination. Raises OutboxError."""
    if not _NAME.fullmatch(name):
        raise OutboxError(f"destination {name!r}: wanted 1 to 64 of a-z 0-9 _ - and a letter or digit first")
    return name


def checked_id(message_id: str) -> str:
    """A message id, which goes into a header. Raises OutboxError."""
    if not _ID.fullmatch(message_id):
        raise OutboxError(f"message id {message_id!r}: wanted 1 to 64 of A-Z a-z 0-9 _ -")
    return message_id


def checked_content_type(content_type: str) -> str:
    """A content type, which goes into a header. Raises OutboxError."""
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise OutboxError(f'content_type {content_type!r}: wanted type/subtype, such as "application/json"')
    return content_type


def body_of(payload: Payload) -> bytes:
    """Bytes as they are; anything else as JSON in UTF-8, without needless space.

    Raises:
        OutboxError: it is no JSON, or longer than MAX_BODY_BYTES.
    """
    if isinstance(payload, bytes):
        body = payload
    else:
        try:
            text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            body = text.encode("utf-8")
        except (TypeError, ValueError, RecursionError) as error:
            raise OutboxError(f"the payload is no JSON: {error}; wanted bytes, or what JSON can say") from None
    if len(body) > MAX_BODY_BYTES:
        raise OutboxError(f"the body has {len(body)} bytes; wanted at most {MAX_BODY_BYTES}, or a link to more")
    return body
