"""Which of two messages is the newer one: a number under the signature, in a stream. PURE.

Rule: an older message is never applied over a newer one. Equal numbers are no order, so only a higher one is newer; and
what cannot tell two messages of one second apart is no sequence. The derivation of a stream's name is that of a key,
and as frozen: a name that changed would be a stream that knows no number.
"""

import re
from dataclasses import dataclass

from tocsin.guard._errors import GuardError, KeyRefused
from tocsin.guard._keys import claim_key
from tocsin.guard._store import Declares, Position
from tocsin.signing import JsonPointer, Message, PointerError, Scheme, Verified

# What the databases can hold: a signed integer of 64 bits.
_MOST = (1 << 63) - 1
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
# JavaScript cannot say integers above 2**53, so senders write them as texts.
_A_NUMBER = f"wanted an integer from 0 to {_MOST}, or the same as a text in decimal"
_FINE_FORMATS = frozenset({"unix_ms"})


@dataclass(frozen=True, slots=True)
class SignedTimestamp:
    """The scheme's own timestamp as the number. Build it with `signed_timestamp`."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """How the messages of an operation are ordered. Build it with `sequence`.

    Args:
        number: where the number is.
        stream: where the name of its stream is; None: all messages of a tenant and operation are one stream.
    """

    number: JsonPointer | SignedTimestamp
    stream: JsonPointer | None


def signed_timestamp() -> SignedTimestamp:
    """The signed timestamp as a sequence number, under schemes whose timestamps are in milliseconds.

    It is one only where the sender keeps a message's timestamp when it sends the message again. One that signs every
    attempt afresh makes an old message the newest by sending it again: number those in the body.
    """
    return SignedTimestamp()


def sequence(*, number: JsonPointer | SignedTimestamp, stream: JsonPointer | None = None) -> Sequence:
    """Never apply an older message over a newer one.

    Args:
        number: the sender's number, higher for every newer message: json_pointer("/version"), or signed_timestamp().
            A time in whole seconds is none: of two messages in one second the second would be lost.
        stream: what is numbered: json_pointer("/item"). Default: the whole operation of a tenant.
    """
    return Sequence(number, stream)


def check_sequence(rule: Sequence, scheme: Scheme) -> None:
    """Whether a scheme's messages can be ordered like this.

    Raises:
        GuardError: the number is not signed, or too coarse.
    """
    if isinstance(rule.number, SignedTimestamp):
        if not scheme.covers("timestamp"):
            raise GuardError(f"sequence: the scheme {scheme.name!r} signs no timestamp; wanted a number in the body")
        if scheme.timestamp_format not in _FINE_FORMATS:
            raise GuardError(
                f"sequence: the timestamps of {scheme.name!r} are {scheme.timestamp_format}, in whole seconds: of two "
                "messages in one second the second would be lost; wanted unix_ms, or a number in the body"
            )
    if not scheme.covers("body") and (rule.stream is not None or isinstance(rule.number, JsonPointer)):
        raise GuardError(f"sequence: the scheme {scheme.name!r} does not sign the body; wanted a signed part")


def check_store(declares: Declares) -> None:
    """Whether a store keeps an order, which it can only if number and handler's writes are one transaction.

    Raises:
        GuardError: it does not.
    """
    if not declares.ordered:
        raise GuardError(
            "sequence: this store keeps no order: an older handler could still write after a newer one; wanted a store "
            "whose transaction covers the handler's writes, or WHERE version < ... in the handler's own UPDATE"
        )


def position_of(rule: Sequence, operation: str, message: Message, verified: Verified) -> Position:
    """Where a verified message stands.

    Raises:
        KeyRefused: it has no usable number, or no name of a stream.
    """
    try:
        name = "" if rule.stream is None else rule.stream.identifier(message.body)
        number = _number(rule.number, message, verified)
    except PointerError as error:
        raise KeyRefused(f"no usable sequence: {error}") from None
    # An integer and a text of the same digits are two streams, as they are two keys.
    tag = "stream-integer" if isinstance(name, int) else "stream"
    return Position(claim_key(verified.tenant, operation, tag, str(name).encode()), number)


def _number(rule: JsonPointer | SignedTimestamp, message: Message, verified: Verified) -> int:
    if isinstance(rule, SignedTimestamp):
        assert verified.timestamp_unix is not None, "check_sequence wants a scheme with a timestamp"
        return round(verified.timestamp_unix * 1000)
    value = rule.identifier(message.body)
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise KeyRefused(f"no usable sequence: {rule} is a text; {_A_NUMBER}")
        value = int(value)
    if not 0 <= value <= _MOST:
        raise KeyRefused(f"no usable sequence: {rule} is out of range; {_A_NUMBER}")
    return value
