"""A scheme taken apart. PURE."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from tocsin.signing._carrier import Carrier
from tocsin.signing._content import Content
from tocsin.signing._digest import Digest
from tocsin.signing._layout import Layout
from tocsin.signing._message_id import Delimiters
from tocsin.signing._pointer import JsonPointer
from tocsin.signing._shape import Bare, Shape
from tocsin.signing._sigv4 import key_chain


class Derivation(NamedTuple):
    """How a signing key comes from a secret.

    Args:
        prefix: put before the secret.
        chain: the date on the message and the scheme's scope to the steps of `Secret.derived`.
    """

    prefix: bytes
    chain: Callable[[str | None, str], tuple[bytes, ...]]


DERIVATIONS: Mapping[str, Derivation] = MappingProxyType({"aws4": Derivation(b"AWS4", key_chain)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A scheme taken apart once, so that verify is a walk over tuples.

    Args:
        content: what is signed.
        layout: the value of the signature's header.
        carrier: reads and writes the signature and its parameters.
        shape: the scheme once more, if it has a common shape.
        parameter_headers: kind and name of the headers of their own that carry a timestamp, nonce, key id or digest.
        pointers: kind and place of the timestamp and nonce in the body.
        signature_pointer: the signature's place in the body, or None.
        digest: how a carried digest of the body is spelled, or None.
        derivation: how the signing key comes from the secret, or None if it is the secret.
        has_key_id: whether the secret is selected by a key id.
        signs_timestamp: whether the timestamp is covered, so that it means something.
        signs_nonce: whether the nonce is covered.
        covered_headers: the signed headers.
        required_headers: those of them that must be there once, or the message is rejected. The message id's header is
            not among them: a signed message without it deserves a 400, see Verified.
        nonce_delimiters: what stands beside the nonce in the content.
        id_delimiters: what stands beside the message id's header in the content, as far as an id could shift it.
        signature_length: how many characters the signature's text has.
    """

    content: Content
    layout: Layout
    carrier: Carrier
    shape: Bare | Shape | None
    parameter_headers: tuple[tuple[str, str], ...]
    pointers: Mapping[str, JsonPointer]
    signature_pointer: JsonPointer | None
    digest: Digest | None
    derivation: Derivation | None
    has_key_id: bool
    signs_timestamp: bool
    signs_nonce: bool
    covered_headers: tuple[str, ...]
    required_headers: tuple[str, ...]
    nonce_delimiters: Delimiters
    id_delimiters: Delimiters
    signature_length: int
