"""Verify a message whose body arrives in pieces. PURE.

Rule: the verdict is that of `verify`; what differs is that the body is never kept.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from tocsin.signing._base import base_pieces
from tocsin.signing._components import body_after_url
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._errors import SchemeError, WrongSignature
from tocsin.signing._keys import KeyEntry, KeyRing
from tocsin.signing._message import Message
from tocsin.signing._origin import parse_origin
from tocsin.signing._scheme import Scheme
from tocsin.signing._verified import StreamVerified, Verified
from tocsin.signing._verify import candidates_for, check_signed, claimed, header_fault, is_among, possible, signer_of

# What is known before the body is. Any other component might need all of the body at once.
_OF_THE_HEAD = frozenset({"method", "path", "query", "target", "url", "host", "port", "timestamp", "nonce", "key_id"})


def can_stream(scheme: Scheme) -> bool:
    """Whether `BodyVerifier` takes a scheme: it signs the body as it is, or by its SHA-256, and nothing from in it."""
    compiled = scheme.compiled
    kinds = {name for name in compiled.content.components if not name.startswith("header:")}
    return (
        kinds - _OF_THE_HEAD in ({"body"}, {"body_sha256"})
        and not compiled.pointers
        and compiled.signature_pointer is None
        and compiled.digest is None
        and compiled.derivation is None
    )


class BodyVerifier:
    """Verifies a body that arrives in pieces, without keeping it. The verdict is that of `verify`.

    Nothing of the body may be used before `finish` has returned: until then nobody is known to have signed it.

    Args:
        head: the message with an empty body.
        scheme: how it should be signed.
        keys: whose signatures count.
        now: the verifier's wall clock, in Unix seconds.

    Raises:
        Rejected: one of its kinds, where the head alone decides.
        SchemeError: the scheme needs the whole body at once, see `can_stream`; or as for `verify`.
    """

    __slots__ = (
        "_base",
        "_begins",
        "_claim",
        "_head",
        "_keys",
        "_pieces",
        "_place",
        "_presented",
        "_scheme",
        "_streams",
    )

    def __init__(self, head: Message, scheme: Scheme, keys: KeyRing, *, now: float) -> None:
        if not can_stream(scheme):
            raise SchemeError(f"{scheme.name} needs the whole body at once; wanted `verify`")
        compiled = scheme.compiled
        if compiled.content.needs_origin:
            parse_origin(head.public_origin)
        (presented,) = compiled.carrier.read(head)
        self._head, self._scheme, self._keys = head, scheme, keys
        self._claim = claimed(head, scheme, presented)
        self._presented = possible(scheme, presented.signatures)
        candidates = candidates_for(keys, compiled, self._claim[0].key_id, now)
        self._pieces = base_pieces(head, scheme, self._claim[0])
        self._begins = b""
        self._place = compiled.content.place("body")
        self._base = hashlib.sha256()
        # Not one stream for a body that is signed by its digest: there the base is known, and short, at the end.
        self._streams = [
            (entry, entry.secret.keyed(scheme.hash).begin()) for entry in candidates if self._place is not None
        ]
        self._take(self._pieces[: self._place or 0])

    def update(self, octets: bytes) -> None:
        """Take the next octets of the body."""
        self._begins = self._begins or octets[:1]
        self._take((octets,))

    def finish(self, *, now: float) -> Verified:
        """The verdict on the whole.

        Args:
            now: the verifier's wall clock, in Unix seconds: a body that took its time may have outlived its timestamp.

        Raises:
            Rejected: one of its kinds.
        """
        parameters, timestamp_unix, nonce = self._claim
        candidates = candidates_for(self._keys, self._scheme.compiled, parameters.key_id, now)
        if self._scheme.compiled.content.joins_url_and_body:
            body_after_url(replace(self._head, body=self._begins))
        entry = self._signer(candidates)
        if entry is None:
            raise header_fault(self._head, self._scheme.compiled.covered_headers) or WrongSignature
        check_signed(self._head, self._scheme, parameters, timestamp_unix, now)
        digest = self._base.digest()
        return StreamVerified(self._head, self._scheme, entry, timestamp_unix, nonce, digest)

    def _signer(self, active: tuple[KeyEntry, ...]) -> KeyEntry | None:
        if self._place is None:
            place = self._scheme.compiled.content.place("body_sha256")
            digest = self._base.hexdigest().encode("ascii")
            pieces = tuple([digest if index == place else piece for index, piece in enumerate(self._pieces)])
            self._base = hashlib.sha256(b"".join(pieces))
            return signer_of(self._scheme, active, tuple(self._presented), pieces, self._claim[0])
        self._take(self._pieces[self._place + 1 :])
        for entry, stream in self._streams:
            expected = ENCODINGS[self._scheme.encoding](stream.digest())
            if entry in active and is_among(self._presented, expected):
                return entry
        return None

    def _take(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._base.update(piece)
            for _entry, stream in self._streams:
                stream.update(piece)
