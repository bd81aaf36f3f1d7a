"""What a valid signature proves. PURE."""

import hashlib

from tocsin.signing._body_fields import BODY_FORMATS
from tocsin.signing._keys import KeyEntry
from tocsin.signing._message import Message
from tocsin.signing._message_id import FoundId, find_message_id
from tocsin.signing._scheme import Scheme


class Verified:
    """What a valid signature proves. Only verification makes one; it does not change."""

    __slots__ = ("_entry", "_found_id", "_message", "_nonce", "_pieces", "_scheme", "_timestamp_unix")

    def __init__(  # noqa: PLR0917  by name, they would be a tenth of what verifying costs beside the hash
        self,
        message: Message,
        scheme: Scheme,
        entry: KeyEntry,
        timestamp_unix: float | None,
        nonce: str | None,
        pieces: tuple[bytes, ...],
    ) -> None:
        self._message = message
        self._scheme = scheme
        self._entry = entry
        self._timestamp_unix = timestamp_unix
        self._nonce = nonce
        self._pieces = pieces
        self._found_id: FoundId | None = None

    @property
    def scheme(self) -> str:
        """The scheme's name."""
        return self._scheme.name

    @property
    def key_id(self) -> str | None:
        """The key id of the secret that fits, or None if it has none."""
        return self._entry.secret.key_id

    @property
    def tenant(self) -> str:
        """Whose the secret that fits is."""
        return self._entry.tenant

    @property
    def timestamp_unix(self) -> float | None:
        """The signed timestamp; None if none is signed."""
        return self._timestamp_unix

    @property
    def nonce(self) -> str | None:
        """The signed nonce; None if none is signed."""
        return self._nonce

    @property
    def message_id(self) -> str | None:
        """The signed message id as text; None if the scheme has none, or `message_id_error` says why."""
        value = self._find_id().value
        return None if value is None else str(value)

    @property
    def message_id_value(self) -> str | int | None:
        """The signed message id as the sender typed it: 17 and "17" are two ids."""
        return self._find_id().value

    @property
    def message_id_error(self) -> str:
        """Why a message that should have an id has no usable one, or "". It deserves a 400, not a 401."""
        return self._find_id().error

    @property
    def signed_content_digest(self) -> bytes:
        """SHA-256 of the signature base: the same under every secret and every spelling that verifies."""
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(piece)
        return digest.digest()

    def __repr__(self) -> str:
        return (
            f"Verified(scheme={self.scheme!r}, key_id={self.key_id!r}, tenant={self.tenant!r}, "
            f"timestamp_unix={self.timestamp_unix!r}, message_id={self.message_id!r})"
        )

    def _find_id(self) -> FoundId:
        # Not in verify: most of its cost is parsing the body, which callers without replay protection never need.
        if self._found_id is None:
            self._found_id = find_message_id(
                self._scheme.message_id,
                self._message,
                self._scheme.compiled.id_delimiters,
                BODY_FORMATS[self._scheme.body_format].parse,
            )
        return self._found_id


class StreamVerified(Verified):
    """The same for a body that was verified piece by piece and is not kept."""

    __slots__ = ("_digest",)

    def __init__(  # noqa: PLR0917  as above
        self,
        message: Message,
        scheme: Scheme,
        entry: KeyEntry,
        timestamp_unix: float | None,
        nonce: str | None,
        digest: bytes,
    ) -> None:
        super().__init__(message, scheme, entry, timestamp_unix, nonce, ())
        self._digest = digest
        if scheme.message_id is not None and scheme.message_id.header is None:
            self._found_id = FoundId(None, f"{scheme.message_id} was not read: the body was verified piece by piece")

    @property
    def signed_content_digest(self) -> bytes:
        """See Verified."""
        return self._digest
