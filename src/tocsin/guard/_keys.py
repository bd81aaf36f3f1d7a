"""Which requests are the same operation: the key under which a claim is stored. PURE.

Rule: the derivation is frozen, because a service in another language may share the table, and because a changed key
would let every kept message take effect once more. The vectors are in tests/guard/vectors/keys.json. The key id is
never part of it: a retry under a rotated secret is still a retry.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from tocsin.guard._errors import GuardError, KeyRefused
from tocsin.signing import JsonPointer, Message, MessageId, PointerError, Verified

# The version of derivation and record, in the first of the hashed parts and in the table's column `version`.
KEY_VERSION = 1
_DERIVATION = b"tocsin-claim-1"
# A shorter memory than a day would not outlive a sender's night; GitHub keeps deliveries for redelivery for 3 days.
_LEAST_DIGEST_DAYS = 1.0


@dataclass(frozen=True, slots=True)
class BodyDigest:
    """Equal bodies are one operation, for some days. Build it with `body_digest`."""

    days: float
    split_by: tuple[str, ...]


KeyRule: TypeAlias = JsonPointer | MessageId | BodyDigest


def body_digest(*, days: float, split_by: tuple[str, ...] = ()) -> BodyDigest:
    """Take equal bodies for one operation, where a scheme signs nothing that identifies a message.

    Two honest messages with equal bodies then take effect once, and a captured request takes effect again when the
    days are over.

    Args:
        days: how long a body is remembered.
        split_by: unsigned header fields, such as a topic, under whose different values equal bodies are different
            operations. They are unsigned: each value that the service accepts is one more replay for whoever captured
            a request.

    Raises:
        GuardError: fewer days than one.
    """
    if not days >= _LEAST_DIGEST_DAYS:
        raise GuardError(f"body_digest(days={days:g}); wanted at least {_LEAST_DIGEST_DAYS:g}")
    return BodyDigest(days, split_by)


def length_prefixed(*parts: bytes) -> bytes:
    """The parts, each after its length in 4 bytes, big-endian: no two lists of parts give the same bytes."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def claim_key(tenant: str, operation: str, tag: str, value: bytes) -> bytes:
    """The 32 bytes under which a claim is stored.

    SHA-256 over the derivation's name, tenant, operation, type tag and value, each length-prefixed, texts in UTF-8.

    Args:
        tenant: the tenant that the verified secret belongs to.
        operation: the operation's name.
        tag: the type of the value, "string", "integer" or "body": 1 and "1" are different keys.
        value: UTF-8 of a string, the shortest decimal form of an integer, SHA-256 of a body.
    """
    return hashlib.sha256(_scope(tenant, operation, tag) + len(value).to_bytes(4, "big") + value).digest()


# An operation's keys differ in their values alone.
@lru_cache(maxsize=1024)
def _scope(tenant: str, operation: str, tag: str) -> bytes:
    return length_prefixed(_DERIVATION, tenant.encode(), operation.encode(), tag.encode())


def key_of(rule: KeyRule, operation: str, message: Message, verified: Verified) -> bytes:
    """The key of a verified request.

    Raises:
        KeyRefused: it has no usable one.
    """
    if isinstance(rule, BodyDigest):
        return claim_key(verified.tenant, operation, "body", _digest(rule, message))
    value = _identifier(rule, message, verified)
    if isinstance(value, int):
        return claim_key(verified.tenant, operation, "integer", str(value).encode())
    return claim_key(verified.tenant, operation, "string", value.encode())


def _identifier(rule: JsonPointer | MessageId, message: Message, verified: Verified) -> str | int:
    if isinstance(rule, JsonPointer):
        try:
            return rule.identifier(message.body)
        except PointerError as error:
            raise KeyRefused(f"no usable idempotency key: {error}") from None
    value = verified.message_id_value
    if value is None:
        raise KeyRefused(f"no usable idempotency key: {verified.message_id_error}")
    # A field that is a list has a comma in its value too; nearly none has one, and finding the field costs more.
    if rule.header is not None and isinstance(value, str) and "," in value and _is_list(message.values(rule.header)[0]):
        raise KeyRefused(f"no usable idempotency key: {rule.header} is given more than once, or holds a comma")
    return value


def _is_list(field: str) -> bool:
    # Behind WSGI a field that was sent twice looks like one with a comma (PEP 3333 has no other place for it).
    return "," in field and not field.startswith('"')


def _digest(rule: BodyDigest, message: Message) -> bytes:
    digest = hashlib.sha256(message.body).digest()
    if not rule.split_by:
        return digest
    split = [", ".join(message.values(name)).encode("latin-1", "replace") for name in rule.split_by]
    return hashlib.sha256(length_prefixed(digest, *split)).digest()
